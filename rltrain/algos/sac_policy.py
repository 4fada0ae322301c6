"""What acts for soft actor-critic: a squashed Gaussian, or a categorical distribution.

Legend: B environments, A actions or action dimensions.
"""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from rltrain import fast
from rltrain.algos.base import Parts, Policy, PolicyState
from rltrain.core.spaces import size_of
from rltrain.core.types import Progress, Rows
from rltrain.functional.exploration import boltzmann
from rltrain.networks.actions import BoundedActions
from rltrain.networks.inputs import Inputs
from rltrain.networks.mlp import with_head
from rltrain.settings.off_policy import SACSettings

LOG_STD = (-20.0, 2.0)  # bounds of log σ


class SACPolicy(Policy):
    """Samples from the actor, or takes tanh of its mean; uniform actions while warming up."""

    _state = ("actor", "inputs", "warming_up")

    def __init__(self, settings: SACSettings, parts: Parts) -> None:
        self.inputs = Inputs(parts.observation_space, settings.normalize_obs, parts.device)
        self.discrete = isinstance(parts.action_space, spaces.Discrete)
        self.num_actions = size_of(parts.action_space)
        outputs = self.num_actions if self.discrete else 2 * self.num_actions
        self.actor = with_head(parts.network(self.inputs.layout), outputs, gain=None)
        self.actor.to(parts.device)
        self.outputs = fast.on_arrays(self.actor, parts.kernels)
        self.learning_starts = settings.learning_starts
        self.warming_up = settings.learning_starts > 0
        if not self.discrete:
            self.bounds = BoundedActions(parts.action_space)

    def act(
        self, obs: Rows, state: PolicyState, explore: bool, rng: np.random.Generator
    ) -> tuple[Rows, PolicyState, dict[str, Rows]]:
        act = self._discrete if self.discrete else self._continuous
        return act(obs, explore, rng), state, {}

    def _continuous(self, obs: Rows, explore: bool, rng: np.random.Generator) -> Rows:
        size = (len(obs), self.num_actions)
        if explore and self.warming_up:
            return self.bounds.scale(2 * rng.random(size, np.float32) - 1)
        output = self.outputs(self.inputs.array(obs))
        u = output[:, : self.num_actions]
        if explore:
            log_std = np.minimum(np.maximum(output[:, self.num_actions :], LOG_STD[0]), LOG_STD[1])
            u = u + np.exp(log_std) * rng.standard_normal(size, np.float32)
        return self.bounds.scale(np.tanh(u))

    def _discrete(self, obs: Rows, explore: bool, rng: np.random.Generator) -> Rows:
        if explore and self.warming_up:
            return rng.integers(self.num_actions, size=len(obs))
        logits = self.outputs(self.inputs.array(obs))
        return boltzmann(logits, 1.0, rng) if explore else logits.argmax(-1)

    def advance(self, progress: Progress) -> dict[str, float]:
        """Ends the warm-up in time; there are no metrics of it."""
        self.warming_up = progress.steps < self.learning_starts
        return {}
