"""State as a value: what must survive a restart, gathered, compared and put back."""

from __future__ import annotations

import copy
import hashlib
from typing import Any, ClassVar

import numpy as np
import torch

from rltrain.core.errors import StateError


class Stateful:
    """An object whose surviving state is the attributes that `_state` names.

    Attributes may be plain values, arrays, tensors, NumPy generators, or objects
    with `state_dict` and `load_state_dict` of their own. Arrays and tensors are
    put back in place, so that views of them stay valid.
    """

    _state: ClassVar[tuple[str, ...]] = ()

    def state_dict(self) -> dict[str, Any]:
        """The state as dictionaries, lists, arrays and plain values.

        Parts of it may share memory with the object: write it out before going on.
        """
        return {name: _gather(getattr(self, name)) for name in self._state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts `state` back.

        Raises:
            StateError: a name is missing or unknown, or an array is of another shape.
        """
        if state.keys() != set(self._state):
            lacks, has = sorted(set(self._state) - state.keys()), sorted(state.keys() - self._state)
            odd = [f"lacks {lacks}"] * bool(lacks) + [f"has {has}"] * bool(has)
            raise StateError(f"the state of {type(self).__name__} {' and '.join(odd)}.")
        for name, value in state.items():
            _scatter(self, name, value)


def _gather(value: Any) -> Any:
    if hasattr(value, "state_dict"):
        return value.state_dict()
    if isinstance(value, np.random.Generator):
        return copy.deepcopy(value.bit_generator.state)
    return copy.deepcopy(value)


def _scatter(owner: Any, name: str, value: Any) -> None:
    current = getattr(owner, name)
    if hasattr(current, "load_state_dict"):
        try:
            current.load_state_dict(value)
        except (KeyError, RuntimeError, ValueError) as error:  # torch's own, and others'
            raise StateError(f"{name}: {' '.join(str(error).split())}") from error
    elif isinstance(current, np.random.Generator):
        current.bit_generator.state = value
    elif isinstance(current, np.ndarray) and current.ndim:
        _check_shape(name, current, value)
        current[...] = value
    elif isinstance(current, torch.Tensor):
        _check_shape(name, current, value)
        with torch.no_grad():
            current.copy_(value)
    else:
        setattr(owner, name, copy.deepcopy(value))


def _check_shape(name: str, current: Any, value: Any) -> None:
    if current.shape != value.shape:
        shapes = f"{tuple(value.shape)}, expected {tuple(current.shape)}"
        raise StateError(f"{name}: saved with shape {shapes}.")


def digest(tree: Any) -> str:
    """SHA-256 over a state: equal if and only if every bit of it is, names and types included."""
    sha = hashlib.sha256()

    def feed(value: Any) -> None:
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, dict):
            sha.update(b"{%d" % len(value))
            for key in sorted(value, key=repr):
                sha.update(repr(key).encode())
                feed(value[key])
        elif isinstance(value, list | tuple):
            sha.update(f"{type(value).__name__}[{len(value)}".encode())
            for item in value:
                feed(item)
        elif isinstance(value, torch.Tensor):
            array = value.detach().cpu().contiguous()
            sha.update(f"{array.dtype}{tuple(array.shape)}".encode())
            if array.numel():
                sha.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(value, np.ndarray):
            feed(torch.from_numpy(np.ascontiguousarray(value)).reshape(value.shape))
        else:
            sha.update(f"{type(value).__name__}:{value!r};".encode())

    feed(tree)
    return sha.hexdigest()
