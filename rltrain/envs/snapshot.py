"""The state of an environment as plain values, so that an episode survives a restart.

An environment may offer `snapshot() -> state` and `restore(state)`, with a state made of
plain values and arrays. For all others the attributes of each layer, wrappers included,
are read; those that are no plain values (spaces, functions, windows) are taken to be the
same in a fresh environment. Whether that holds is not assumed but tried: `why_not`
restores a copy in mid-episode and compares. Nothing is pickled.
"""

from __future__ import annotations

import collections
import copy
import enum
import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from rltrain.core import seeding

Env = gym.Env[Any, Any]
_KIND = "__kind__"
_SCALARS = (bool, int, float, str, bytes)
_CONTAINERS: dict[str, Any] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "deque": collections.deque,
}
_NUMBERS = "biufc"  # kinds of dtype
_LINKS = (
    "env",
    "parallel_env",
    "aec_env",
    "spec",
    "_cached_spec",
    "_saved_kwargs",
    "_ezpickle_args",
    "_ezpickle_kwargs",
)


class _OpaqueError(Exception):
    """A value that is not plain."""


def capture(env: Env) -> list[Any]:
    """The state of every layer, outermost first."""
    if hasattr(env.unwrapped, "snapshot") and hasattr(env.unwrapped, "restore"):
        layers = [_attributes(layer, set()) for layer in _layers(env) if layer is not env.unwrapped]
        return [*layers, copy.deepcopy(env.unwrapped.snapshot())]
    return [_attributes(layer, set()) for layer in _layers(env)]


def restore(env: Env, saved: list[Any]) -> None:
    """Puts `saved` into a fresh environment of the same making."""
    for layer, state in zip(_layers(env), saved, strict=True):
        if layer is env.unwrapped and hasattr(layer, "snapshot") and hasattr(layer, "restore"):
            layer.restore(copy.deepcopy(state))
        else:
            _restore_attributes(layer, state)


def why_not(make: Callable[[], Env], before: int = 41, after: int = 160) -> str | None:
    """None if a restored environment goes on exactly as the original, else what differs.

    Both are stepped with the same random actions, `after` steps from a state that was
    reached in `before` steps; the global random generators are put back.
    """
    outside = seeding.global_state()
    original, other = make(), make()
    try:
        original.action_space.seed(1)
        original.reset(seed=1)
        other.reset(seed=2)
        _roll(original, [original.action_space.sample() for _ in range(before)])
        actions = [original.action_space.sample() for _ in range(after)]
        middle = seeding.global_state()
        shared = _objects(original) & _objects(other)
        if shared:
            return "copies of it share an object, which cannot be put back for one alone"
        restore(other, capture(original))
        expected = _roll(original, actions)
        seeding.set_global_state(middle)
        found = _roll(other, actions)
    except Exception as error:
        return f"its attributes cannot be read or written back ({type(error).__name__}: {error})"
    finally:
        seeding.set_global_state(outside)
        original.close()
        other.close()
    for step, (a, b) in enumerate(zip(expected, found, strict=True)):
        if not _same(a, b):
            return f"a restored copy differs {step + 1} steps later"
    return None


def _roll(env: Env, actions: list[Any]) -> list[Any]:
    rows: list[Any] = []
    for action in actions:
        obs, reward, terminated, truncated, _ = env.step(copy.copy(action))  # it may change it
        row = [copy.deepcopy(obs), reward, terminated, truncated]
        if terminated or truncated:
            row.append(copy.deepcopy(env.reset()[0]))
        rows.append(row)
    rows.append(copy.deepcopy(env.reset()[0]))  # what draws at a reset may show there alone
    return rows


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    a, b = np.asarray(a), np.asarray(b)
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


def _layers(env: Env) -> Iterator[Env]:
    yield env
    while isinstance(env, gym.Wrapper):
        env = env.env
        yield env
    inner = vars(env).get("parallel_env")  # of a team
    while inner is not None:
        yield inner
        inner = vars(inner).get("env") or vars(inner).get("aec_env")


def _objects(env: Env) -> set[int]:
    """Identities of the objects whose attributes `capture` reads."""
    seen: set[int] = set()
    for layer in _layers(env):
        _attributes(layer, seen)
    return seen


def _attributes(owner: Any, seen: set[int]) -> dict[str, Any]:
    seen.add(id(owner))
    state = {}
    for name, value in vars(owner).items():
        if name in _LINKS:
            continue
        try:
            state[name] = _encode(value, seen)
        except _OpaqueError:
            continue
    return state


