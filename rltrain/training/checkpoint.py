"""Checkpoints: written whole or not at all, checked before they are read, never unpickled.

A file is one line of header (`rltrain-checkpoint` and JSON) and the bytes of `torch.save`.
The header holds the format, the step, and the SHA-256 of the bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rltrain import __version__
from rltrain.core import faults
from rltrain.core.errors import CheckpointError, StateError
from rltrain.core.state import from_plain, to_plain

FORMAT = 1
MAGIC = b"rltrain-checkpoint "
SUFFIX = ".ckpt"
BEST = "best" + SUFFIX


@dataclass(frozen=True)
class Checkpoint:
    """What was read: `kind` is `full`, to go on from, or `policy`, to act with.

    `version` is that of the rltrain that wrote it.
    """

    path: Path
    step: int
    kind: str
    version: str
    content: dict[str, Any]

    @contextmanager
    def putting_back(self) -> Iterator[None]:
        """Has a state that does not fit say which file it is of, and which version wrote it.

        Raises:
            CheckpointError: it does not fit.
        """
        try:
            yield
        except (StateError, KeyError) as error:
            what = f"there is no {error}." if isinstance(error, KeyError) else str(error)
            raise CheckpointError(
                f"{self.path}, written by rltrain {self.version}, does not fit this version,"
                f" {__version__}: {what} versions.json in the run's folder has the revision that"
                " goes on with it."
            ) from error


def write(path: Path, content: dict[str, Any], step: int, kind: str = "full") -> None:
    """Writes a checkpoint under a temporary name, flushes it to the disk, and renames it.

    Raises:
        OSError: it could not be written; nothing under `path` has changed.
    """
    buffer = io.BytesIO()
    torch.save(to_plain(content), buffer)
    body = buffer.getbuffer()
    header = {
        "format": FORMAT,
        "kind": kind,
        "step": step,
        "sha256": hashlib.sha256(body).hexdigest(),
        "rltrain": __version__,
    }
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(MAGIC + json.dumps(header).encode() + b"\n")
            half = len(body) // 2
            file.write(body[:half])
            faults.point("checkpoint.write")
            file.write(body[half:])
            file.flush()
            os.fsync(file.fileno())
        faults.point("checkpoint.rename")
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    faults.point("checkpoint.done")


def read(path: Path) -> Checkpoint:
    """Reads a checkpoint after its checksum.

    Raises:
        CheckpointError: it is no checkpoint, damaged, of a newer format, or holds what is not data.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    line, newline, body = raw.partition(b"\n")
    if not raw:
        raise CheckpointError(f"{path} is damaged: it is empty.")
    if not newline or not line.startswith(MAGIC):
        raise CheckpointError(f"{path} is damaged, or no checkpoint of rltrain's.")
    try:
        header = json.loads(line.removeprefix(MAGIC))
        number, kind, step = int(header["format"]), str(header["kind"]), int(header["step"])
        checksum, version = str(header["sha256"]), str(header["rltrain"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: its header cannot be read.") from error
    if number > FORMAT:
        raise NewerFormatError(
            f"{path} is of format {number}, written by rltrain {version}; this is rltrain"
            f" {__version__}, which reads up to format {FORMAT}. Install a newer rltrain."
        )
    if hashlib.sha256(body).hexdigest() != checksum:
        raise CheckpointError(f"{path} is damaged: its checksum does not match.")
    try:
        content = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(
            f"{path} holds something other than data; it was not read."
        ) from error
    return Checkpoint(path, step, kind, version, from_plain(content))


class NewerFormatError(CheckpointError):
    """The checkpoint is whole, but from the future."""


class CheckpointFolder:
    """The checkpoints of a run: the last `keep_last` steps, and the best policy."""

    def __init__(self, folder: Path, keep_last: int) -> None:
        self.folder = folder
        self.keep_last = keep_last

    def path(self, step: int) -> Path:
        return self.folder / f"step_{step:012d}{SUFFIX}"

    @property
    def best(self) -> Path:
        return self.folder / BEST

    def all(self) -> list[Path]:
        """Full checkpoints, newest step first; found by looking, so that no marker can lie."""
        return sorted(self.folder.glob(f"step_*{SUFFIX}"), reverse=True)

    def save(self, step: int, content: dict[str, Any]) -> Path:
        """Writes the checkpoint of a step, then removes those beyond `keep_last`.

        Raises:
            OSError: it could not be written; the earlier ones are all there.
        """
        path = self.path(step)
        write(path, content, step)
        for old in self.all()[self.keep_last :]:
            try:
                old.unlink()
            except OSError:  # it takes room, but harms nothing
                continue
        return path

    def load_newest(self) -> tuple[Checkpoint, list[str]]:
        """The newest readable checkpoint, and a warning for each damaged one before it.

        Raises:
            CheckpointError: there is none, or none that can be read.
        """
        warnings: list[str] = []
        paths = self.all()
        for path in paths:
            try:
                return read(path), [f"{w} Using {path.name} instead." for w in warnings]
            except NewerFormatError:
                raise
            except CheckpointError as error:
                warnings.append(str(error))
        if not paths:
            raise CheckpointError(f"{self.folder} holds no checkpoint to resume from.")
        raise CheckpointError(
            "No checkpoint can be read; nothing was changed or deleted.\n" + "\n".join(warnings)
        )

    def supersede(self, step: int) -> None:
        """Sets aside the checkpoints after `step`: the run goes on from there another time."""
        for path in self.all():
            if path > self.path(step):
                os.replace(path, path.with_suffix(".superseded"))

    def clean(self) -> None:
        """Removes temporary files that a killed process left."""
        for stray in self.folder.glob(".*.tmp"):
            stray.unlink()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
