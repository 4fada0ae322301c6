"""State as a value: what must survive a restart, gathered, compared and put back."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch

from rltrain.core.errors import StateError

Array = Any  # NumPy's or torch's


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


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Give an optimizer's moments the strides of their parameters, as its steps do.

    Saved tensors are contiguous, and a convolution's weights may not be; fused steps read both
    in the order of memory.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            alike = isinstance(value, torch.Tensor) and value.shape == parameter.shape
            if alike and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _scatter(owner: Any, name: str, value: Any) -> None:
    current = getattr(owner, name)
    if isinstance(current, torch.nn.Module):
        _check_parameters(name, current, value)
    if isinstance(current, torch.optim.Optimizer):
        _check_optimizer(name, current, value)
    if hasattr(current, "load_state_dict"):
        try:
            current.load_state_dict(value)
        except (LookupError, AttributeError, TypeError, RuntimeError, ValueError) as error:
            raise StateError(f"{name}: {' '.join(str(error).split())}") from error
        if isinstance(current, torch.optim.Optimizer):
            _lay_out(current)
    elif isinstance(current, np.random.Generator):
        try:
            current.bit_generator.state = value
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise StateError(f"{name} is not the state of a random generator.") from error
    elif isinstance(current, np.ndarray | torch.Tensor):
        put(name, current, value)
    else:
        _check_kind(name, current, value)
        setattr(owner, name, copy.deepcopy(value))


_ONE = int | float | np.generic  # what a number may have become
_OF_PARAMETER = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "square_avg", "momentum_buffer")


def put(name: str, target: Array, value: Any) -> None:
    """Write a saved array into `target`, which has the same kind, dtype and shape.

    Raises:
        StateError: `value` is another kind of object, or of another dtype or shape.
    """
    check_alike(name, target, value)
    with torch.no_grad():
        target[...] = value


def check_alike(name: str, target: Array, value: Any) -> None:
    """Refuse a saved value that would have to be converted to be what `target` is.

    Raises:
        StateError: it is another kind of object, or of another dtype or shape.
    """
    kind = torch.Tensor if isinstance(target, torch.Tensor) else np.ndarray
    if not isinstance(value, kind):
        expected = f"an array of {target.dtype}"
        raise StateError(f"{name}: saved as a {type(value).__name__}, expected {expected}.")
    if value.shape != target.shape:
        shapes = f"{tuple(value.shape)}, expected {tuple(target.shape)}"
        raise StateError(f"{name}: saved with shape {shapes}.")
    if value.dtype != target.dtype:
        raise StateError(f"{name}: saved as {value.dtype}, expected {target.dtype}.")


def _check_kind(name: str, current: Any, value: Any) -> None:
    """Refuse a number where a text belongs, and the like, inside of containers too.

    None may have become anything, and anything None; arrays may have another length.
    """
    kinds: tuple[tuple[Any, Any, str], ...] = (
        (bool | int | float | np.generic, _ONE, "number"),
        (str, str, "text"),
        (dict, dict, "dictionary"),
        (list | tuple, list | tuple, "list"),
        (np.ndarray, np.ndarray, "array"),
        (torch.Tensor, torch.Tensor, "tensor"),
    )
    if current is None or value is None:
        if isinstance(current, np.ndarray | torch.Tensor):
            raise StateError(f"{name}: saved as nothing, expected an array.")
        return
    for own, saved, word in kinds:
        if isinstance(current, own):
            if not isinstance(value, saved):
                raise StateError(f"{name}: saved as a {type(value).__name__}, expected a {word}.")
            break
    if isinstance(current, np.ndarray | torch.Tensor):
        if current.dtype != value.dtype or current.ndim != value.ndim:
            was, now = (f"{x.dtype} of {x.ndim} dimensions" for x in (value, current))
            raise StateError(f"{name}: saved as {was}, expected {now}.")
    elif isinstance(current, dict):
        for key in current.keys() & value.keys():
            _check_kind(f"{name}.{key}", current[key], value[key])


def _check_parameters(name: str, module: torch.nn.Module, saved: Any) -> None:
    """Refuses what `load_state_dict` would convert; names that differ it reports itself."""
    if not isinstance(saved, dict):
        raise StateError(f"{name}: saved as a {type(saved).__name__}, expected a network's state.")
    for key, own in module.state_dict().items():
        if key in saved and isinstance(own, torch.Tensor):
            check_alike(f"{name}.{key}", own, saved[key])


def _check_optimizer(name: str, optimizer: torch.optim.Optimizer, saved: Any) -> None:
    """Refuses settings that are no numbers, and running means that are not like parameters."""
    own = optimizer.state_dict()
    for mine, theirs in zip(own["param_groups"], saved["param_groups"], strict=False):
        for key, value in mine.items():
            _check_kind(f"{name}.{key}", value, theirs.get(key))
            if isinstance(value, tuple):
                for one, other in zip(value, theirs[key], strict=True):
                    _check_kind(f"{name}.{key}", one, other)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for i, parameter in enumerate(parameters):
        for key, value in saved["state"].get(i, {}).items():
            if key in _OF_PARAMETER and value is not None:
                check_alike(f"{name}.{i}.{key}", parameter, value)
            if key == "step" and not isinstance(value, _ONE):
                check_alike(f"{name}.{i}.step", torch.zeros(()), value)


def not_numbers(state: Any, path: str = "") -> Iterator[str]:
    """Yield the names of the arrays in a state that have a NaN."""
    if isinstance(state, dict):
        for name, value in state.items():
            yield from not_numbers(value, f"{path}.{name}")
    elif isinstance(state, list | tuple):
        for i, value in enumerate(state):
            yield from not_numbers(value, f"{path}.{i}")
    elif isinstance(state, torch.Tensor):
        if bool(torch.isnan(state).any()):
            yield path.lstrip(".")
    elif isinstance(state, np.ndarray) and state.dtype.kind == "f" and bool(np.isnan(state).any()):
        yield path.lstrip(".")


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
