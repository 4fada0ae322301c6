"""PettingZoo's environments: `pettingzoo:FAMILY/NAME_vN`."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Callable
from typing import Any

from rltrain.core.errors import UserError, nearest

PREFIX = "pettingzoo:"
EXTRA = "pettingzoo"
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
    for family, packages in FAMILIES.items():
        for package in packages:
            for name in _versions(package):
                found.setdefault(f"{PREFIX}{family}/{name}", f"{package}.{name}")
    return found


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
        UserError: there is no such id, its package is missing, or it is no parallel one.
    """
    module = modules().get(env_id)
    if module is None:
        raise UserError(unknown(env_id))
    try:
        imported = importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f'env={env_id} needs a package that is missing: pip install "rltrain[{EXTRA}]"'
            f" ({error})"
        ) from error
    made: Callable[..., Any] | None = getattr(imported, "parallel_env", None)
    if made is None:
        raise UserError(
            f"env={env_id}: its agents take turns; only environments whose agents act at the same"
            " time (PettingZoo's parallel_env) can be trained on."
        )
    return made


def unknown(env_id: str) -> str:
    """One line about an id that there is not, with the nearest that there are."""
    family, _, name = env_id.removeprefix(PREFIX).partition("/")
    known = modules()
    if not known or (family in FAMILIES and not any(_of(family, i) for i in known)):
        return f'env={env_id} needs a package that is missing: pip install "rltrain[{EXTRA}]"'
    base = re.sub(r"_v\d+$", "", name)
    same = [i for i in known if re.sub(r"_v\d+$", "", i.partition("/")[2]) == base]
    near = same or nearest(env_id, known)
    advice = f"Did you mean {' or '.join(near)}?" if near else "`rltrain list envs` shows all."
    return f"env={env_id}: there is no such environment. {advice}"


def _of(family: str, env_id: str) -> bool:
    return env_id.startswith(f"{PREFIX}{family}/")
