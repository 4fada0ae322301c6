"""Checkpoints: written whole or not at all, checked before they are read, never unpickled.

A file is one of safetensors (`core.tensor_file`): `__metadata__` has the format, the kind, the
step, the version and the SHA-256 of the file; the state is its arrays, named by their places,
and JSON (`core.tree`), which is the array `content`. Format 1 is still read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rltrain import __version__
from rltrain.core import faults, tensor_file, tree
from rltrain.core.errors import CheckpointError, StateError, UserError
from rltrain.core.spaces import changes
from rltrain.training import checkpoint_v1

FORMAT = 2
SUFFIX = ".ckpt"
BEST = "best" + SUFFIX
# What is raised where saved values are not of the kind that is expected of them.
MISFITS = (
    *(LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError),
    MemoryError,
)


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
    def putting_back(self, spaces: Mapping[str, str] | None = None) -> Iterator[None]:
        """Have a state that does not fit say why: other `spaces`, or the version that wrote it.

        Raises:
            UserError: the environment's spaces are not those of the run.
            CheckpointError: it does not fit otherwise.
        """
        try:
            yield
        except (StateError, *MISFITS) as error:
            self.check_spaces(spaces or {})
            what, may = str(error), ""
            if isinstance(error, KeyError):
                what = f"there is no {error}."
            elif not isinstance(error, StateError):
                what = f"{type(error).__name__}: {' '.join(what.split())}."
            if spaces and not self._spaces:
                now = ", ".join(f"{name} {space}" for name, space in spaces.items())
                may = f" If the environment's spaces were others then: they are {now} now."
            raise CheckpointError(
                f"{self.path}, written by rltrain {self.version}, does not fit this version,"
                f" {__version__}: {what}{may} versions.json in the run's folder has the revision"
                " that goes on with it."
            ) from error

    def check_spaces(self, spaces: Mapping[str, str]) -> None:
        """Compare the environment's spaces with those of the run.

        Raises:
            UserError: they differ.
        """
        if changed := self.changed_spaces(spaces):
            raise UserError(f"{self.path} is of other spaces: {changed}.")

    def changed_spaces(self, spaces: Mapping[str, str]) -> str:
        """Return in words how `spaces` differ from the run's; empty where they do not, or where
        an earlier version did not keep them."""
        return changes(self._spaces, spaces) if spaces and self._spaces else ""

    @property
    def _spaces(self) -> dict[str, str]:
        kept = self.content.get("spaces")
        return {str(k): str(v) for k, v in kept.items()} if isinstance(kept, dict) else {}


def write(path: Path, content: dict[str, Any], step: int, kind: str = "full") -> None:
    """Write a checkpoint under a temporary name, flush it to the disk, and rename it.

    Raises:
        OSError: it could not be written; nothing under `path` has changed.
        TypeError: the content has a value of a type that cannot be kept exactly.
    """
    header = {"format": str(FORMAT), "kind": kind, "step": str(step), "rltrain": __version__}
    arrays = tree.flatten(content)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            tensor_file.write(file, header, arrays, lambda: faults.point("checkpoint.write"))
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
    """Read a checkpoint once its checksum has been compared.

    Raises:
        CheckpointError: it is not a checkpoint, is damaged, of a newer format, or holds
            something other than data.
    """
    try:
        with open(path, "rb") as file:
            return _read(path, file)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    except (tensor_file.DamagedError, checkpoint_v1.DamagedError) as error:
        raise CheckpointError(f"{path} is damaged: {error}.") from error
    except checkpoint_v1.NotDataError as error:
        raise CheckpointError(_NOT_DATA.format(path)) from error


_NOT_DATA = "{} holds something other than data; it was not read."


def _read(path: Path, file: BinaryIO) -> Checkpoint:
    header: dict[str, Any]
    try:
        header, arrays = tensor_file.read(file)
    except tensor_file.NotThisLayoutError:
        file.seek(0)
        header, content = _read_v1(path, file)
        number, step, kind, version = _fields(path, header)
    else:
        number, step, kind, version = _fields(path, header)
        if number > FORMAT:
            raise NewerFormatError(
                f"{path} is of format {number}, written by rltrain {version}; this is rltrain"
                f" {__version__}, which reads up to format {FORMAT}. Install a newer rltrain."
            )
        try:
            content = tree.unflatten(arrays)
        except MISFITS as error:
            raise CheckpointError(_NOT_DATA.format(path)) from error
    if not isinstance(content, dict):
        raise CheckpointError(_NOT_DATA.format(path))
    return Checkpoint(path, step, kind, version, content)


def _read_v1(path: Path, file: BinaryIO) -> tuple[dict[str, Any], Any]:
    first = file.read(len(checkpoint_v1.MAGIC))
    if not first:
        raise CheckpointError(f"{path} is damaged: it is empty.")
    if first != checkpoint_v1.MAGIC:
        raise CheckpointError(f"{path} is damaged, or not a checkpoint of rltrain's.")
    return checkpoint_v1.read(file.read())


def _fields(path: Path, header: dict[str, Any]) -> tuple[int, int, str, str]:
    try:
        kind, version = str(header["kind"]), str(header["rltrain"])
        return int(header["format"]), int(header["step"]), kind, version
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{path} is damaged: its header cannot be read.") from error


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
        if self.folder.is_dir() and not os.access(self.folder, os.R_OK | os.X_OK):
            raise CheckpointError(f"{self.folder} cannot be read: Permission denied.")
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