def _restore_attributes(owner: Any, state: dict[str, Any]) -> None:
    for name, saved in state.items():
        setattr(owner, name, _decode(saved, getattr(owner, name, None)))


def _encode(value: Any, seen: set[int]) -> Any:
    if value is None or type(value) in _SCALARS:
        return value
    if isinstance(value, np.generic) and value.dtype.kind in _NUMBERS:
        return {_KIND: "scalar", "value": np.array(value)}
    if isinstance(value, np.ndarray) and value.dtype.kind in _NUMBERS:
        return value.copy()
    if isinstance(value, np.random.Generator):
        return {_KIND: "generator", "value": copy.deepcopy(value.bit_generator.state)}
    if isinstance(value, random.Random):
        version, words, gauss = value.getstate()
        return {_KIND: "random", "value": [version, list(words), gauss]}
    if isinstance(value, np.random.RandomState):
        return {_KIND: "random_state", "value": copy.deepcopy(value.get_state(legacy=False))}
    if type(value).__module__.startswith("ale_py") and hasattr(value, "cloneState"):
        emulator = value.cloneState(include_rng=True).__getstate__()
        return {_KIND: "ale", "value": bytes(emulator)}
    for kind, cls in _CONTAINERS.items():
        if type(value) is cls:
            return {_KIND: kind, "value": [_encode(item, seen) for item in value]}
    if type(value) is dict:
        pairs = [[_encode(k, seen), _encode(v, seen)] for k, v in value.items()]
        return {_KIND: "dict", "value": pairs}
    if type(value).__module__.startswith("mujoco") and type(value).__name__ == "MjData":
        return {_KIND: "mujoco", "value": _mujoco_fields(value)}
    if isinstance(value, gym.Space):
        value = value._np_random
        return {_KIND: "space", "value": value and copy.deepcopy(value.bit_generator.state)}
    if isinstance(value, enum.Enum):
        return {_KIND: "enum", "value": value.name}
    if isinstance(value, logging.Logger) or callable(value):
        raise _OpaqueError
    if hasattr(value, "__dict__") and id(value) not in seen:
        return {_KIND: "object", "value": _attributes(value, seen)}
    raise _OpaqueError


def _decode(saved: Any, current: Any) -> Any:
    if isinstance(saved, np.ndarray):
        return saved.copy()
    if not isinstance(saved, dict):
        return saved
    kind, value = saved[_KIND], saved["value"]
    if kind == "scalar":
        return value[()]
    if kind == "generator":
        if not isinstance(current, np.random.Generator):
            current = np.random.Generator(getattr(np.random, value["bit_generator"])())
        current.bit_generator.state = value
    elif kind == "random":
        current = current or random.Random()
        current.setstate((value[0], tuple(value[1]), value[2]))
    elif kind == "random_state":
        current = current or np.random.RandomState()
        current.set_state(value)
    elif kind == "ale":
        cls: Any = type(current.cloneState())
        emulator = cls.__new__(cls)
        emulator.__setstate__(value)
        current.restoreState(emulator)
    elif kind in _CONTAINERS:
        olds = list(current) if type(current) is _CONTAINERS[kind] else []
        olds += [None] * (len(value) - len(olds))
        items = [_decode(item, old) for item, old in zip(value, olds, strict=False)]
        if kind == "deque":
            return collections.deque(items, maxlen=getattr(current, "maxlen", None))
        return _CONTAINERS[kind](items)
    elif kind == "dict":
        olds_by_key = current if isinstance(current, dict) else {}
        pairs = [(_decode(k, None), v) for k, v in value]
        return {k: _decode(v, olds_by_key.get(k)) for k, v in pairs}
    elif kind == "enum":
        return type(current)[value]
    elif kind == "space":
        if value is not None:
            current.np_random.bit_generator.state = value
    elif kind == "mujoco":
        for name, array in value.items():
            if not isinstance(array, np.ndarray):
                setattr(current, name, array)
            elif getattr(current, name).shape == array.shape:  # else of this step's contacts only
                getattr(current, name)[...] = array
    elif current is None:
        raise TypeError("an object that a fresh environment does not have")
    else:
        _restore_attributes(current, value)
    return current


def _mujoco_fields(data: Any) -> dict[str, Any]:
    """What a MuJoCo simulation carries from step to step: arrays of fixed size, and the time."""
    fields: dict[str, Any] = {"time": data.time}
    for name in dir(data):
        if name.startswith(("_", "efc_", "iefc", "contact", "arena")):
            continue
        value = getattr(data, name)
        if isinstance(value, np.ndarray) and value.flags.writeable and value.size:
            fields[name] = value.copy()
    return fields
