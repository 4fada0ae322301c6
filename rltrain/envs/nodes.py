"""Nodes: the form that the state of an object has when it is read, and what they are made of."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np

from rltrain.envs import foreign
from rltrain.envs.constants import slots_of

KIND = "__kind__"
# From so many bytes of an array and items of a table on, what is unchanged is not saved again.
LARGE, LARGE_TABLE = 2**20, 2**13
DATA = frozenset((dict, list, tuple, set))
SCALARS = frozenset((bool, int, float, str, bytes))
BASES: tuple[type, ...] = (dict, list, tuple, set, collections.deque)
NATIVE = frozenset("?bBhHiIlLqQefdFD")  # dtypes that a checkpoint holds as they are
STANDARD: dict[str, Any] = {
    "iter": iter,
    **{
        f"{cls.__module__}.{cls.__qualname__}": cls
        for cls in (
            *(reversed, enumerate, zip, map, filter, range, slice, complex, bytearray, frozenset),
            *foreign.STANDARD,
        )
    },
}
# Links to what is a layer of its own, or only describes how the environment was made.
LINKS = frozenset(("env", "parallel_env", "aec_env"))
DESCRIPTIONS = frozenset(
    ("spec", "_cached_spec", "_saved_kwargs", "_ezpickle_args", "_ezpickle_kwargs")
)


def parts_of_data(value: Any) -> dict[int, tuple[int, Any]] | None:
    """Return owner and key of each list and dictionary inside of `value`, by identity.

    None where it is not large, or holds something other than plain values.
    """
    inside: dict[int, tuple[int, Any]] = {}
    size, waiting, seen = 0, [value], {id(value)}
    while waiting:
        owner = waiting.pop()
        items = owner.items() if type(owner) is dict else enumerate(owner)
        size += len(owner)
        for key, item in items:
            if type(item) in SCALARS or item is None:
                continue
            if type(item) not in DATA or type(owner) is set or id(item) in seen:
                return None
            inside[id(item)] = id(owner), key
            seen.add(id(item))
            waiting.append(item)
        if type(owner) is dict and not all(_is_key(key) for key in owner):
            return None
    return inside if size >= LARGE_TABLE else None


def _is_key(key: Any) -> bool:
    return type(key) in SCALARS or (type(key) is tuple and SCALARS.issuperset(map(type, key)))


def hold(node: dict[str, Any]) -> None:
    """Mark a node whose object a constant refers to: it is to be changed in place."""
    node["held"] = True
    if node.get(KIND) == "view":
        hold(node["base"])


def saves_itself(layer: Any) -> bool:
    """Whether an environment has methods of its own to save it."""
    own = getattr(layer, "unwrapped", None) is layer
    return own and hasattr(layer, "snapshot") and hasattr(layer, "restore")


def attributes_of(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, those in slots included."""
    found = dict(getattr(value, "__dict__", {}))
    found |= {n: getattr(value, n) for n in slots_of(type(value)) if hasattr(value, n)}
    return {n: v for n, v in found.items() if n not in DESCRIPTIONS}


def standard_name(function: Any) -> str:
    """Return the name in `STANDARD` of what rebuilds a value of the standard library."""
    return next(name for name, known in STANDARD.items() if known is function)


def below(path: str, key: Any, i: int) -> str:
    """Return the path of item `key`, which is the `i`th, of the dictionary at `path`."""
    return f"{path}[{key!r}]" if type(key) in SCALARS else f"{path}.value{i}"


def copied(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: copied(value) for key, value in state.items()}
    return state.copy() if isinstance(state, np.ndarray) else state


def array_state(value: Any) -> Any:
    """Return a copy of an array; one of a type that no checkpoint holds as its bytes."""
    order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    native = value.dtype.char in NATIVE and value.dtype.isnative
    if native and order == "C":
        return value.copy()
    data = np.frombuffer(value.tobytes(order), np.uint8).copy()
    return {"dtype": value.dtype.str, "shape": list(value.shape), "order": order, "bytes": data}


def address_of(array: Any) -> int:
    return int(array.__array_interface__["data"][0])
