"""Exploration around the action of a deterministic policy.

Actions are within ±1, whatever the bounds of the space: noise is then a share of each
dimension's range.

Legend: B environments, A action dimensions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rltrain.exploration.base import Exploration, level
from rltrain.settings.explorations import GaussianSettings, OrnsteinUhlenbeckSettings

Rows = NDArray[Any]


class Gaussian(Exploration):
    """Independent normal noise."""

    _state = ("std",)
    settings: GaussianSettings

    def __init__(self, settings: GaussianSettings) -> None:
        super().__init__(settings)
        self.std = settings.std

    def advance(self, fraction: float) -> dict[str, float]:
        s = self.settings
        self.std = level(s, s.std, s.final_std, fraction)
        return {"rollout/noise_std": self.std}

    def perturb(
        self, action: Rows, state: Rows | None, rng: np.random.Generator
    ) -> tuple[Rows, Rows | None]:
        """Actions `[B, A]` with noise, within ±1 again, and the next state."""
        noisy = action + self.std * rng.standard_normal(action.shape, np.float32)
        return np.minimum(np.maximum(noisy, -1), 1).astype(action.dtype, copy=False), state


class OrnsteinUhlenbeck(Exploration):
    """x ← x − θ x dt + σ √dt N(0, 1), from 0 in each episode (Uhlenbeck & Ornstein 1930).

    The state of an environment is its x, empty until the first action says how many
    dimensions there are.
    """

    settings: OrnsteinUhlenbeckSettings

    def initial_state(self, num_envs: int) -> Rows:
        return np.zeros((num_envs, 0), np.float32)

    def restart(self, state: Rows | None, ended: NDArray[np.bool_]) -> Rows:
        assert state is not None
        return np.where(ended[:, None], np.float32(0), state)

    def perturb(
        self, action: Rows, state: Rows | None, rng: np.random.Generator
    ) -> tuple[Rows, Rows]:
        """Actions `[B, A]` with noise, within ±1 again, and the next state `[B, A]`."""
        s = self.settings
        assert state is not None
        before = state if state.shape[1] else np.zeros(action.shape, np.float32)
        drawn = rng.standard_normal(action.shape, np.float32)
        x = before * np.float32(1 - s.theta * s.dt) + np.float32(s.std * math.sqrt(s.dt)) * drawn
        noisy = np.minimum(np.maximum(action + x, -1), 1)
        return noisy.astype(action.dtype, copy=False), x
