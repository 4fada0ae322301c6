"""A Python environment that works for 200 µs a step, as a user's simulation might.

It works for that long by the thread's own clock: on the wall's, more processes than cores
would work at once.
"""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np

STEP_SECONDS = 200e-6


class Busy(gym.Env[Any, Any]):
    """CartPole's spaces; a bit is seen, and the reward is 1 where the action repeats it."""

    observation_space = gym.spaces.Box(-1, 1, (4,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        end = time.thread_time() + STEP_SECONDS
        while time.thread_time() < end:
            pass
        reward = float(int(action) == self.bit)
        self.steps += 1
        return self._observe(), reward, False, self.steps >= 100, {}

    def _observe(self) -> Any:
        self.bit = int(self.np_random.integers(2))
        return np.full(4, 2 * self.bit - 1, np.float32)


gym.register("Busy-v0", entry_point=Busy)
