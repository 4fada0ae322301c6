"""Parallelised Q-network (Gallici et al. 2024, arXiv 2407.04811).

Q-learning without replay and without a target network: many environments stand in for the
one, layer normalisation (network=mlp_norm) for the other.

Legend: T steps of a rollout, B environments, N samples of a minibatch, A actions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rltrain import fast
from rltrain.algos.base import (
    Algorithm,
    LearningRate,
    Metrics,
    Parts,
    Policy,
    PolicyState,
    means,
)
from rltrain.algos.descent import descend
from rltrain.core.seeding import generator
from rltrain.core.spaces import size_of
from rltrain.core.types import Progress, Rows
from rltrain.functional.policy_losses import value_loss
from rltrain.functional.returns import lambda_returns
from rltrain.functional.td import action_values
from rltrain.memory.rollout import Rollout
from rltrain.networks.inputs import Inputs
from rltrain.networks.mlp import with_head
from rltrain.settings.on_policy import PQNSettings


class PQNPolicy(Policy):
    """Takes the action of the highest value, or explores."""

    _state = ("network", "inputs", "exploration")

    def __init__(self, settings: PQNSettings, parts: Parts) -> None:
        self.inputs = Inputs(parts.observation_space, settings.normalize_obs, parts.device)
        self.num_actions = size_of(parts.action_space)
        self.network = with_head(parts.network(self.inputs.layout), self.num_actions, gain=None)
        self.network.to(parts.device)
        self.q_values = fast.q_network(self.network, parts.kernels)
        self.exploration: Any = parts.exploration

    def act(
        self, obs: Rows, state: PolicyState, explore: bool, rng: np.random.Generator
    ) -> tuple[Rows, PolicyState, dict[str, Rows]]:
        def q_values() -> Rows:
            return self.q_values(self.inputs.array(obs))

        if not explore:
            return q_values().argmax(-1), state, {}
        return self.exploration.choose(q_values, len(obs), self.num_actions, rng), state, {}


class PQNLearner:
    """Takes the minibatch steps of an update."""

    def __init__(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, settings: PQNSettings
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.settings = settings
        self.device = next(network.parameters()).device

    def begin(self, *columns: Rows) -> None:
        """Takes the samples of an update: observations `[N, D]`, actions and λ-returns `[N]`."""
        self._columns = [torch.from_numpy(column).to(self.device) for column in columns]

    def step(self, rows: Rows) -> tuple[Tensor, ...]:
        """One step down ½ E[(Q(s, a) − G^λ)²] of the samples `rows`; it, and the mean Q(s, a).

        Raises:
            TrainingError: the loss or a gradient is no number; no step was taken.
        """
        index = torch.from_numpy(rows).to(self.device)
        columns, limit = tuple(c[index] for c in self._columns), self.settings.max_grad_norm
        return descend(self._terms, columns, "train/loss", self.network, self.optimizer, limit)

    def _terms(self, x: Tensor, action: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        value = action_values(self.network(x), action)
        return 0.5 * value_loss(value, target), value.mean()


class PQN(Algorithm):
    """Rolls out, computes λ-returns of max_a Q, and takes epochs of minibatch steps to them.

    Like the policy, the normaliser stays as it is during a rollout and moves at its end.
    """

    _state = ("policy", "memory", "optimizer", "rng")

    def __init__(self, settings: PQNSettings, parts: Parts) -> None:
        self.settings = settings
        self.horizon = settings.n_steps
        self.rate = LearningRate(settings, parts)
        self.policy: PQNPolicy = PQNPolicy(settings, parts)
        self.memory: Rollout = Rollout(
            settings.n_steps,
            parts.num_envs,
            parts.observation_space,
            parts.action_space,
            extras={},
        )
        self.optimizer = parts.optimizer(self.policy.network.parameters(), settings.learning_rate)
        self.learner = fast.choose(
            PQNLearner, parts.kernels, self.policy.network, self.optimizer, settings
        )
        self.rng = generator(parts.seed, "minibatches")

    def update(self, progress: Progress) -> Metrics:
        s, rollout, inputs = self.settings, self.memory, self.policy.inputs
        # Of the rollout's start: at its end the last update of a run would have a rate of 0.
        fraction = progress.fraction_at(progress.steps - rollout.reward.size)
        rate = self.rate.set(progress, self.optimizer, at=fraction)

        obs = rollout.obs.reshape(-1, *rollout.obs.shape[2:])
        x = inputs.array(obs)  # [T · B, D]
        targets = lambda_returns(
            rollout.reward,
            self._next_values(x),
            rollout.terminated,
            rollout.truncated,
            s.gamma,
            s.q_lambda,
        )
        if not rollout.valid.all():  # environments raised
            kept = rollout.valid.reshape(-1)
            x, obs = x[kept], obs[kept]
        self.learner.begin(x, rollout.samples(rollout.action), rollout.samples(targets))
        history: list[Any] = []
        for _ in range(s.n_epochs):
            order = self.rng.permutation(len(x))
            for start in range(0, len(order), s.batch_size):
                history.append(self.learner.step(order[start : start + s.batch_size]))

        inputs.observe(obs)
        rollout.rewind()
        progress.updates += len(history)
        metrics: dict[str, Any] = self.policy.exploration.advance(progress.fraction)
        loss, value = means(history)
        return metrics | {
            "train/loss": loss,
            "train/q_value": value,
            "train/learning_rate": rate,
        }

    def _next_values(self, x: Rows) -> Rows:
        """max_a Q `[T, B]` of each step's true successor, by the network that acted."""
        values: Rows = self.policy.q_values(x).max(-1).reshape(self.memory.reward.shape)
        next_values = np.empty_like(values)
        next_values[:-1] = values[1:]
        obs, rows = self.memory.bootstraps()
        next_values[rows] = self.policy.q_values(self.policy.inputs.array(obs)).max(-1)
        return next_values
