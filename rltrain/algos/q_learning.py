"""Tabular Q-learning (Watkins 1989; Sutton & Barto 2018, section 6.5).

Legend: B environments, S states, A actions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from rltrain.algos.base import Algorithm, Metrics, Parts, Policy, PolicyState
from rltrain.core.errors import TrainingError
from rltrain.core.types import Progress, Rows
from rltrain.functional.schedules import scheduled
from rltrain.functional.td import one_step_target
from rltrain.memory.last import LastTransition
from rltrain.settings.off_policy import QLearningSettings


class TablePolicy(Policy):
    """Takes the action of the highest value, or explores."""

    _state = ("table", "exploration")

    def __init__(self, settings: QLearningSettings, parts: Parts) -> None:
        assert isinstance(parts.observation_space, spaces.Discrete)
        assert isinstance(parts.action_space, spaces.Discrete)
        shape = (int(parts.observation_space.n), int(parts.action_space.n))
        self.table = np.full(shape, settings.initial_value)  # Q [S, A]
        self.exploration: Any = parts.exploration

    def act(
        self, obs: Rows, state: PolicyState, explore: bool, rng: np.random.Generator
    ) -> tuple[Rows, PolicyState, dict[str, Rows]]:
        if not explore:
            return self.table[obs].argmax(-1), state, {}
        count, num_actions = len(obs), self.table.shape[1]
        return self.exploration.choose(lambda: self.table[obs], count, num_actions, rng), state, {}


class QLearning(Algorithm):
    """Q(s, a) ← Q(s, a) + α [r + γ max_a' Q(s', a') − Q(s, a)], after every step.

    Environments that step together have targets from the same table, and their updates follow
    one another: a pair that several of them are in moves by α towards each of its targets in
    turn, and never past them.
    """

    _state = ("policy", "visits")

    def __init__(self, settings: QLearningSettings, parts: Parts) -> None:
        self.settings = settings
        self.horizon = 1
        self.policy: TablePolicy = TablePolicy(settings, parts)
        self.visits = np.zeros(self.policy.table.shape, np.int64)  # n, with `inverse` [S, A]
        self.memory: LastTransition = LastTransition()

    def update(self, progress: Progress) -> Metrics:
        s, q, step = self.settings, self.policy.table, self.memory.step
        assert step is not None
        if not len(step.reward):  # every environment raised in it
            return dict(self.policy.exploration.advance(progress.fraction))
        target = one_step_target(
            step.reward, step.terminated.astype(np.float64), q[step.successor].max(-1), s.gamma
        )
        error = target - q[step.obs, step.action]  # [B]
        if not np.isfinite(error).all():
            raise TrainingError(f"train/td_error is {error}; the update was not applied.")
        pairs = list(zip(step.obs.tolist(), step.action.tolist(), strict=True))
        rates = self._rates(progress, pairs)
        for pair, rate, y in zip(pairs, rates, target.tolist(), strict=True):
            q[pair] += rate * (y - q[pair])
        progress.updates += 1
        metrics: dict[str, Any] = self.policy.exploration.advance(progress.fraction)
        return metrics | {
            "train/td_error": float(np.abs(error).mean()),
            "train/learning_rate": sum(rates) / len(rates),
        }

    def _rates(self, progress: Progress, pairs: list[tuple[int, int]]) -> list[float]:
        """Return α of each environment, or with `inverse` α / n(s, a), where n counts its visit."""
        s = self.settings
        if s.learning_rate_schedule != "inverse":
            rate = scheduled(s.learning_rate, s.learning_rate_schedule, progress.fraction)
            return [rate] * len(pairs)
        rates = []
        for pair in pairs:
            self.visits[pair] += 1
            rates.append(s.learning_rate / int(self.visits[pair]))
        return rates
