"""Kinds of observation and action spaces, and what algorithms say of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces

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
    return type(space).__name__


def size_of(space: gym.Space) -> int:
    """How many numbers a network sees of a Box (flattened) or a Discrete (one-hot)."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    assert space.shape is not None
    return math.prod(space.shape)


def dtype_of(space: gym.Space) -> np.dtype:
    """The dtype that rows of this space are stored in."""
    if isinstance(space, spaces.Discrete):
        return np.dtype(np.int64)  # an index, whatever the space says
    assert space.dtype is not None
    return np.dtype(space.dtype)
