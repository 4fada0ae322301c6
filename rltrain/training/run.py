"""The folder of a run: configuration, command, versions, logs, checkpoints, lock."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from rltrain import __version__
from rltrain.core import plain_yaml
from rltrain.core.errors import RltrainError, UserError, nearest
from rltrain.training import trust

logger = logging.getLogger("rltrain")

CONFIG, RESULT, ERROR, LOCK = "config.yaml", "result.json", "error.txt", "lock"
_LATEST = ".latest"
FILLED = "%s is of an earlier version; what it did, by today's keys: %s"


class InUseError(UserError):
    """Another process holds the lock of a folder."""


class Run:
    """A run's folder, locked for as long as this object (and its process) lives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoints = folder / "checkpoints"
        self._lock = _lock(folder / LOCK)
        self._handler: logging.Handler | None = None

    @classmethod
    def create(cls, folder: Path, config: Mapping[str, Any]) -> Run:
        """A new folder with what makes the run reproducible.

        Raises:
            UserError: the folder cannot be made or written.
        """
        try:
            (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
            run = cls(folder)
            run.keep_config(config)
            (folder / "command.txt").write_text(command_line() + "\n")
            (folder / "versions.json").write_text(json.dumps(versions(), indent=2) + "\n")
            difference = _git("diff", "HEAD")
            if difference:
                (folder / "code.diff").write_text(difference)
        except OSError as error:
            raise UserError(
                f"output_dir: {folder} cannot be written ({error.strerror})."
            ) from error
        return run

    @classmethod
    def reopen(cls, folder: Path) -> Run:
        """Return the run of a folder that is there, to go on in it.

        Raises:
            UserError: something in it may not be written, or another process runs in it.
        """
        names = ("", "checkpoints", CONFIG, "command.txt", "run.log", RESULT, "progress.csv")
        for path in (folder / name for name in (*names, "evaluations.csv")):
            if path.exists() and not os.access(path, os.W_OK):
                raise _not_writable(folder, path, "Permission denied")
        try:
            return cls(folder)
        except OSError as error:
            raise _not_writable(folder, folder / LOCK, error.strerror) from error

    def log_to_file(self) -> None:
        """Send the messages of rltrain to `run.log` too."""
        self._handler = _LogFile(self.folder / "run.log")
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger = logging.getLogger("rltrain")
        logger.addHandler(self._handler)
        logger.setLevel(logging.INFO)

    def note_resume(self, config: Mapping[str, Any], step: int) -> None:
        """Keeps the configuration and the command that the run goes on with."""
        self.keep_config(config)
        with open(self.folder / "command.txt", "a") as file:
            file.write(f"{command_line()}  # from step {step}\n")

    def keep_config(self, config: Mapping[str, Any]) -> None:
        """Write the configuration, signed as this user's own."""
        write_config(self.folder, config)
        trust.sign(self.folder, read_config(self.folder))

    def note(self, text: str) -> None:
        """Writes to `run.log` alone what the terminal is told otherwise."""
        if self._handler is not None:
            self._handler.handle(logging.makeLogRecord({"msg": text, "levelname": "INFO"}))

    def note_ending(self, report: str, **result: Any) -> None:
        """Keep how a run ended, and a `report` of what went wrong, where there is room."""
        try:
            if report:
                (self.folder / ERROR).write_text(report)
            write_result(self.folder, **result)
        except OSError as error:
            logger.warning("how it ended could not be written (%s)", error.strerror)

    def close(self) -> None:
        if self._handler is not None:
            logging.getLogger("rltrain").removeHandler(self._handler)
            with suppress(OSError):  # of a full disk, which was said
                self._handler.close()
        os.close(self._lock)


class _LogFile(logging.FileHandler):
    """A file of messages that is given up, with a warning, once it cannot be written."""

    _given_up = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self._given_up:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # logging's name
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self._given_up = True
        logger.warning("%s is given up (%s)", self.baseFilename, error.strerror)


def _not_writable(folder: Path, path: Path, reason: str | None) -> UserError:
    return UserError(
        f"{path} cannot be written ({reason}): a run goes on in its own folder. Copy it to one"
        f" that you may write: cp -r {shlex.quote(str(folder))} outputs/"
    )


def cannot_write(error: OSError) -> bool:
    """Return whether an error is of a disk that is full or a place that may not be written."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def _lock(path: Path) -> int:
    """An advisory lock, which the system releases when the process ends, however it does."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.read(handle, 100).decode().strip()
        os.close(handle)
        raise InUseError(
            f"{path.parent} is in use by process {owner or 'unknown'}; two runs cannot share"
            " a folder."
        ) from error
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return handle


def new_folder(output_dir: str, name: str | None, algo: str, env_id: str, seed: int) -> Path:
    """A folder that did not exist: `name`, or one made of what runs, seed and time.

    Raises:
        UserError: it cannot be made, or a run of that name is there.
    """
    if name and (Path(name).is_absolute() or ".." in Path(name).parts):
        raise UserError(f"run_name={name} must stay inside output_dir={output_dir}.")
    parent = Path(output_dir)
    made_up = f"{algo}_{slug(env_id)}_seed{seed}_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1000):
            folder = parent / (name or made_up + (f"_{attempt}" if attempt else ""))
            try:
                folder.mkdir(parents=True)
            except FileExistsError as error:
                if name:
                    raise UserError(
                        f"run_name={name}: {folder} is there already. To go on with it:"
                        f" rltrain {shlex.quote(f'resume={folder}')}"
                    ) from error
                continue
            return folder
    except OSError as error:
        raise UserError(f"output_dir={output_dir} cannot be written ({error.strerror}).") from error
    raise RltrainError(f"{parent}: a thousand runs began in this second.")


def mark_latest(folder: Path, output_dir: Path) -> None:
    """Makes `folder` what `latest` means in `output_dir`, or beside it where it was moved."""
    inside = folder.resolve().is_relative_to(output_dir.resolve())
    parent = output_dir if inside else folder.parent
    temporary = parent / f"{_LATEST}.{os.getpid()}"  # jobs of a sweep begin at the same time
    try:
        temporary.write_text(str(folder.resolve().relative_to(parent.resolve())))
        os.replace(temporary, parent / _LATEST)
    except OSError as error:
        logger.warning("latest does not mean this run: %s (%s)", parent, error.strerror)
        with suppress(OSError):
            temporary.unlink()


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    temporary = folder / f".{CONFIG}.tmp"
    temporary.write_text(plain_yaml.write(config))
    os.replace(temporary, folder / CONFIG)


def read_config(folder: Path) -> dict[str, Any]:
    """Return the composed configuration of a run.

    Raises:
        UserError: it is not readable, or not the YAML of a mapping.
    """
    return plain_yaml.read(folder / CONFIG)


def find(target: str, output_dir: str = "outputs") -> tuple[Path, Path | None]:
    """The run folder that a user means, and the checkpoint file if one was named.

    `target` is a folder, a file in its `checkpoints`, or `latest`: the run that was
    started last in `output_dir`.

    Raises:
        UserError: there is no such run.
    """
    try:
        return _find(target, output_dir)
    except OSError as error:
        raise UserError(f"{error.filename or target} cannot be read ({error.strerror}).") from error


def _find(target: str, output_dir: str) -> tuple[Path, Path | None]:
    path = Path(target)
    if target == "latest":
        marker = Path(output_dir) / _LATEST
        if not marker.exists():
            raise UserError(f"latest: there is no run in {output_dir}.")
        path = Path(output_dir) / marker.read_text(errors="replace").strip()
    if path.is_file() and (path.parent.parent / CONFIG).is_file():
        return path.parent.parent, path
    if (path / CONFIG).is_file():
        return path, None
    raise UserError(f"{target or 'An empty name'} is no run folder.{_near_runs(path, output_dir)}")


def _near_runs(path: Path, output_dir: str) -> str:
    """The runs that a name which is none is likely meant for, as a sentence; may be empty."""
    jobs = sorted(str(p.parent) for p in path.glob(f"*/{CONFIG}")) if path.name else []
    if jobs:
        return f" It has {len(jobs)} runs in it, as {shlex.quote(jobs[0])}."
    runs = [
        p.parent for glob in ("*", "sweeps/*/*") for p in Path(output_dir).glob(f"{glob}/{CONFIG}")
    ]
    by_name = {run.name: run for run in sorted(runs, key=lambda run: run.name)}
    close = nearest(path.name, by_name) if path.name else []
    if close:
        return f" Did you mean {' or '.join(shlex.quote(str(by_name[name])) for name in close)}?"
    newest = [shlex.quote(str(run)) for run in list(by_name.values())[-3:]]
    return f" Runs in {output_dir}: {', '.join(newest)}." if newest else ""


def slug(text: str) -> str:
    """`text` fit for a file name."""
    return re.sub(r"[^\w.+-]+", "-", text).strip("-")


def command_line() -> str:
    """The command as it was typed, whatever has become of `sys.argv` since."""
    words = sys.orig_argv
    starts = [i for i, word in enumerate(words) if Path(word).name == "rltrain"]
    return shlex.join(["rltrain", *(words[starts[0] + 1 :] if starts else sys.argv[1:])])


def versions() -> dict[str, Any]:
    """Versions of what decides the numbers, and the state of the code."""
    packages = ("torch", "numpy", "gymnasium", "hydra-core", "omegaconf", "tensorboard", "rich")
    optional = ("ale-py", "mujoco", "box2d", "minari")
    found: dict[str, Any] = {"rltrain": __version__, "python": platform.python_version()}
    for package in (*packages, *optional):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    found["platform"] = platform.platform()
    found["revision"] = _git("rev-parse", "HEAD") or None
    return found


def _git(*arguments: str) -> str:
    """What git says of rltrain's own source; empty where it is no checkout."""
    source = Path(__file__).resolve().parents[2]
    if not (source / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(source), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def write_result(folder: Path, **result: Any) -> None:
    """How a run stands, for sweeps and scripts; replaced whole."""
    temporary = folder / f".{RESULT}.tmp"
    temporary.write_text(json.dumps(result, indent=2) + "\n")
    os.replace(temporary, folder / RESULT)


def read_result(folder: Path) -> Mapping[str, Any]:
    """Return what `write_result` wrote last, less what is not of its kind."""
    try:
        result = json.loads((folder / RESULT).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(result, dict):
        return {}
    return {k: v for k, v in result.items() if isinstance(v, _RESULT.get(k, object))}


_NUMBER = (int, float, type(None))
_RESULT: dict[str, Any] = {
    "state": str,
    "error": str,
    "steps": int,
    "seconds": _NUMBER,
    "score": _NUMBER,
    "best": _NUMBER,
    "reached": _NUMBER,
}
