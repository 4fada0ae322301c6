"""The registry: names, what they are configured by, what they declare, where they are.

An entry is data. The class it points to is imported when it is built, so that listing,
help, completion and configuration errors need no torch.
"""

from __future__ import annotations

import functools
import importlib
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

from rltrain.core.errors import UserError, did_you_mean
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
        """Imports and returns the class."""
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)


_entries: dict[str, dict[str, Entry]] = {group: {} for group in GROUPS}
_loaded: set[str] = set()


def register(entry: Entry) -> None:
    """Adds an entry; a second of the same group and name must be the same."""
    known = _entries[entry.group].setdefault(entry.name, entry)
    if known != entry:
        raise ValueError(f"{entry.group}={entry.name} is registered already: {known.target}")


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
            except (ModuleNotFoundError, ValueError, TypeError) as error:
                missing = getattr(error, "name", None) or module
                if not (module + ".").startswith(missing + "."):
                    raise
                raise UserError(
                    f"plugins: there is no module {module} here or among the installed packages."
                ) from error
            _loaded.add(module)
