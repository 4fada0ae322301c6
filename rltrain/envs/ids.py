"""Environment ids: which there are, and what is said of one that there is not."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rltrain.core import modules
from rltrain.core.errors import UserError, nearest, plain
from rltrain.envs import packages

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec


class Package(NamedTuple):
    """A package that registers ids of a prefix once it is imported."""

    module: str
    register: str = ""  # a function of the module that does so, where importing it does not


PACKAGES = {
    "ALE/": Package("ale_py"),
    "MinAtar/": Package("minatar.gym", "register_envs"),
    "MiniGrid-": Package("minigrid"),
    "BabyAI-": Package("minigrid"),
}
_OWN = ("hidden", "probes", "sights", "teams")  # modules here that register ids
_FUNCTIONAL = "is one of Gymnasium's functional environments, which compute with the package jax"
# Prefixes of ids that Gymnasium registers and that cannot be trained on, and why not.
_UNUSABLE = {
    "phys2d/": _FUNCTIONAL,
    "tabular/": _FUNCTIONAL,
    "GymV21Environment-": "wraps an environment of the former package gym, by the package shimmy",
    "GymV26Environment-": "wraps an environment of the former package gym, by the package shimmy",
    "Pusher-v4": "runs with mujoco < 3 only, and Gymnasium's other environments need mujoco 3",
}
# The best-known games, for advice where ale_py is not installed.
_GAMES = (
    "Alien", "Asterix", "Asteroids", "BattleZone", "BeamRider", "Boxing", "Breakout", "Enduro",
    "Freeway", "Frostbite", "Gopher", "Hero", "IceHockey", "Jamesbond", "Kangaroo",
    "MontezumaRevenge", "MsPacman", "Pitfall", "Pong", "PrivateEye", "Qbert", "RoadRunner",
    "Seaquest", "Solaris", "SpaceInvaders", "Tennis", "Venture",
)  # fmt: skip


@functools.cache
def registered(prefix: str = "") -> tuple[str, ...]:
    """Every id with the prefix that Gymnasium can make, of the packages that are installed."""
    import gymnasium as gym

    for start, package in PACKAGES.items():
        if start.startswith(prefix) or prefix.startswith(start):
            _import(package)
    if "rltrain/".startswith(prefix) or prefix.startswith("rltrain/"):
        for name in _OWN:
            importlib.import_module(f"rltrain.envs.{name}")
    found = (spec for i, spec in gym.registry.items() if i.startswith(prefix))
    return tuple(sorted(spec.id for spec in found if not _why_unusable(spec)))


def _why_unusable(spec: EnvSpec) -> str:
    """Return why a registered environment cannot be trained on; nothing where it can."""
    for prefix, why in _UNUSABLE.items():
        if spec.id.startswith(prefix):
            return why
    entry = spec.entry_point
    if callable(entry) and entry.__module__ == "gymnasium.envs":  # a function that but raises
        return "has moved to the package gymnasium_robotics, and needs mujoco_py there"
    return ""


def lacking(env_id: str) -> str | None:
    """Return the extra that a registered environment needs and that is not installed."""
    import gymnasium as gym

    return packages.lacking(module_of(gym.spec(env_id)))


def module_of(spec: EnvSpec) -> str:
    """Return the name of the module that defines an environment."""
    entry = spec.entry_point
    return entry.partition(":")[0] if isinstance(entry, str) else getattr(entry, "__module__", "")


@functools.cache
def _import(package: Package) -> None:
    """Lets a package that is installed register its ids; one that is not the package is left."""
    root = package.module.partition(".")[0]
    if not importlib.util.find_spec(root):
        return
    if root == "ale_py" and not hasattr(importlib.import_module(root), "ALEInterface"):
        return
    with _quietly():
        module = importlib.import_module(package.module)
        if package.register:
            getattr(module, package.register)()
        if root == "ale_py":  # else each process greets
            module.ALEInterface.setLoggerMode(module.LoggerMode.Error)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what packages say of parts that they can do without, and the handler that adds."""
    handlers = logging.root.handlers[:]
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        logging.root.handlers[:] = handlers


