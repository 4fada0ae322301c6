"""Write nodes that `reading` made back into a fresh environment.

Only classes and functions of the environment's own packages are created or looked up by
name; no constructor is called, and nothing is imported.
"""

from __future__ import annotations

import collections
import copy
import enum
import operator
import random
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np

from rltrain.envs import foreign
from rltrain.envs.constants import find, name_of
from rltrain.envs.nodes import KIND, LINKS, STANDARD, attributes_of, below

_BASES: dict[str, Any] = {
    "dict": dict,
    "list": list,
    "tuple": tuple,
    "set": set,
    "deque": collections.deque,
}
_FACTORIES = {("builtins", cls.__name__): cls for cls in (list, dict, set, int, float, str, bool)}
_CONTAINERS = {  # of the standard library
    ("collections", cls.__name__): cls
    for cls in (collections.OrderedDict, collections.Counter, collections.defaultdict)
}


class Writer:
    """Restores one environment, whose classes are of `packages`.

    `fresh` has the digests of its constants as they are before anything is restored.
    """

    def __init__(self, packages: Container[str], fresh: Mapping[str, str] | None = None) -> None:
        self._packages, self._fresh = packages, fresh
        self._known: dict[str, Any] = {}  # objects that others are the same as, by path
        self._used: set[int] = set()  # a fresh object is written into once

    def write_layers(self, owners: Sequence[Any], nodes: Sequence[Any], paths: list[str]) -> None:
        """Restore wrappers and an environment; those without a node are only referred to."""
        self._known |= dict(zip(paths, owners, strict=True))
        for owner, node, path in zip(owners, nodes, paths, strict=True):
            if node is not None:
                self._attributes(owner, node["value"], path, LINKS)

    def write(self, node: Any, current: Any, path: str) -> Any:
        """Return what `node` stands for; `current` is what a fresh environment has there.

        Raises:
            TypeError, ValueError: it cannot be restored.
        """
        if not isinstance(node, dict):
            return node
        kind = node[KIND]
        if kind == "same":
            found = self._known[node["value"]]
            for key in node.get("keys", ()):
                found = found[key]
            return found
        if kind in _BASES:
            return self._container(kind, node, current, path)
        value: Any = getattr(self, f"_{kind}")(node, current, path)
        self._note(node, value)
        return value

    def _note(self, node: dict[str, Any], value: Any) -> None:
        if "path" in node:
            self._known[node["path"]] = value

    def _take(self, current: Any, fits: bool) -> bool:
        """Whether to write into `current`: it fits, and nothing was written into it before."""
        free = fits and id(current) not in self._used
        self._used.add(id(current))
        return free

    def _class(self, name: list[str], path: str) -> Any:
        if (standard := _CONTAINERS.get((name[0], name[1]))) is not None:
            return standard
        cls = find(name) if name[0].partition(".")[0] in self._packages else None
        if not isinstance(cls, type) or any("__del__" in vars(c) for c in cls.__mro__):
            raise TypeError(f"{path} is an object that a fresh environment does not have")
        return cls

    def _constant(self, node: dict[str, Any], current: Any, path: str) -> Any:
        if self._fresh is not None and self._fresh.get(path) != node["value"]:
            raise ValueError(f"{path} is not as it was in the run")
        return current

    def _named(self, node: dict[str, Any], current: Any, path: str) -> Any:
        name = node["value"]
        if callable(current) and name_of(current) == name:
            return current
        if (built_in := _FACTORIES.get(tuple(name))) is not None:
            return built_in
        found = find(name) if name[0].partition(".")[0] in self._packages else None
        if found is None or not callable(found):
            raise TypeError(f"{path} is {name[1]}, which a fresh environment does not have")
        return found

    def _scalar(self, node: dict[str, Any], current: Any, path: str) -> Any:
        return _array(node["value"])[()]

    def _enum(self, node: dict[str, Any], current: Any, path: str) -> Any:
        cls = type(current) if name_of(type(current)) == node["class"] else find(node["class"])
        if not (isinstance(cls, type) and issubclass(cls, enum.Enum)):
            raise TypeError(f"{path} is a {node['class'][1]}, which is not there")
        return cls(node["value"]) if node["name"] is None else cls[node["name"]]

    def _array(self, node: dict[str, Any], current: Any, path: str) -> Any:
        array = _array(node["value"])
        alike = (
            isinstance(current, np.ndarray)
            and current.flags.writeable
            and (current.shape, current.dtype) == (array.shape, array.dtype)
        )
        if alike and ("memory" in node or ("held" in node and self._take(current, True))):
            current[...] = array
            return current
        array.flags.writeable = "frozen" not in node
        return array

    def _objects(self, node: dict[str, Any], current: Any, path: str) -> Any:
        olds = current.ravel().tolist() if isinstance(current, np.ndarray) else []
        array = np.empty(len(node["value"]), object)
        for i, item in enumerate(node["value"]):
            array[i] = self.write(item, olds[i] if i < len(olds) else None, f"{path}[{i}]")
        return array.reshape(node["shape"])

    def _view(self, node: dict[str, Any], current: Any, path: str) -> Any:
        base = self.write(node["base"], getattr(current, "base", None), path + ".base")
        offset, shape, strides, dtype = node["value"]
        view = _view_of(base, offset, tuple(shape), tuple(strides), np.dtype(dtype))
        if (
            "held" in node
            and getattr(current, "base", None) is base
            and _same_memory(current, view)
        ):
            return current
        if "frozen" in node:
            view.flags.writeable = False
        return view

    def _generator(self, node: dict[str, Any], current: Any, path: str) -> Any:
        state = node["value"]
        cls = getattr(np.random, state["bit_generator"])
        fits = isinstance(current, np.random.Generator) and type(current.bit_generator) is cls
        current = current if self._take(current, fits) else np.random.Generator(cls())
        current.bit_generator.state = state
        return current

    def _random(self, node: dict[str, Any], current: Any, path: str) -> Any:
        version, words, gauss = node["value"]
        fits = type(current) is random.Random
        current = current if self._take(current, fits) else random.Random()
        current.setstate((version, tuple(words), gauss))
        return current

    def _random_state(self, node: dict[str, Any], current: Any, path: str) -> Any:
        fits = isinstance(current, np.random.RandomState)
        current = current if self._take(current, fits) else np.random.RandomState()
        current.set_state(node["value"])
        return current

    def _foreign(self, node: dict[str, Any], current: Any, path: str) -> Any:
        return foreign.write(node, current)

    def _standard(self, node: dict[str, Any], current: Any, path: str) -> Any:
        arguments, state = node["value"]
        made = STANDARD[node["function"]](*self.write(arguments, None, path + ".arguments"))
        if state is not None:
            made.__setstate__(self.write(state, None, path + ".state"))
        return made

    def _object(self, node: dict[str, Any], current: Any, path: str) -> Any:
        if not self._take(current, name_of(type(current)) == node["class"]):
            current = object.__new__(self._class(node["class"], path))
        self._note(node, current)
        self._attributes(current, node["value"], path)
        return current

    def _attributes(
        self, owner: Any, nodes: dict[str, Any], path: str, less: Container[str] = ()
    ) -> None:
        current = attributes_of(owner)
        for name, node in nodes.items():
            value = self.write(node, current.get(name), f"{path}.{name}")
            if name in getattr(owner, "__dict__", ()) or not hasattr(type(owner), name):
                owner.__dict__[name] = value
            else:
                object.__setattr__(owner, name, value)
        for name in current:
            if name not in nodes and name not in less:
                object.__delattr__(owner, name)

    def _container(self, kind: str, node: dict[str, Any], current: Any, path: str) -> Any:
        base, nodes = _BASES[kind], node["value"]
        same = isinstance(current, base)
        cls = base
        if "class" in node:
            same = name_of(type(current)) == node["class"]
            cls = type(current) if same else self._class(node["class"], path)
        if base is tuple:
            olds = dict(enumerate(current)) if same else {}
            items = [self.write(n, olds.get(i), f"{path}[{i}]") for i, n in enumerate(nodes)]
            made = tuple.__new__(cls, items)
            if same and len(current) == len(made) and all(map(operator.is_, current, made)):
                made = current
            self._note(node, made)
            return made
        held = "held" in node and type(current) is cls and self._take(current, True)
        made = current if held else base.__new__(cls)
        self._note(node, made)
        current = copy.copy(current) if held else current
        if base is dict:
            _kind_of(made).clear(made)
            self._fill(made, nodes, current if same else {}, path)
        else:
            olds = dict(enumerate(current)) if same else {}
            items = [self.write(n, olds.get(i), f"{path}[{i}]") for i, n in enumerate(nodes)]
            limit = (node["maxlen"],) if base is collections.deque else ()
            base.__init__(made, items, *limit)
        if "factory" in node:
            factory = current.default_factory if same else None
            made.default_factory = self.write(node["factory"], factory, path + ".default_factory")
        if "class" in node:
            self._attributes(made, node["attributes"], path)
        return made

    def _fill(self, made: Any, pairs: list[Any], current: Any, path: str) -> None:
        keys = list(current)
        for i, (key, value) in enumerate(pairs):
            old = keys[i] if i < len(keys) else None
            written = self.write(key, old, f"{path}.key{i}")
            place = below(path, written, i)
            new = self.write(value, current.get(written), place)
            _kind_of(made).__setitem__(made, written, new)


def _kind_of(made: Any) -> type[dict[Any, Any]]:
    """Return the class whose methods change a dictionary, whatever its own class makes of them."""
    return collections.OrderedDict if isinstance(made, collections.OrderedDict) else dict


def _array(saved: Any) -> Any:
    """Return a new array of what `reading` made of one."""
    if isinstance(saved, np.ndarray):
        return saved.copy()
    flat = np.frombuffer(saved["bytes"].tobytes(), saved["dtype"])
    array = np.empty(saved["shape"], saved["dtype"], order=saved["order"])
    array[...] = flat.reshape(saved["shape"], order=saved["order"])
    return array


def _view_of(
    base: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any
) -> Any:
    if not (base.flags.c_contiguous or base.flags.f_contiguous):
        raise ValueError("a view of an array with gaps")
    memory = base.reshape(-1, order="A").view(np.uint8)
    return np.ndarray(shape, dtype, memory, offset, strides).view()  # whose base is `base`


def _same_memory(a: Any, b: Any) -> bool:
    keys = ("data", "shape", "strides", "typestr")
    arrays = isinstance(a, np.ndarray) and a.base is b.base
    return arrays and all(a.__array_interface__[k] == b.__array_interface__[k] for k in keys)
