"""Read the state of an object into nodes: plain values, arrays, and dictionaries of them.

A node is a plain value, or a dictionary whose `KIND` says how `writing` restores it. An
object that is reached twice is read once: `same` names the path of the first time, so that
a restored copy shares what the original shares. What cannot be written back (functions,
tables of other packages, generators) becomes a `constant`: a digest, which has to be the
same in the object that the state is restored into. Large data that has not changed since
`fresh` was read becomes a constant too, and is not saved again.
"""

from __future__ import annotations

import collections
import copyreg
import enum
import hashlib
import marshal
import random
import sys
import types
from collections.abc import Collection, Container, Mapping, Sequence
from typing import Any

import numpy as np

from rltrain.core.state import digest
from rltrain.envs import foreign
from rltrain.envs.constants import UnreadableError, bytes_of, find, name_of, parts_of, slots_of
from rltrain.envs.nodes import (
    BASES,
    DATA,
    KIND,
    LARGE,
    LINKS,
    SCALARS,
    address_of,
    array_state,
    attributes_of,
    below,
    copied,
    hold,
    parts_of_data,
    saves_itself,
    standard_name,
)

_new_object = vars(copyreg)["__newobj__"]  # how `complex` says that it calls a class
_HEAP_TYPE = 1 << 9  # of a class's `__flags__`: it was made by a class statement, or like one
_READABLE = frozenset(("collections", "random", "types", "dataclasses"))
_NAMED = (type, types.FunctionType, types.BuiltinFunctionType)


