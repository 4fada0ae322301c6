"""The registry: names, what they are configured by, what they declare, where they are.

An entry is data. The class it points to is imported when it is built, so that listing,
help, completion and configuration errors need no torch.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from rltrain.core.errors import UserError, did_you_mean, nearest
from rltrain.core.modules import reach_working_directory

_BUILTIN = ("algos", "augments", "explorations", "intrinsics", "networks", "optimizers")
GROUPS = ("algo", "augment", "exploration", "intrinsic", "network", "optimizer")


@dataclass(frozen=True)
class Entry:
    """A choice of a group.

    `observations` and `actions` are kinds of spaces (`rltrain.core.spaces.KINDS`) that an
    algorithm can work with, `explorations` names of that group; `recurrent` and
    `multi_agent` say whether it can be either, `shares` whether policy and value may be one
    network (network.shared); a network that is `recurrent` has memory. `data` says what an
    algorithm does with a dataset: nothing (`none`), learn from it beside its own steps
    (`beside`), or learn from nothing else (`only`).
    """

    group: str
    name: str
    settings: type
    target: str
    doc: str
    observations: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    explorations: tuple[str, ...] = ("none",)
    networks: bool = True
    recurrent: bool = False
    multi_agent: bool = False
    shares: bool = False
    data: Literal["none", "beside", "only"] = "none"

    @property
    def bundled(self) -> bool:
        """Whether its class is rltrain's own, or torch's."""
        return self.target.startswith(("rltrain.", "torch.")) or not self.target

    def load(self) -> Any:
        """Import and return the class.

        Raises:
            UserError: the target names a module or a class that is not there.
        """
        module, _, name = self.target.partition(":")
        where = f"{self.group}={self.name}: target={self.target}"
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not _is_part(error.name, module):
                raise
            near = did_you_mean(module, _modules_here())
            raise UserError(f"{where}: there is no module {module}.{near}") from error
        if not hasattr(found, name):
            classes = [n for n, value in vars(found).items() if isinstance(value, type)]
            file = getattr(found, "__file__", None) or module
            raise UserError(f"{where}: {file} has no class {name}.{did_you_mean(name, classes)}")
        return getattr(found, name)


_entries: dict[str, dict[str, Entry]] = {group: {} for group in GROUPS}
_loaded: set[str] = set()


def register(entry: Entry) -> None:
    """Add an entry; a second of the same group and name must be the same.

    Raises:
        UserError: the entry cannot be one, or its name is taken.
    """
    if entry.group not in _entries:
        near = did_you_mean(entry.group, GROUPS)
        raise UserError(f"register: there is no group {entry.group!r}.{near}")
    where = f"register {entry.group}={entry.name}"
    if not dataclasses.is_dataclass(entry.settings):
        raise UserError(f"{where}: its settings need the line `@dataclass(frozen=True)`.")
    if entry.target and not re.fullmatch(r"[\w.]+:\w+", entry.target):
        raise UserError(f"{where}: target={entry.target!r} must be of the form module:Class.")
    known = _entries[entry.group].setdefault(entry.name, entry)
    if known != entry:
        raise UserError(f"{where}: the name is taken by {known.target}.")


def entries(group: str) -> dict[str, Entry]:
    """All entries of a group by name, built-in ones and those of installed plug-ins."""
    load_plugins()
    return _entries[group]


def entry(group: str, name: object) -> Entry:
    """The entry of a name.

    Raises:
        UserError: there is none; the message names the nearest.
    """
    known = entries(group)
    if not isinstance(name, str) or name not in known:
        raise UserError(f"{group}={name} is not known.{did_you_mean(str(name), known)}")
    return known[name]


@functools.cache
def _builtin_and_installed() -> tuple[str, ...]:
    builtin = [f"rltrain.settings.{name}" for name in _BUILTIN]
    installed = [point.module for point in metadata.entry_points(group="rltrain.plugins")]
    return (*builtin, *installed)


def load_plugins(modules: tuple[str, ...] = ()) -> None:
    """Import the built-in settings, every `rltrain.plugins` entry point, and `modules`.

    Raises:
        UserError: one of `modules` is not there, or of the standard library.
    """
    if modules:
        reach_working_directory()
    for module in modules:
        if not module.isascii() or not all(part.isidentifier() for part in module.split(".")):
            raise UserError(f"plugins: {module!r} is not the name of a module.")
        if module.partition(".")[0] in sys.stdlib_module_names:
            raise UserError(f"plugins: {module} is of Python's standard library.")
    for module in (*_builtin_and_installed(), *modules):
        if module not in _loaded:
            try:
                importlib.import_module(module)
            except ModuleNotFoundError as error:
                if not _is_part(error.name, module):
                    raise
                near = nearest(module, _modules_here())
                raise UserError(
                    f"plugins: there is no module {module} here or among the installed packages."
                    + (f" Did you mean {' or '.join(near)}?" if near else "")
                ) from error
            except UserError as error:
                raise UserError(f"plugins: {module}: {error}") from error
            _loaded.add(module)


def _is_part(missing: str | None, module: str) -> bool:
    """Whether a module that was not found is the one that was imported, or a package of it."""
    return missing is not None and f"{module}.".startswith(f"{missing}.")


def _modules_here() -> list[str]:
    """Return the modules of the working directory, which is where a plug-in is looked for."""
    files = [*Path.cwd().glob("*.py"), *Path.cwd().glob("*/__init__.py")]
    return [file.parent.name if file.stem == "__init__" else file.stem for file in files]
