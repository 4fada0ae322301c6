"""Which callables of a module may be called to make an environment.

An environment class may: one of Gymnasium's, or one that has PettingZoo's parallel interface.
So may a function that makes environments by all that can be known before it is called: it is
defined in the package that is named, which is not of the standard library, and refers to
environments, in its annotations, its body, or its module. Anything else, as `os:system`,
`subprocess:Popen` or `numpy:load`, is never called, whoever names it.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable
from typing import Any

import gymnasium as gym

from rltrain.core.errors import UserError

_PACKAGES = ("gymnasium", "pettingzoo")


def check_module(env_id: str) -> None:
    """Refuse a module of the standard library, before it is imported.

    Raises:
        UserError: the module of `module:name` is one.
    """
    module = env_id.partition(":")[0]
    if _top(module) in sys.stdlib_module_names:
        raise UserError(
            f"env={env_id}: {module} is of Python's standard library, which has no environments."
        )


def check(env_id: str, found: Callable[..., Any]) -> None:
    """Refuse what is neither an environment class nor a function that makes environments.

    Raises:
        UserError: `found`, which `env_id` names, is neither.
    """
    while isinstance(found, functools.partial):
        found = found.func
    if inspect.isclass(found):
        if not _is_environment(found):
            raise UserError(
                f"env={env_id} is a class, but not one of environments: it must be a subclass of"
                " gymnasium.Env, or have PettingZoo's parallel interface."
            )
        return
    module, _, name = env_id.partition(":")
    if not isinstance(found, types.FunctionType):
        raise UserError(
            f"env={env_id} is neither an environment class nor a function: it is not called."
        )
    home = found.__module__ or ""
    if _top(home) != _top(module):
        raise UserError(
            f"env={env_id} is defined in {home}, and is not called as another module's."
            f" If it makes an environment: env={home}:{found.__qualname__}"
        )
    if not _refers_to_environments(found):
        raise UserError(
            f"env={env_id}: nothing tells that this function makes an environment, so that it is"
            f" not called. Write `def {name}(…) -> gymnasium.Env:`, or register it in {module}:"
            f' gymnasium.register("{name}-v0", entry_point={name})'
        )


def _top(module: str) -> str:
    return module.partition(".")[0]


def _is_environment(cls: type) -> bool:
    """Whether a class has what every environment has; none of the standard library does."""
    if issubclass(cls, gym.Env):
        return True
    return all(callable(getattr(cls, name, None)) for name in ("reset", "step"))


def _refers_to_environments(function: types.FunctionType) -> bool:
    wanted = str(inspect.get_annotations(function).get("return", ""))
    names = {_top(word) for word in _names_in(function.__code__)}
    return (
        "Env" in wanted
        or not names.isdisjoint(_PACKAGES)
        or any(map(_speaks_of_environments, function.__globals__.values()))
    )


def _names_in(code: types.CodeType) -> set[str]:
    """What a function's body refers to, functions inside of it included."""
    inner = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*map(_names_in, inner))


def _speaks_of_environments(value: Any) -> bool:
    """Whether a module's global is of a package of environments, or an environment class."""
    if inspect.isclass(value):
        return issubclass(value, gym.Env)
    name = getattr(value, "__name__" if inspect.ismodule(value) else "__module__", None)
    return isinstance(name, str) and _top(name) in _PACKAGES
