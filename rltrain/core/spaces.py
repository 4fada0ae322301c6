"""Kinds of observation and action spaces, and what algorithms say of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rltrain.core.layout import box_dtype, is_text, layout_of

Floats = NDArray[np.float64]


class Stack(spaces.Box):
    """The newest observations `[count, ...]` of one Box, the newest last.

    An episode begins with as many of its first one, so that each stack follows from single
    observations; memories make use of that.
    """

    def __init__(self, space: spaces.Box, count: int) -> None:
        self.single = space
        low, high = (np.repeat(bound[None], count, 0) for bound in (space.low, space.high))
        super().__init__(low, high, dtype=space.dtype.type)


KINDS: dict[str, type[gym.Space]] = {
    "Box": spaces.Box,
    "Discrete": spaces.Discrete,
    "MultiDiscrete": spaces.MultiDiscrete,
    "MultiBinary": spaces.MultiBinary,
    "Text": spaces.Text,
    "Dict": spaces.Dict,
    "Tuple": spaces.Tuple,
    "Sequence": spaces.Sequence,
    "Graph": spaces.Graph,
    "OneOf": spaces.OneOf,
}


class Agent(NamedTuple):
    """One of several that act in an environment, and what it sees and does."""

    name: str
    observation_space: gym.Space
    action_space: gym.Space


def kind_of(space: gym.Space) -> str:
    """The name of a space's kind, as the registry's entries declare it."""
    for name, cls in KINDS.items():
        if isinstance(space, cls):
            return name
    if is_text(space):
        return "Text"
    return type(space).__name__


def size_of(space: gym.Space) -> int:
    """How many numbers a network sees of a Box (flattened) or a Discrete (one-hot)."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    assert space.shape is not None
    return math.prod(space.shape)


def edges_of(space: spaces.Box) -> tuple[Floats, Floats]:
    """Return the ends of the continuous range that the actions of a Box divide, per dimension.

    They are its bounds. Integers lie in the middle of a part of width 1 each, so that its range
    is half a step wider on either side, and each of them has the same share of it.
    """
    half = 0.5 if np.dtype(space.dtype).kind in "iu" else 0.0
    return space.low.astype(np.float64) - half, space.high.astype(np.float64) + half


def to_box(actions: NDArray[Any], space: spaces.Box) -> NDArray[Any]:
    """Return actions `[..., *shape]` as a Box takes them, in new memory.

    They are clipped to its bounds, and of integers the nearest is taken.
    """
    dtype = np.dtype(space.dtype)
    if dtype.kind in "iu" and actions.dtype.kind == "f":
        actions = np.rint(actions)
    clipped: NDArray[Any] = np.minimum(np.maximum(actions, space.low), space.high)
    return clipped.astype(dtype, copy=False)


def dtype_of(space: gym.Space) -> np.dtype:
    """The dtype that rows of this space are stored in."""
    if isinstance(space, spaces.Discrete):
        return np.dtype(np.int64)  # an index, whatever the space says
    if isinstance(space, spaces.Box):
        return box_dtype(space)
    if _is_array(space):
        return np.dtype(space.dtype)
    return layout_of(space).row[1]


def shape_of(space: gym.Space) -> tuple[int, ...]:
    """The shape of a row of this space."""
    if _is_array(space):
        return space.shape or ()
    return layout_of(space).row[0]


def _is_array(space: gym.Space) -> bool:
    known = spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary
    return isinstance(space, known)


def describe(space: gym.Space) -> str:
    """Return a space as text that is the same in every process, to be kept and compared."""
    if isinstance(space, spaces.Dict):
        parts = (f"{key}: {describe(part)}" for key, part in space.spaces.items())
        return f"Dict({', '.join(parts)})"
    if isinstance(space, spaces.Tuple):
        return f"Tuple({', '.join(map(describe, space.spaces))})"
    if is_text(space):  # a set of characters has another order in each process
        (leaf,) = layout_of(space).leaves
        return f"Text(up to {leaf.shape[0]} of {len(leaf.alphabet)} characters)"
    if isinstance(space, spaces.Box):  # whose own text would become a part of its state
        low, high = _bound(space.low), _bound(space.high)
        return f"Box({low}, {high}, {space.shape}, {space.dtype})"
    return " ".join(str(space).split())


def _bound(bound: NDArray[Any]) -> str:
    """Return a bound as one number where it is the same everywhere."""
    if bound.size and (bound == bound.flat[0]).all():
        return str(bound.flat[0])
    return " ".join(str(bound).split())


def describe_all(
    observations: gym.Space, actions: gym.Space, agents: tuple[Agent, ...] = ()
) -> dict[str, str]:
    """Return the spaces of an environment, or of each of its agents, by what they are of."""
    if not agents:
        return {"observations": describe(observations), "actions": describe(actions)}
    described = {}
    for agent in agents:
        described[f"observations of {agent.name}"] = describe(agent.observation_space)
        described[f"actions of {agent.name}"] = describe(agent.action_space)
    return described


def changes(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return in words how the described spaces of a run differ from those of now; or ''."""
    differing = [
        f"{what} were {then.get(what, 'none')} in the run and are {now.get(what, 'none')} now"
        for what in dict.fromkeys((*then, *now))
        if then.get(what) != now.get(what)
    ]
    return "; ".join(differing)
