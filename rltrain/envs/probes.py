"""Probe environments: tiny tasks whose values are known, each of which isolates one ability.

An agent that fails one has a bug in what that one tests (after A. L. Jones, "Debugging RL,
without the agonising pain"). Observations are a Box of one number, or with
`discrete=True` a Discrete of two. Actions are a Discrete, with `continuous=True` a Box of one
number, or what `actions` names: a MultiDiscrete of 2 and 3 or a MultiBinary of 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

Obs = np.ndarray[Any, Any] | int
_SEVERAL: dict[str, Callable[[], gym.Space[Any]]] = {
    "MultiDiscrete": lambda: spaces.MultiDiscrete([2, 3]),
    "MultiBinary": lambda: spaces.MultiBinary(2),
}


class Probe(gym.Env[Any, Any]):
    """The base: episodes of one step, one action, observation 0, reward 1."""

    num_actions = 1

    def __init__(self, discrete: bool = False, continuous: bool = False, actions: str = "") -> None:
        self.discrete = discrete
        self.observation_space = (
            spaces.Discrete(2) if discrete else spaces.Box(-1, 1, (1,), np.float32)
        )
        self.action_space: gym.Space[Any] = spaces.Discrete(self.num_actions)
        if continuous:
            self.action_space = spaces.Box(-1, 1, (1,), np.float32)
        elif actions:
            self.action_space = _SEVERAL[actions]()
        self.bit = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Obs, dict[str, Any]]:
        super().reset(seed=seed)
        self.bit = self.first_bit()
        return self.observe(), {}

    def first_bit(self) -> int:
        return 0

    def observe(self) -> Obs:
        """The bit as an observation: 0 or 1, or for a Box −1 or 1."""
        return self.bit if self.discrete else np.array([2 * self.bit - 1], np.float32)

    def step(self, action: Any) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        return self.observe(), 1.0, True, False, {}


def agreement(action: Any, best: tuple[int, int]) -> float:
    """1 where both components are the best, −1 where neither is."""
    return float(np.mean(np.where(np.asarray(action) == best, 1.0, -1.0)))


class OneStep(Probe):
    """V = 1: the value is learned at all."""


class ObservedValue(Probe):
    """Reward −1 or 1 as observed, so V(s) is the bit's sign: the value sees the observation."""

    def first_bit(self) -> int:
        return int(self.np_random.integers(2))

    def step(self, action: Any) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        return self.observe(), float(2 * self.bit - 1), True, False, {}


class TwoSteps(Probe):
    """Bit 0, then bit 1 and reward 1: V = γ and 1, the reward is discounted."""

    def step(self, action: Any) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        if self.bit == 0:
            self.bit = 1
            return self.observe(), 0.0, False, False, {}
        return self.observe(), 1.0, True, False, {}


class BestAction(Probe):
    """Reward 1 for action 1 and −1 for 0 (continuous: 1 − (a − .5)²): the policy moves.

    Of several components the best are (1, 2), or (1, 0) of a MultiBinary.
    """

    num_actions = 2

    def step(self, action: Any) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        if isinstance(self.action_space, spaces.Box):
            reward = 1 - (float(action[0]) - 0.5) ** 2
        elif isinstance(self.action_space, spaces.MultiDiscrete):
            reward = agreement(action, (1, 2))
        elif isinstance(self.action_space, spaces.MultiBinary):
            reward = agreement(action, (1, 0))
        else:
            reward = float(2 * int(action) - 1)
        return self.observe(), reward, True, False, {}


class ObservedAction(ObservedValue):
    """Reward 1 where the action is the bit, else −1: policy and observation together.

    Of several components the best are (bit, 2 bit), or (bit, 1 − bit) of a MultiBinary.
    """

    num_actions = 2

    def step(self, action: Any) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        if isinstance(self.action_space, spaces.Box):
            reward = 1 - (float(action[0]) - (self.bit - 0.5)) ** 2
        elif isinstance(self.action_space, spaces.MultiDiscrete):
            reward = agreement(action, (self.bit, 2 * self.bit))
        elif isinstance(self.action_space, spaces.MultiBinary):
            reward = agreement(action, (self.bit, 1 - self.bit))
        else:
            reward = 1.0 if int(action) == self.bit else -1.0
        return self.observe(), reward, True, False, {}


class TruncatedChain(Probe):
    """Reward 1 for ever, truncated after `length` steps: V = 1 / (1 − γ), not a finite sum."""

    def __init__(
        self,
        discrete: bool = False,
        continuous: bool = False,
        actions: str = "",
        length: int = 5,
    ) -> None:
        super().__init__(discrete, continuous, actions)
        self.length = length
        self.left = length

    def first_bit(self) -> int:
        self.left = self.length
        return 0

    def step(self, action: Any) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        return self.observe(), 1.0, False, self.left == 0, {}


class RememberedBit(ObservedAction):
    """The bit is seen at first only; a step later the action must repeat it: memory."""

    def first_bit(self) -> int:
        self.seen = True
        return super().first_bit()

    def observe(self) -> Obs:
        return super().observe() if self.seen else (0 if self.discrete else np.zeros(1, np.float32))

    def step(self, action: Any) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        if self.seen:
            self.seen = False
            return self.observe(), 0.0, False, False, {}
        return super().step(action)


PROBES = {
    cls.__name__: cls
    for cls in (
        OneStep,
        ObservedValue,
        TwoSteps,
        BestAction,
        ObservedAction,
        TruncatedChain,
        RememberedBit,
    )
}

for _name in PROBES:
    gym.register(f"rltrain/{_name}-v0", entry_point=f"{__name__}:{_name}")
