"""Where the configuration files are, in every kind of installation."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rltrain.core.errors import UserError

_LONGEST = 255  # bytes of a file's name, on the file systems of Linux


def config_dir() -> Path:
    """`configs/`: inside the package in a wheel, beside it in a clone.

    Looked up from this file, because an editable install may leave a stale copy where
    importlib.resources would look.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / "config.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no configs/ in {package} or beside it: the installation is broken")


def user_config_dir() -> Path | None:
    """`./configs` of the working directory, where it is another than rltrain's own."""
    folder = Path.cwd() / "configs"
    return folder if folder.is_dir() and folder.resolve() != config_dir().resolve() else None


def shown(path: Path) -> str:
    """Return a path as a message shows it: from the working directory, where it lies in it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def check_lengths(text: str, shown: str) -> None:
    """Check that each name in a path, or in several with commas between, can be a file's.

    Raises:
        UserError: one is too long; the message begins with `shown`, shortened.
    """
    if any(len(os.fsencode(name)) > _LONGEST for name in re.split("[/,]", text)):
        raise UserError(f"{shown[:60]}…: a name of more than {_LONGEST} bytes.")