def can_make(env_id: str) -> bool:
    """Whether an id is registered, or names the module that will register it."""
    module, colon, name = env_id.partition(":")
    if colon:
        return bool(name) and all(part.isidentifier() for part in module.split("."))
    return env_id in registered(env_id)


def import_module_of(env_id: str) -> None:
    """Imports what stands before the colon of `module:Id`, from the working directory too.

    Raises:
        UserError: there is no such module, or it neither registers the id nor defines it.
    """
    import gymnasium as gym

    module, colon, name = env_id.partition(":")
    if not colon:
        registered(env_id)
        return
    if not can_make(env_id):
        raise UserError(f"env={env_id} is no module:Id, as in env=my_package:MyEnv-v0.")
    from rltrain.envs import factories

    factories.check_module(env_id)
    modules.reach_working_directory()
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module + ".").startswith(error.name + "."):
            own = [name] if name in gym.registry else []
            near = nearest_ids(env_id) if module.endswith(".py") else own
            raise UserError(
                f"env={env_id}: there is no module {module!r} in {Path.cwd()} or among the"
                f" installed packages.{f' Did you mean env={near[0]}?' if near else ''}"
            ) from error
        raise
    if name not in gym.registry and factory(env_id) is None:
        near = nearest(name, gym.registry)
        raise UserError(
            f"env={env_id}: {module} does not register {name}."
            + (f" Did you mean {' or '.join(near)}?" if near else "")
        )


def factory(env_id: str) -> Callable[..., Any] | None:
    """Return what `module:name` names in a module that is imported, and may be called.

    Raises:
        UserError: it is callable, but nothing that makes an environment.
    """
    from rltrain.envs import factories

    module, _, name = env_id.partition(":")
    found: Callable[..., Any] | None = getattr(sys.modules.get(module), name, None)
    if not callable(found):
        return None
    factories.check(env_id, found)
    return found


def is_bundled(env_id: str) -> bool:
    """Whether an id's code is Gymnasium's or rltrain's own; its module is imported already."""
    import gymnasium as gym

    spec = gym.registry.get(env_id.rpartition(":")[2])
    return spec is not None and str(spec.entry_point).startswith(("gymnasium.", "rltrain."))


def unknown(env_id: str) -> str:
    """One line about an id that does not exist, with the nearest that do."""
    import gymnasium as gym

    package = next((p for start, p in PACKAGES.items() if env_id.startswith(start)), None)
    if package is not None and not importlib.util.find_spec(package.module.partition(".")[0]):
        return f"env={env_id} {packages.missing(package.module)}"
    spec = gym.registry.get(env_id)
    problem = f"env={env_id}: there is no such environment."
    if spec is not None and (why := _why_unusable(spec)):
        problem = f"env={env_id} {why}: it cannot be trained on."
    near = nearest_ids(env_id)
    advice = f"Did you mean {' or '.join(near)}?" if near else "`rltrain list envs` shows all."
    return f"{problem} {advice}"


def nearest_ids(env_id: str) -> list[str]:
    """The ids that are likely meant: of the same name, whatever namespace and version; else
    those that are spelt like it."""
    if env_id.endswith(".py") or ".py:" in env_id:  # a file, where a module is expected
        module = Path(env_id.partition(":")[0]).stem
        return [f"{module}:{env_id.partition(':')[2] or 'CLASS'}"]
    known = registered()
    name = _name_of(env_id)
    same = [i for i in known if _name_of(i) == name]
    same = [i for i in same if i.lower() == env_id.lower()] or same
    atari = [f"ALE/{game}-v5" for game in _GAMES if plain(game) == name]
    return same or atari or nearest(env_id, known)


def _name_of(env_id: str) -> str:
    """An id without namespace, version and spelling: `pong` of ALE/Pong-v5 and PongNoFrameskip."""
    base = re.sub(r"[-_]?v\d+$", "", env_id.rpartition("/")[2], flags=re.IGNORECASE)
    return plain(re.sub(r"(-ram)?(Deterministic|NoFrameskip)?$", "", base))
