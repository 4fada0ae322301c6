"""Seed the spaces of an environment, from which many draw what they observe."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
from gymnasium import Space

from rltrain.core.seeding import derive
from rltrain.envs.snapshot import layers_of


def seed_spaces(env: gym.Env[Any, Any], seed: int) -> None:
    """Seed the spaces of every layer, nested ones included, with seeds that follow from `seed`.

    A space that belongs to a class is copied for the environment first, so that what one
    environment draws does not depend on the others.
    """
    seeded: set[int] = set()
    for layer in layers_of(env):
        for name in ("observation_space", "action_space"):
            space = inspect.getattr_static(type(layer), name, None)
            if isinstance(space, Space) and name not in vars(layer):
                setattr(layer, name, copy.deepcopy(space))
        for space in _spaces_in(list(vars(layer).values())):
            if id(space) not in seeded:
                seeded.add(id(space))
                space.seed(derive(seed, "space", len(seeded)))


def spaces_of(env: gym.Env[Any, Any]) -> tuple[Any, Any]:
    """Return the observation and action space of the environment under all wrappers."""
    inner = env.unwrapped
    return inner.observation_space, inner.action_space


def seed_new_spaces(env: gym.Env[Any, Any], before: tuple[Any, Any]) -> None:
    """Seed spaces that a reset made anew, from those that were there `before`."""
    for old, new in zip(before, spaces_of(env), strict=True):
        if new is not old and isinstance(old, Space) and isinstance(new, Space):
            new.seed(int(old.np_random.integers(2**31)))


def _spaces_in(values: list[Any], depth: int = 3) -> Iterator[Space]:
    """Yield the spaces among `values`, and in lists, tuples and dictionaries there."""
    for value in values:
        if isinstance(value, Space):
            yield value
        elif depth and isinstance(value, list | tuple) and len(value) <= 100:
            yield from _spaces_in(list(value), depth - 1)
        elif depth and isinstance(value, dict) and len(value) <= 100:
            yield from _spaces_in(list(value.values()), depth - 1)
