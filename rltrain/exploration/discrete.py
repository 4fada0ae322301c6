"""Exploration among the actions of a value function.

Legend: B environments, A actions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rltrain.exploration.base import Exploration, level
from rltrain.functional.exploration import boltzmann, epsilon_greedy
from rltrain.settings.explorations import (
    BoltzmannSettings,
    EpsilonGreedySettings,
    NoisySettings,
)

Rows = NDArray[Any]


class EpsilonGreedy(Exploration):
    """The best action, or with probability ε any."""

    _state = ("epsilon",)
    settings: EpsilonGreedySettings

    def __init__(self, settings: EpsilonGreedySettings) -> None:
        super().__init__(settings)
        self.epsilon = settings.initial_eps

    def advance(self, fraction: float) -> dict[str, float]:
        s = self.settings
        self.epsilon = level(s, s.initial_eps, s.final_eps, fraction)
        return {"rollout/exploration_rate": self.epsilon}

    def choose(
        self,
        q_values: Callable[[], Rows],
        count: int,
        num_actions: int,
        rng: np.random.Generator,
    ) -> Rows:
        """Actions `[B]`, `count` = B; `q_values` `[B, A]` are asked for where they matter."""
        return epsilon_greedy(lambda: q_values().argmax(-1), count, num_actions, self.epsilon, rng)


class Boltzmann(Exploration):
    """Better actions more often: with probability ∝ exp(Q / temperature)."""

    _state = ("temperature",)
    settings: BoltzmannSettings

    def __init__(self, settings: BoltzmannSettings) -> None:
        super().__init__(settings)
        self.temperature = settings.initial_temperature

    def advance(self, fraction: float) -> dict[str, float]:
        s = self.settings
        self.temperature = level(s, s.initial_temperature, s.final_temperature, fraction)
        return {"rollout/temperature": self.temperature}

    def choose(
        self,
        q_values: Callable[[], Rows],
        count: int,
        num_actions: int,
        rng: np.random.Generator,
    ) -> Rows:
        """Actions `[B]` for `q_values` `[B, A]`."""
        return boltzmann(q_values(), self.temperature, rng)


class Noisy(Exploration):
    """The best action of a network with noisy weights (Fortunato et al. 2018).

    The algorithm makes its network noisy and draws the noise; it fades as training moves σ.
    """

    settings: NoisySettings

    def choose(
        self,
        q_values: Callable[[], Rows],
        count: int,
        num_actions: int,
        rng: np.random.Generator,
    ) -> Rows:
        """Actions `[B]` for `q_values` `[B, A]`."""
        best: Rows = q_values().argmax(-1)
        return best
