"""Environments of every kind of action, which remember what was done in them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rltrain.envs.teams import SideBySide

ACTIONS: dict[str, gym.Space[Any]] = {
    "discrete": spaces.Discrete(3),
    "multi_discrete": spaces.MultiDiscrete([2, 3]),
    "multi_binary": spaces.MultiBinary(2),
    "box": spaces.Box(-1, 1, (2,), np.float32),
    "wide_box": spaces.Box(-100, 500, (1,), np.float32),
    "integer_box": spaces.Box(0, 3, (1,), np.int64),
}
TAKEN: list[Any] = []  # every action since a test cleared it


class Kind(gym.Env[Any, Any]):
    """Walk by chance for 5 to 9 steps; the reward is the first number of the action."""

    def __init__(self, actions: str, table: bool = False) -> None:
        self.observation_space = spaces.Discrete(5) if table else spaces.Box(-9, 9, (2,))
        self.action_space = ACTIONS[actions]
        self.table = table
        self.left = 0

    def observe(self) -> Any:
        if self.table:
            return int(self.np_random.integers(5))
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(5, 10))
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), (action, self.action_space)
        TAKEN.append(np.array(action))
        self.left -= 1
        reward = float(np.asarray(action).reshape(-1)[0])
        return self.observe(), reward, self.left == 0, False, {}


def one(actions: str, table: bool = False) -> Kind:
    return Kind(actions, table)


def two(actions: str) -> SideBySide:
    """Two agents; the second leaves first, or the first."""
    return SideBySide({"a": Kind(actions), "b": Kind(actions)})