class Reader:
    """Reads what belongs to one environment, whose classes are of `packages`.

    `fresh` has the digests of constants, by path, as they were in a fresh environment;
    objects in `shared` belong to several environments, and are constants. With `whole` large
    data is read whole though it is as it was. After `finish`,
    `digests` has those of today, and `reasons` why what was read is not the whole state.
    """

    def __init__(
        self,
        packages: Container[str],
        fresh: Mapping[str, str] | None = None,
        shared: Container[int] = (),
        whole: bool = False,
    ) -> None:
        self.digests: dict[str, str] = {}
        self.reasons: list[str] = []
        self._packages, self._fresh, self._shared = packages, fresh, shared
        self._seen: dict[int, tuple[str, dict[str, Any]]] = {}
        self._inside: dict[int, tuple[int, Any]] = {}  # owner and key of what data consists of
        self._kept: list[Any] = []  # ids are those of living objects alone
        self._finishing = False
        self._whole = whole  # what a constant consists of is read whole, however large
        self._later: list[tuple[dict[str, Any], Any, str]] = []

    @property
    def ids(self) -> set[int]:
        """Identities of all objects that can change and were read."""
        fixed = (tuple, frozenset, type, types.FunctionType, types.ModuleType, np.dtype)
        return {id(v) for v in self._kept if not isinstance(v, fixed)} | self._inside.keys()

    def read(self, value: Any, path: str) -> Any:
        """Return the node of `value`, which `path` leads to."""
        if value is None or type(value) in SCALARS:
            return value
        if isinstance(value, enum.Enum):
            name = value._name_ if value._name_ in type(value).__members__ else None
            of_flags = None if name else value.value
            return {KIND: "enum", "class": name_of(type(value)), "name": name, "value": of_flags}
        if isinstance(value, np.generic):
            return {KIND: "scalar", "value": array_state(np.array(value))}
        if isinstance(value, _NAMED) and self._has_a_name(value):
            return {KIND: "named", "value": name_of(value)}
        if (seen := self._seen.get(id(value))) is not None:
            first, node = seen
            node["path"] = first
            if self._finishing:
                hold(node)
            return {KIND: "same", "value": first}
        if type(value) is tuple and SCALARS.issuperset(map(type, value)):
            return {KIND: "tuple", "value": list(value)}  # nobody can change it
        if id(value) in self._inside:
            return self._part(id(value))
        node = {}
        self._seen[id(value)] = (path, node)
        self._kept.append(value)
        if id(value) in self._shared:
            node.update(self._constant(node, value, path))
        else:
            node.update(self._node(value, path, node))
        return node

    def read_layers(self, owners: Sequence[Any], paths: list[str]) -> list[dict[str, Any] | None]:
        """Return the nodes of wrappers and an environment, each less the one that it wraps.

        None where an environment saves itself.
        """
        for owner, path in zip(owners, paths, strict=True):
            self._seen[id(owner)] = (path, {})
        return [
            None if saves_itself(owner) else self._object(owner, path, LINKS)
            for owner, path in zip(owners, paths, strict=True)
        ]

    def finish(self) -> None:
        """Digest the constants, which are left to the end: they may lead to what else is read."""
        self._whole = self._finishing = True
        while self._later:
            node, value, path = self._later.pop(0)
            try:
                plain = any(type(value) is base for base in BASES) or self._readable(type(value))
                whole = self._node(value, path, {}) if plain else None
                found = digest(whole or parts_of(value, path, self.read, self._kept))
            except UnreadableError:
                kind = type(value).__name__
                self.reasons.append(f"{path} is a {kind}, whose state cannot be read")
                continue
            node["value"] = self.digests[path] = found
            if self._fresh is not None and self._fresh.get(path) != found:
                kind = type(value).__name__
                self.reasons.append(f"{path} is a {kind} that changes, and cannot be written back")

    def _node(self, value: Any, path: str, node: dict[str, Any]) -> dict[str, Any]:
        if type(value) is np.ndarray:
            return self._array_node(value, path, node)
        if isinstance(value, np.random.Generator):
            return {KIND: "generator", "value": copied(value.bit_generator.state)}
        if type(value) is random.Random:
            version, words, gauss = value.getstate()
            return {KIND: "random", "value": [version, list(words), gauss]}
        if isinstance(value, np.random.RandomState):
            return {KIND: "random_state", "value": copied(value.get_state(legacy=False))}
        if (state := foreign.read(value)) is not None:
            return {KIND: "foreign", **state}
        if (state := foreign.read_changed(value)) is not None:
            found = None if self._whole else self._unchanged(foreign.content(value) or b"", path)
            name = name_of(type(value))
            return (
                {KIND: "constant", "class": name, "value": found}
                if found
                else {
                    KIND: "foreign",
                    **state,
                }
            )
        base = next((cls for cls in BASES if isinstance(value, cls)), None)
        if base is not None:
            return self._container(value, base, path)
        cls = type(value)
        if name_of(cls) in foreign.REDUCED:
            function, arguments, *state = value.__reduce_ex__(4)
            if function is _new_object:
                function, *arguments = arguments
            if isinstance(value, frozenset):
                arguments = [_in_order(value)]
            parts = [self.read(list(arguments), path + ".arguments")]
            parts.append(self.read(state[0] if state else None, path + ".state") or None)
            return {KIND: "standard", "function": standard_name(function), "value": parts}
        if self._readable(cls):
            return self._object(value, path)
        return self._constant(node, value, path)

    def _constant(self, node: dict[str, Any], value: Any, path: str) -> dict[str, Any]:
        self._later.append((node, value, path))
        return {KIND: "constant", "class": name_of(type(value)), "value": None}

    def _array_node(self, value: Any, path: str, node: dict[str, Any]) -> dict[str, Any]:
        kind = value.dtype.kind
        if kind == "O":
            items = [self.read(x, f"{path}[{i}]") for i, x in enumerate(value.ravel().tolist())]
            return {KIND: "objects", "shape": list(value.shape), "value": items}
        if kind == "V":
            return self._constant(node, value, path)
        base = value.base
        if type(base) is np.ndarray and base.dtype.kind not in "OV" and base.size:
            whole = self.read(base, path + ".base")
            offset = address_of(value) - address_of(base)
            layout = [offset, list(value.shape), list(value.strides), value.dtype.str]
            state = {KIND: "view", "base": whole, "value": layout}
            frozen = base.flags.writeable and not value.flags.writeable
            return state | {"frozen": True} if frozen else state
        if value.nbytes >= LARGE and (found := self._unchanged(bytes_of(value), path)):
            return {KIND: "constant", "class": ["numpy", "ndarray"], "value": found}
        state = {KIND: "array", "value": array_state(value)}
        if base is not None and value.flags.writeable:
            state["memory"] = True  # of another library: to be written in place
        return state if value.flags.writeable else state | {"frozen": True}

    def _unchanged(self, data: bytes, path: str) -> str | None:
        """Return the digest of data that is as it was in a fresh environment, and note it."""
        if self._whole:
            return None
        found = hashlib.sha256(data).hexdigest()
        self.digests[path] = found
        return found if self._fresh is not None and self._fresh.get(path) == found else None

    def _data(self, value: Any, path: str) -> dict[str, Any] | None:
        """Return the constant that stands for a large table which is as it was."""
        inside = None if self._whole else parts_of_data(value)
        if inside is None:
            return None
        node: dict[str, Any] = {}
        self._seen[id(value)] = (path, node)
        self._kept.append(value)
        found = self._unchanged(marshal.dumps(value, 2), path)
        if found or self._fresh is None:
            self._inside |= {key: place for key, place in inside.items() if key not in self._seen}
            node |= {KIND: "constant", "class": name_of(type(value)), "value": found}
            return node
        del self._seen[id(value)]
        return None

    def _part(self, at: int) -> dict[str, Any]:
        """Return the node of what is inside of data that is a constant."""
        keys: list[Any] = []
        while at in self._inside:
            at, key = self._inside[at]
            keys.insert(0, key)
        first, node = self._seen[at]
        node["path"] = first
        return {KIND: "same", "value": first, "keys": keys}

    def _container(self, value: Any, base: type, path: str) -> dict[str, Any]:
        state: dict[str, Any] = {KIND: base.__name__}
        plain = base is not dict and SCALARS.issuperset(map(type, value))
        if plain:
            state["value"] = _in_order(value)
        elif base is dict:
            state["value"] = [
                [self.read(k, f"{path}.key{i}"), self.read(v, below(path, k, i))]
                for i, (k, v) in enumerate(value.items())
            ]
        else:
            state["value"] = [self.read(v, f"{path}[{i}]") for i, v in enumerate(value)]
        if base is collections.deque:
            state["maxlen"] = value.maxlen
        if type(value) is not base:
            state["class"] = name_of(type(value))
            if isinstance(value, collections.defaultdict):
                state["factory"] = self.read(value.default_factory, path + ".default_factory")
            state["attributes"] = self._attributes(value, path)
        return state

    def _object(self, value: Any, path: str, less: Container[str] = ()) -> dict[str, Any]:
        attributes = self._attributes(value, path, less)
        return {KIND: "object", "class": name_of(type(value)), "value": attributes}

    def _attributes(self, value: Any, path: str, less: Container[str] = ()) -> dict[str, Any]:
        return {
            name: self._attribute(attribute, f"{path}.{name}")
            for name, attribute in attributes_of(value).items()
            if name not in less
        }

    def _attribute(self, value: Any, path: str) -> Any:
        new = id(value) not in self._seen and id(value) not in self._shared
        constant = self._data(value, path) if new and type(value) in DATA else None
        return self.read(value, path) if constant is None else constant

    def _has_a_name(self, value: Any) -> bool:
        return find(name_of(value)) is value and not getattr(value, "__closure__", None)

    def _readable(self, cls: type) -> bool:
        """Whether an object of this class is its attributes and nothing else."""
        slots = 2 + len(slots_of(cls))
        if cls.__basicsize__ > object.__basicsize__ + 8 * slots or cls is object:
            return False
        if not all(c is object or c.__flags__ & _HEAP_TYPE for c in cls.__mro__):
            return False
        package = foreign.package_of(cls)
        if package in self._packages:
            return True
        if package in sys.stdlib_module_names:
            return package in _READABLE
        copies = [c for c in cls.__mro__ if {"__reduce__", "__reduce_ex__"} & vars(c).keys()]
        states = [c for c in cls.__mro__ if "__getstate__" in vars(c)]
        own = [c for c in (*copies, *states) if c is not object and c.__name__ != "EzPickle"]
        return not own


def _in_order(values: Collection[Any]) -> list[Any]:
    """Return the items in their order: texts of a set, whose order is another one in each
    process, are sorted, so that one state has one digest."""
    texts = isinstance(values, set | frozenset) and all(type(v) in (str, bytes) for v in values)
    return sorted(values, key=repr) if texts else list(values)
