"""What the defaults are compared on: a task of each kind, without presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


@dataclass(frozen=True)
class Task:
    """`keys` go to the command line; `worst` and `best` are the scores that count as 0 and 1."""

    name: str
    keys: str
    steps: int
    worst: float
    best: float
    extra: str = ""  # of pyproject.toml, that the environment needs

    def share(self, score: float) -> float:
        """Return how far a score is on the way from the worst to the best, within 0 and 1."""
        return min(max((score - self.worst) / (self.best - self.worst), 0.0), 1.0)


class Dose(gym.Env[Any, Any]):
    """Give the dose that is seen, in milligrams; the optimum is 0, of 10 steps."""

    def __init__(self, high: float = 1000, integer: bool = False) -> None:
        dtype = np.int64 if integer else np.float32
        self.observation_space = spaces.Box(0, 1, (1,), np.float32)
        self.action_space = spaces.Box(0, high, (1,), dtype)
        self.high = high

    def observe(self) -> np.ndarray[Any, Any]:
        self.wanted = self.np_random.uniform(0.2, 0.8)
        if self.action_space.dtype == np.int64:
            self.wanted = round(self.wanted * self.high) / self.high
        return np.array([self.wanted], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 10
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = -abs(float(action[0]) / self.high - self.wanted)
        self.left -= 1
        return self.observe(), reward, self.left == 0, False, {}


HERE = "benchmarks.defaults.tasks"
NESTED = "env=rltrain/EverySight-v0 env.kwargs.length=10"
TASKS = (
    Task("CartPole", "env=CartPole-v1", 50_000, 20, 500),
    Task("Acrobot", "env=Acrobot-v1", 100_000, -500, -80),
    Task("MountainCar", "env=MountainCar-v0", 100_000, -200, -110),
    Task("Pendulum", "env=Pendulum-v1", 100_000, -1400, -150),
    Task("nested observations", NESTED, 50_000, 0, 10),
    Task("coins (MultiBinary)", f"{NESTED} env.kwargs.actions=MultiBinary", 50_000, 0, 10),
    Task("Box of 0 to 1000", f"env={HERE}:Dose", 50_000, -5, 0),
    Task(
        "integer Box of 0 to 9",
        f"env={HERE}:Dose env.kwargs.high=9 env.kwargs.integer=true",
        50_000,
        -5,
        0,
    ),
    Task("two agents", "algo=ippo env=two_carts", 100_000, 20, 500),
    Task("memory", "network=lstm env=rltrain/RememberedBit-v0", 20_000, -1, 1),
    Task("FrozenLake", "env=FrozenLake-v1", 100_000, 0, 0.75),
    Task("Blackjack", "env=Blackjack-v1", 50_000, -0.4, -0.04),
    Task("InvertedPendulum", "env=InvertedPendulum-v5", 50_000, 5, 1000, "mujoco"),
    Task("LunarLander", "env=LunarLander-v3", 100_000, -600, 200, "box2d"),
)
