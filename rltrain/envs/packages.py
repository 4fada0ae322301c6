"""Packages that environments import, the extras that bring them, and missing ones."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from rltrain.core.errors import UserError

# What the packages of each extra of pyproject.toml are imported as.
BRINGS: dict[str, tuple[str, ...]] = {
    "atari": ("ale_py",),
    "box2d": ("Box2D", "pygame"),
    "classic": ("pygame",),
    "minatar": ("minatar",),
    "minigrid": ("minigrid", "pygame"),
    "mujoco": ("mujoco", "imageio"),
    "pettingzoo": ("pettingzoo", "mpe2", "pygame", "Box2D", "pymunk", "scipy"),
    "pettingzoo-atari": ("multi_agent_ale_py", "ale_py"),
}
# The extra of the environments in a module, and of what draws them.
_FAMILIES = {
    "ale_py": "atari",
    "gymnasium.envs.box2d": "box2d",
    "gymnasium.envs.classic_control": "classic",
    "gymnasium.envs.mujoco": "mujoco",
    "gymnasium.envs.toy_text": "classic",
    "minatar": "minatar",
    "minigrid": "minigrid",
    "pettingzoo.atari": "pettingzoo-atari",
    "pettingzoo": "pettingzoo",
    "mpe2": "pettingzoo",
}


def family(module: str) -> str | None:
    """Return the extra of environments that a module defines, where one has them."""
    found = (x for m, x in _FAMILIES.items() if f"{module}.".startswith(f"{m}."))
    return next(found, None)


def lacking(module: str) -> str | None:
    """Return the extra without which the environments of a module cannot run, unless it is here.

    Gymnasium's classic control and toy text run without theirs, and cannot be drawn.
    """
    extra = family(module)
    if extra is None or extra == "classic" or all(map(importlib.util.find_spec, BRINGS[extra])):
        return None
    return extra


def draws_with_pygame(module: str) -> bool:
    """Return whether the environments of a module import pygame once they render an image."""
    extra = family(module) if module.startswith("gymnasium.envs.") else None
    return extra is not None and "pygame" in BRINGS[extra]


def missing(module: str, extra: str | None = None) -> str:
    """Return what to say of a module that cannot be found: its name, and what installs it.

    Args:
        module: the name that the import statement has.
        extra: the one that the environment belongs to; preferred where several bring the module.
    """
    name = module.partition(".")[0]
    extras = [x for x, names in BRINGS.items() if name in names]
    best = extra if extra in extras else next(iter(extras), None)
    advice = f': pip install "rltrain[{best}]"' if best else "."
    return f"needs the package {name}, which is not installed{advice}"


def explain(env_id: str, error: BaseException, module: str) -> UserError:
    """Return the error of a user whose environment of `module` could not be imported or made."""
    name = next((e.name for e in _chain(error) if isinstance(e, ModuleNotFoundError)), None)
    if name is None:  # a package is there, and is not the one that is needed
        return UserError(f"env={env_id} cannot be made: {error}")
    return UserError(f"env={env_id} {missing(name, family(module))}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
