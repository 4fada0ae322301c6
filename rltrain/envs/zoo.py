"""PettingZoo's environments: `pettingzoo:FAMILY/NAME_vN`."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rltrain.core.errors import UserError, nearest
from rltrain.envs import packages

PREFIX = "pettingzoo:"
ATARI = "pettingzoo.atari."
# The particle environments have a package of their own now.
FAMILIES = {
    "mpe": ("mpe2", "pettingzoo.mpe"),
    "sisl": ("pettingzoo.sisl",),
    "butterfly": ("pettingzoo.butterfly",),
    "classic": ("pettingzoo.classic",),
    "atari": ("pettingzoo.atari",),
}


def is_id(env_id: str) -> bool:
    return env_id.startswith(PREFIX)


@functools.cache
def modules() -> dict[str, str]:
    """The module of each id, of the packages that are installed; they are not imported."""
    found: dict[str, str] = {}
    for family, homes in FAMILIES.items():
        for package in homes:
            for name in _versions(package):
                found.setdefault(f"{PREFIX}{family}/{name}", f"{package}.{name}")
    return found


def ids() -> list[str]:
    """Return the ids of `modules` whose agents act at the same time, sorted."""
    return sorted(env_id for env_id, module in modules().items() if _is_parallel(module))


def lacking(env_id: str) -> str | None:
    """Return the extra that an id of `modules` needs and that is not installed."""
    return packages.lacking(modules()[env_id])


def _is_parallel(module: str) -> bool:
    """Whether a module defines `parallel_env`, by its text: importing it may need more packages."""
    spec = importlib.util.find_spec(module)
    return spec is None or not spec.origin or "parallel_env" in Path(spec.origin).read_text("utf-8")


def _versions(package: str) -> list[str]:
    try:
        spec = importlib.util.find_spec(package)
    except ImportError:
        return []
    folders = spec.submodule_search_locations if spec is not None else None
    names = [module.name for module in pkgutil.iter_modules(folders)] if folders else []
    return sorted(name for name in names if re.search(r"_v\d+$", name))


def factory(env_id: str) -> Callable[..., Any]:
    """What makes the parallel environment of an id.

    Raises:
        UserError: there is no such id, a package is missing, or it is no parallel one.
    """
    module = modules().get(env_id)
    if module is None:
        raise UserError(unknown(env_id))
    if not _is_parallel(module):
        raise UserError(
            f"env={env_id}: its agents take turns; only environments whose agents act at the same"
            " time (PettingZoo's parallel_env) can be trained on."
        )
    try:
        made: Callable[..., Any] = importlib.import_module(module).parallel_env
        if module.startswith(ATARI):  # ale-py brings the ROMs
            roms = Path(str(importlib.import_module("ale_py").__file__)).parent
            made = functools.partial(made, auto_rom_install_path=str(roms))
    except ImportError as error:
        raise packages.explain(env_id, error, module) from error
    return made


def unknown(env_id: str) -> str:
    """One line about an id that there is not, with the nearest that there are."""
    family, _, name = env_id.removeprefix(PREFIX).partition("/")
    known = ids()
    if family in FAMILIES and not any(_of(family, i) for i in known):
        return f"env={env_id} {packages.missing(FAMILIES[family][0], 'pettingzoo')}"
    if not known:
        return f"env={env_id} {packages.missing('pettingzoo')}"
    base = re.sub(r"_v\d+$", "", name)
    same = [i for i in known if re.sub(r"_v\d+$", "", i.partition("/")[2]) == base]
    near = same or nearest(env_id, known)
    advice = f"Did you mean {' or '.join(near)}?" if near else "`rltrain list envs` shows all."
    return f"env={env_id}: there is no such environment. {advice}"


def _of(family: str, env_id: str) -> bool:
    return env_id.startswith(f"{PREFIX}{family}/")
