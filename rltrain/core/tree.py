"""A state as JSON and named arrays, exact to the bit and the type.

JSON holds what it has: null, true and false, strings, lists, dictionaries with names as keys,
whole numbers up to 2^53 and finite floats. All else is a dictionary with one key that begins
with a `$`:

    {"$array": [NAME]}    {"$tensor": [NAME]}    NumPy's, torch's; NAME is the array's
    {"$scalar": [NAME]}   {"$bytes": [NAME]}     kept as arrays too
    {"$int": HEX}         {"$float": HEX}        larger numbers; NaN and infinity, as 8 bytes
    {"$tuple": [...]}     {"$set": [...]}        {"$frozenset": [...]}
    {"$dict": [[KEY, VALUE], ...]}               dictionaries with other keys

An array whose dtype `tensor_file` lacks is kept as bytes, with its dtype and shape after NAME.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rltrain.core.tensor_file import Stored

CONTENT = "content"  # the name of the array that is the JSON

_LARGEST = 2**53  # whole numbers up to here are exact for every reader of JSON
_NUMPY = {
    "BOOL": np.bool_,
    "U8": np.uint8,
    "I8": np.int8,
    "U16": np.uint16,
    "I16": np.int16,
    "F16": np.float16,
    "U32": np.uint32,
    "I32": np.int32,
    "F32": np.float32,
    "U64": np.uint64,
    "I64": np.int64,
    "F64": np.float64,
}
_NUMBERS = "biufc"  # kinds of dtype that are plain memory
_NAMES = {np.dtype(cls): name for name, cls in _NUMPY.items()}
_TORCH = {
    **{name: getattr(torch, np.dtype(cls).name) for name, cls in _NUMPY.items()},
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
_TORCH_NAMES = {dtype: name for name, dtype in _TORCH.items()}
_TORCH_OTHERS = {"complex64": torch.complex64, "complex128": torch.complex128}


def flatten(tree: Any) -> dict[str, Stored]:
    """Return the arrays of a state by name, and its JSON as one named `content`.

    The arrays share memory with `tree` where they can: write them out before it changes.

    Raises:
        TypeError: a value is of a type that cannot be kept exactly.
    """
    flattener = _Flattener()
    text = json.dumps(flattener.encode(tree, ""), separators=(",", ":"), allow_nan=False)
    data = np.frombuffer(text.encode("ascii"), np.uint8)
    return flattener.arrays | {CONTENT: Stored("U8", data.shape, lambda: data)}


def unflatten(arrays: Mapping[str, Stored]) -> Any:
    """Return the state of which `flatten` made `arrays`; it uses their memory.

    Raises:
        LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError: they
            were not made by `flatten`.
    """
    return _Unflattener(arrays).decode(json.loads(arrays[CONTENT].data().tobytes()))


class _Flattener:
    def __init__(self) -> None:
        self.arrays: dict[str, Stored] = {}
        self._taken = {CONTENT, "__metadata__"}
        self._known: dict[tuple[Any, ...], str] = {}  # arrays of the same memory are kept once
        self._alive: list[Any] = []  # so that no address is used twice

    def encode(self, value: Any, path: str) -> Any:
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            return value if abs(value) <= _LARGEST else {"$int": hex(value)}
        if kind is float:
            finite = math.isfinite(value)
            return value if finite else {"$float": np.array(value, ">f8").tobytes().hex()}
        if isinstance(value, np.ndarray):
            return {"$array": self._array(value, path)}
        if isinstance(value, np.generic):
            if value.dtype.kind not in _NUMBERS:  # a text
                return self.encode(value.item(), path)
            return {"$scalar": self._array(np.asarray(value), path)}
        if isinstance(value, torch.Tensor):
            return {"$tensor": self._tensor(value, path)}
        if kind is bytes:
            return {"$bytes": self._array(np.frombuffer(value, np.uint8), path)}
        if isinstance(value, dict):
            return self._dict(value, path)
        if kind in (list, tuple, set, frozenset):
            items = [self.encode(item, f"{path}.{i}") for i, item in enumerate(value)]
            return items if kind is list else {f"${kind.__name__}": items}
        raise TypeError(f"{path.lstrip('.')}: a {kind.__name__} cannot be saved exactly.")

    def _dict(self, value: dict[Any, Any], path: str) -> Any:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: self.encode(item, f"{path}.{key}") for key, item in value.items()}
        return {
            "$dict": [
                [self.encode(key, f"{path}.{key}"), self.encode(item, f"{path}.{key}")]
                for key, item in value.items()
            ]
        }

    def _array(self, array: NDArray[Any], path: str) -> list[Any]:
        if array.dtype.kind not in _NUMBERS:
            raise TypeError(f"{path.lstrip('.')}: arrays of {array.dtype} cannot be saved exactly.")
        name = _NAMES.get(array.dtype)
        stored = Stored(name or "U8", array.shape, lambda: _bytes_of(array))
        if name is None:  # complex, extended, or of the other byte order
            stored = Stored("U8", (array.nbytes,), stored.data)
        where = (array.__array_interface__["data"][0], array.dtype.str, array.shape, array.strides)
        key = self._put(path, stored, (*where, "array"), array)
        return [key] if name else [key, array.dtype.str, list(array.shape)]

    def _tensor(self, tensor: torch.Tensor, path: str) -> list[Any]:
        plain = tensor.layout is torch.strided and not tensor.is_quantized and not tensor.is_meta
        other = str(tensor.dtype).removeprefix("torch.")
        name = _TORCH_NAMES.get(tensor.dtype)
        if not plain or not (name or other in _TORCH_OTHERS):
            raise TypeError(f"{path.lstrip('.')}: a tensor of its kind cannot be saved exactly.")
        shape = tuple(tensor.shape)
        stored = Stored(name or "U8", shape, lambda: _bytes_of_tensor(tensor))
        if name is None:
            stored = Stored("U8", (tensor.numel() * tensor.element_size(),), stored.data)
        where = (tensor.data_ptr(), tensor.dtype, shape, tensor.stride(), tensor.device)
        key = self._put(path, stored, (*where, "tensor"), tensor)
        return [key] if name else [key, other, list(shape)]

    def _put(self, path: str, stored: Stored, where: tuple[Any, ...], value: Any) -> str:
        """Notes an array under the name of its place; returns the name of the same memory."""
        if where in self._known and stored.nbytes:
            return self._known[where]
        name = path.lstrip(".") or "value"
        while name in self._taken:
            name += "~"
        self._taken.add(name)
        self._alive.append(value)
        self._known[where] = name
        self.arrays[name] = stored
        return name


def _bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _bytes_of_tensor(tensor: torch.Tensor) -> NDArray[np.uint8]:
    flat = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
    data: NDArray[np.uint8] = flat.view(torch.uint8).numpy()
    return data


class _Unflattener:
    def __init__(self, arrays: Mapping[str, Stored]) -> None:
        self._arrays = arrays
        self._bytes: dict[str, bytes] = {}  # made once, however often they are named

    def decode(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.decode(item) for item in node]
        if not isinstance(node, dict):
            return node
        if len(node) != 1 or not next(iter(node)).startswith("$"):
            return {key: self.decode(value) for key, value in node.items()}
        ((tag, value),) = node.items()
        return self._tagged(tag, value)

    def _tagged(self, tag: str, value: Any) -> Any:
        if tag == "$array":
            return self._array(*value)
        if tag == "$tensor":
            return self._tensor(*value)
        if tag == "$scalar":
            return self._array(*value).reshape(())[()]
        if tag == "$bytes":
            (name,) = value
            if name not in self._bytes:
                self._bytes[name] = self._arrays[name].data().tobytes()
            return self._bytes[name]
        if tag == "$int":
            return int(value, 16)
        if tag == "$float":
            return float(np.frombuffer(bytes.fromhex(value), ">f8")[0])
        if tag == "$dict":
            return {self.decode(key): self.decode(item) for key, item in value}
        kinds = {"$tuple": tuple, "$set": set, "$frozenset": frozenset}
        return kinds[tag](self.decode(item) for item in value)

    def _array(self, name: str, dtype: str | None = None, shape: Any = None) -> NDArray[Any]:
        stored = self._arrays[name]
        if dtype is None:
            plain: NDArray[Any] = stored.data().view(_NUMPY[stored.dtype]).reshape(stored.shape)
            return plain
        kind: np.dtype[Any] = np.dtype(str(dtype))
        if kind.hasobject or kind.kind not in _NUMBERS or kind == np.bool_:
            raise TypeError(f"{name}: {kind} is not a dtype of numbers")
        made: NDArray[Any] = stored.data().view(kind).reshape(shape)
        return made

    def _tensor(self, name: str, dtype: str | None = None, shape: Any = None) -> torch.Tensor:
        stored = self._arrays[name]
        kind = _TORCH[stored.dtype] if dtype is None else _TORCH_OTHERS[dtype]
        size = stored.shape if dtype is None else tuple(shape)
        data = stored.data()
        # Of no bytes torch makes no view.
        flat = torch.from_numpy(data).view(kind) if len(data) else torch.empty(0, dtype=kind)
        return flat.reshape(size)
