"""Modules that a user's configuration names: the path that they are found on, and their files."""

from __future__ import annotations

import hashlib
import importlib.util
import site
import sys
import sysconfig
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import NamedTuple


def reach_working_directory(first: bool = False) -> None:
    """Make modules of the working directory importable, as a console script does not.

    They come after what is installed, so that none takes the place of a package that rltrain
    imports later; with `first`, of a command that trains, they come before.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0 if first else len(sys.path), here)


class Origin(NamedTuple):
    """Where a top-level module comes from.

    `sha256` is that of a module of one file, and empty for a package; `installed` says
    whether it is in the interpreter's folders of packages.
    """

    file: str
    sha256: str
    installed: bool

    def same(self, other: Origin) -> bool:
        """Return whether both are one module: the same file, the same text, or an installed one."""
        if self.installed or other.installed:
            return self.installed and other.installed
        return self.file == other.file or ("" != self.sha256 == other.sha256)


def origin(name: str) -> Origin | None:
    """Return where a top-level module would be imported from, without importing it.

    None where there is none, or it is not made of files.
    """
    spec = _find(name)
    if spec is None:
        return None
    where = (
        spec.origin
        if spec.has_location
        else next(iter(spec.submodule_search_locations or ()), None)
    )
    if where is None:
        return None
    file = Path(where).resolve()
    alone = spec.submodule_search_locations is None and file.is_file()
    text = hashlib.sha256(file.read_bytes()).hexdigest() if alone else ""
    return Origin(str(file), text, any(file.is_relative_to(folder) for folder in _installations()))


def _find(name: str) -> ModuleSpec | None:
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # a module that was made by hand has no specification
        return None
    return found or PathFinder.find_spec(name, [str(Path.cwd())])


def _installations() -> set[Path]:
    paths = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    if site.ENABLE_USER_SITE:
        paths.append(site.getusersitepackages())
    return {Path(path).resolve() for path in paths}
