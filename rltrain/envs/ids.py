"""Environment ids: which there are, and what is said of one that there is not."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rltrain.core.errors import UserError, nearest

# Namespaces whose ids exist only once their package is imported, and the extra that has it.
PACKAGES = {"ALE": ("ale_py", "atari")}


@functools.cache
def registered() -> tuple[str, ...]:
    """Every id that Gymnasium can make, of the packages that are installed."""
    import gymnasium as gym

    for module, _ in PACKAGES.values():
        if importlib.util.find_spec(module):
            package = importlib.import_module(module)
            if hasattr(package, "ALEInterface"):
                gym.register_envs(package)
    hidden = ("phys2d/", "tabular/", "GymV2", "GymV3")
    return tuple(sorted(i for i in gym.registry if not i.startswith(hidden)))


def can_make(env_id: str) -> bool:
    """Whether an id is registered, or names the module that will register it."""
    module, colon, name = env_id.partition(":")
    if colon:
        return bool(name) and all(part.isidentifier() for part in module.split("."))
    return env_id in registered()


def import_module_of(env_id: str) -> None:
    """Imports what stands before the colon of `module:Id`, from the working directory too.

    Raises:
        UserError: there is no such module, or it neither registers the id nor defines it.
    """
    import gymnasium as gym

    module, colon, name = env_id.partition(":")
    if not colon:
        registered()
        return
    if not can_make(env_id):
        raise UserError(f"env={env_id} is no module:Id, as in env=my_package:MyEnv-v0.")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module + ".").startswith(error.name + "."):
            raise UserError(
                f"env={env_id}: there is no module {module!r} in {Path.cwd()} or among the"
                " installed packages."
            ) from error
        raise
    if name not in gym.registry and factory(env_id) is None:
        near = nearest(name, gym.registry)
        raise UserError(
            f"env={env_id}: {module} does not register {name}."
            + (f" Did you mean {' or '.join(near)}?" if near else "")
        )


def factory(env_id: str) -> Callable[..., Any] | None:
    """What `module:name` names in a module that is imported, where it is no registered id."""
    module, _, name = env_id.partition(":")
    found = getattr(sys.modules.get(module), name, None)
    return found if callable(found) else None


def unknown(env_id: str) -> str:
    """One line about an id that does not exist, with the nearest that do."""
    namespace = env_id.split("/")[0]
    if namespace in PACKAGES and not importlib.util.find_spec(PACKAGES[namespace][0]):
        extra = PACKAGES[namespace][1]
        return f'env={env_id} needs a package that is missing: pip install "rltrain[{extra}]"'
    known = registered()
    base = env_id.rpartition("-v")[0] or env_id
    same = [i for i in known if i.rpartition("-v")[0].lower() == base.lower()]
    near = same or nearest(env_id, known)
    advice = f"Did you mean {' or '.join(near)}?" if near else "`rltrain list envs` shows all."
    return f"env={env_id}: there is no such environment. {advice}"
