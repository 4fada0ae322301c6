"""Deep Q-network (Mnih et al. 2015, "Human-level control through deep reinforcement learning").

Legend: B environments, N transitions of a minibatch, A actions.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rltrain.algos.base import (
    Algorithm,
    Metrics,
    Parts,
    Policy,
    PolicyState,
    descend,
    set_learning_rate,
)
from rltrain.core.seeding import generator
from rltrain.core.spaces import size_of
from rltrain.core.types import Progress, Rows
from rltrain.functional.exploration import epsilon_greedy
from rltrain.functional.schedules import linear, scheduled
from rltrain.functional.td import action_values, huber, one_step_target
from rltrain.memory.replay import ReplayBuffer, Sample
from rltrain.networks.inputs import Inputs
from rltrain.networks.mlp import with_head
from rltrain.settings.algos import DQNSettings


class DQNPolicy(Policy):
    """Takes the action of the highest value, or with probability ε any."""

    _state = ("network", "inputs", "epsilon")

    def __init__(self, settings: DQNSettings, parts: Parts) -> None:
        self.inputs = Inputs(parts.observation_space, settings.normalize_obs, parts.device)
        self.num_actions = size_of(parts.action_space)
        self.network = with_head(parts.network(self.inputs.size), self.num_actions, gain=None)
        self.network.to(parts.device)
        self.epsilon = settings.exploration_initial_eps

    @torch.inference_mode()
    def act(
        self, obs: Rows, state: PolicyState, explore: bool, rng: np.random.Generator
    ) -> tuple[Rows, PolicyState, dict[str, Rows]]:
        greedy = self.network(self.inputs(obs)).argmax(-1).cpu().numpy()
        if explore:
            greedy = epsilon_greedy(greedy, self.num_actions, self.epsilon, rng)
        return greedy, state, {}


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
        self.rng = generator(parts.seed, "replay")
        self.trained_at = 0  # trainings that were due so far
        self.copied_at = 0  # target updates that were due so far

    def update(self, progress: Progress) -> Metrics:
        s = self.settings
        self.policy.inputs.observe(self.memory.latest(self.horizon * self.num_envs))
        self.policy.epsilon = linear(
            s.exploration_initial_eps,
            s.exploration_final_eps,
            progress.fraction / s.exploration_fraction,
        )
        metrics: dict[str, Any] = {"rollout/exploration_rate": self.policy.epsilon}
        due = progress.steps // s.train_freq - self.trained_at
        self.trained_at += due
        if progress.steps <= s.learning_starts:
            return metrics
        if progress.steps // s.target_update_interval > self.copied_at:
            self.copied_at = progress.steps // s.target_update_interval
            self._update_target()
        rate = scheduled(s.learning_rate, s.learning_rate_schedule, progress.fraction)
        set_learning_rate(self.optimizer, rate)
        history = []
        for _ in range(due * s.gradient_steps):
            loss, value = self._losses(self.memory.sample(s.batch_size, self.rng))
            descend(loss, "train/loss", self.policy.network, self.optimizer, s.max_grad_norm)
            history.append(torch.stack([loss.detach(), value.detach().mean()]))
        if history:
            progress.updates += len(history)
            loss, value = torch.stack(history).mean(0)
            metrics |= {"train/loss": loss, "train/q_value": value}
        return metrics | {"train/learning_rate": rate}

    def _losses(self, batch: Sample) -> tuple[Tensor, Tensor]:
        """The Huber loss of Q(s, a) towards r + γ max_a' Q⁻(s', a'), and Q(s, a) `[N]`."""
        inputs = self.policy.inputs
        action, reward, terminated = (
            torch.from_numpy(column).to(inputs.device)
            for column in (batch.action, batch.reward, batch.terminated)
        )
        with torch.no_grad():
            next_value = self.target(inputs(batch.successor)).amax(-1)
            target = one_step_target(reward, terminated, next_value, self.settings.gamma)
        value = action_values(self.policy.network(inputs(batch.obs)), action)
        return huber(value, target), value

    @torch.no_grad()
    def _update_target(self) -> None:
        """θ⁻ ← (1 − τ) θ⁻ + τ θ."""
        for slow, fast in zip(
            self.target.parameters(), self.policy.network.parameters(), strict=True
        ):
            slow.lerp_(fast, self.settings.tau)
