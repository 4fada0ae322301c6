"""Contents of values that are compared and never restored, and names of classes and functions."""

from __future__ import annotations

import functools
import logging
import re
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from rltrain.envs import foreign


class UnreadableError(Exception):
    """The state of a value cannot be read."""


def parts_of(value: Any, path: str, read: Callable[[Any, str], Any], kept: list[Any]) -> Any:
    """Return what a constant consists of; `read` makes nodes of what it leads to.

    Temporary objects are added to `kept`, so that identities stay unique.

    Raises:
        UnreadableError: the class does not tell.
    """
    if isinstance(value, types.FunctionType):
        cells = [c.cell_contents for c in value.__closure__ or ()]
        parts = [value.__defaults__, value.__kwdefaults__, cells, vars(value)]
        return [_code(value.__code__), read(parts, path + ".closure")]
    if isinstance(value, types.MethodType):
        return [name_of(value.__func__), read(value.__self__, path + ".__self__")]
    if isinstance(value, types.BuiltinMethodType):
        owner = value.__self__
        named = owner is None or isinstance(owner, types.ModuleType)
        return [value.__name__, None if named else read(owner, path + ".__self__")]
    if isinstance(value, functools.partial):
        return read([value.func, value.args, value.keywords], path + ".partial")
    if isinstance(value, type | types.ModuleType | np.ufunc | logging.Logger | np.dtype):
        return str(value)
    if isinstance(value, re.Pattern):
        return [value.pattern, value.flags]
    if isinstance(value, weakref.ref):
        return read(value(), path + "()")
    if callable(value) and hasattr(value, "__wrapped__"):
        return read(value.__wrapped__, path + ".__wrapped__")
    if (data := foreign.content(value)) is not None:
        return data
    if type(value) is np.ndarray:
        return bytes_of(value)
    return _reduced(value, path, read, kept)


def _reduced(value: Any, path: str, read: Callable[[Any, str], Any], kept: list[Any]) -> Any:
    """Return what the class itself would hand to `pickle`."""
    if foreign.package_of(type(value)) in foreign.ALIVE:
        raise UnreadableError
    try:
        parts: Any = value.__reduce_ex__(4)
    except Exception as error:  # whatever the class raises
        raise UnreadableError from error
    if isinstance(parts, str):
        return parts
    function, arguments, *rest = parts
    rest = [list(x) if i and x is not None else x for i, x in enumerate(rest[:3])]
    kept.append((parts, rest))
    return [name_of(function), read([list(arguments), rest], path + ".reduced")]


def slots_of(cls: type) -> list[str]:
    """Return the names of a class's slots, as they are stored."""
    names = []
    for owner in cls.__mro__:
        own = vars(owner).get("__slots__", ())
        for name in (own,) if isinstance(own, str) else own:
            private = name.startswith("__") and not name.endswith("__")
            names.append(f"_{owner.__name__.lstrip('_')}{name}" if private else name)
    return [n for n in names if n not in ("__dict__", "__weakref__")]


def name_of(value: Any) -> list[str]:
    """Return the module and the qualified name of a class or function."""
    return [foreign.module_of(value), getattr(value, "__qualname__", type(value).__name__)]


def find(name: list[str]) -> Any:
    """Return what is called so in a module that is imported; None where nothing is."""
    found: Any = sys.modules.get(name[0])
    for part in name[1].split("."):
        found = getattr(found, part, None)
    return found


def bytes_of(value: Any) -> bytes:
    return f"{value.dtype.str}{value.shape}".encode() + bytes(value.tobytes())


def _code(code: types.CodeType) -> list[Any]:
    constants = [_code(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    return [code.co_name, code.co_code, list(code.co_names), constants]
