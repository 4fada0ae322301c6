"""Deep Q-network (Mnih et al. 2015, "Human-level control through deep reinforcement learning").

Legend: B environments, N transitions of a minibatch, A actions.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rltrain import fast
from rltrain.algos.base import (
    Algorithm,
    Metrics,
    Parts,
    Policy,
    PolicyState,
    descend,
    means,
    set_learning_rate,
)
from rltrain.core.seeding import generator
from rltrain.core.spaces import size_of
from rltrain.core.types import Progress, Rows
from rltrain.functional.schedules import scheduled
from rltrain.functional.td import action_values, huber, one_step_target
from rltrain.memory.replay import ReplayBuffer
from rltrain.networks.inputs import Inputs
from rltrain.networks.mlp import with_head
from rltrain.settings.algos import DQNSettings


class DQNPolicy(Policy):
    """Takes the action of the highest value, or explores."""

    _state = ("network", "inputs", "exploration")

    def __init__(self, settings: DQNSettings, parts: Parts) -> None:
        self.inputs = Inputs(parts.observation_space, settings.normalize_obs, parts.device)
        self.num_actions = size_of(parts.action_space)
        self.network = with_head(parts.network(self.inputs.size), self.num_actions, gain=None)
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


class DQNLearner:
    """Takes steps down the loss of minibatches, and moves the target network."""

    def __init__(
        self,
        network: nn.Module,
        target: nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: DQNSettings,
    ) -> None:
        self.network = network
        self.target = target
        self.optimizer = optimizer
        self.settings = settings
        self.device = next(network.parameters()).device

    def begin(self) -> None:
        """Nothing to do: torch's optimiser holds its own state."""

    def step(self, *columns: Rows) -> tuple[Tensor, Tensor]:
        """One optimiser step; returns the loss and the mean of Q(s, a).

        Columns are observations `[N, D]`, actions, rewards, termination flags `[N]`, and
        successors `[N, D]`.

        Raises:
            TrainingError: the loss or a gradient is no number; no step was taken.
        """
        loss, value = self.loss(*(torch.from_numpy(c).to(self.device) for c in columns))
        descend(loss, "train/loss", self.network, self.optimizer, self.settings.max_grad_norm)
        return loss.detach(), value.detach().mean()

    def loss(
        self, x: Tensor, action: Tensor, reward: Tensor, terminated: Tensor, successor: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The Huber loss of Q(s, a) towards r + γ max_a' Q⁻(s', a'), and Q(s, a) `[N]`."""
        with torch.no_grad():
            next_value = self.target(successor).amax(-1)
            target = one_step_target(reward, terminated, next_value, self.settings.gamma)
        value = action_values(self.network(x), action)
        return huber(value, target), value

    @torch.no_grad()
    def update_target(self) -> None:
        """θ⁻ ← (1 − τ) θ⁻ + τ θ."""
        for slow, fast_ in zip(self.target.parameters(), self.network.parameters(), strict=True):
            slow.lerp_(fast_, self.settings.tau)


class DQN(Algorithm):
    """Learns Q from replayed transitions towards a target network.

    Trainings and target updates are counted in environment steps, whatever the number of
    environments; there is none before `learning_starts`, and none is made up for later.
    """

    _state = ("policy", "target", "memory", "optimizer", "rng", "trained_at", "copied_at")

    def __init__(self, settings: DQNSettings, parts: Parts) -> None:
        self.settings = settings
        self.num_envs = parts.num_envs
        self.horizon = max(1, settings.train_freq // parts.num_envs)
        self.policy: DQNPolicy = DQNPolicy(settings, parts)
        self.target = copy.deepcopy(self.policy.network).requires_grad_(False)
        self.memory: ReplayBuffer = ReplayBuffer(
            settings.buffer_size, parts.observation_space, parts.action_space
        )
        self.optimizer = parts.optimizer(self.policy.network.parameters(), settings.learning_rate)
        self.learner = fast.choose(
            DQNLearner,
            parts.kernels,
            self.policy.network,
            self.target,
            self.optimizer,
            settings,
        )
        self.rng = generator(parts.seed, "replay")
        self.trained_at = 0  # trainings that were due so far
        self.copied_at = 0  # target updates that were due so far

    def update(self, progress: Progress) -> Metrics:
        s = self.settings
        self.policy.inputs.observe(self.memory.latest(self.horizon * self.num_envs))
        metrics: dict[str, Any] = self.policy.exploration.advance(progress.fraction)
        due = progress.steps // s.train_freq - self.trained_at
        self.trained_at += due
        if progress.steps <= s.learning_starts or not self.memory.size:
            return metrics
        if progress.steps // s.target_update_interval > self.copied_at:
            self.copied_at = progress.steps // s.target_update_interval
            self.learner.update_target()
        rate = scheduled(s.learning_rate, s.learning_rate_schedule, progress.fraction)
        set_learning_rate(self.optimizer, rate)
        self.learner.begin()
        history = [self._step() for _ in range(due * s.gradient_steps)]
        if history:
            progress.updates += len(history)
            loss, value = means(history)
            metrics |= {"train/loss": loss, "train/q_value": value}
        return metrics | {"train/learning_rate": rate}

    def _step(self) -> Any:
        batch = self.memory.sample(self.settings.batch_size, self.rng)
        array = self.policy.inputs.array
        return self.learner.step(
            array(batch.obs), batch.action, batch.reward, batch.terminated, array(batch.successor)
        )
