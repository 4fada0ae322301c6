"""Deep deterministic policy gradient (Lillicrap et al. 2016, "Continuous control with deep
reinforcement learning", arXiv 1509.02971).

Legend: B environments, N transitions of a minibatch, A action dimensions.

Networks and noise are of actions within ±1 in every dimension, whatever the environment's
bounds; the replay buffer holds actions as the environment took them.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from rltrain import fast
from rltrain.algos.base import (
    Parts,
    follow,
    means,
    named,
)
from rltrain.algos.descent import descend
from rltrain.algos.off_policy import OffPolicy, replay_of
from rltrain.algos.td3 import DeterministicPolicy
from rltrain.core.types import Progress, Rows
from rltrain.functional.td import one_step_target, squared_error
from rltrain.memory.mixed import MixedReplay
from rltrain.memory.replay import ReplayBuffer
from rltrain.networks.critics import Critics
from rltrain.settings.off_policy import DDPGSettings


class DDPGLearner:
    """Steps of the critic, the actor and the targets, on minibatches.

    Columns of a minibatch are observations `[N, D]`, actions within ±1 `[N, A]`, rewards,
    termination flags `[N]` and successors `[N, D]`.
    """

    def __init__(
        self,
        actor: nn.Module,
        target_actor: nn.Module,
        critic: Critics,
        target: Critics,
        actor_optimizer: torch.optim.Optimizer,
        critic_optimizer: torch.optim.Optimizer,
        settings: DDPGSettings,
    ) -> None:
        self.actor, self.target_actor = actor, target_actor
        self.critic, self.target = critic, target
        self.actor_optimizer, self.critic_optimizer = actor_optimizer, critic_optimizer
        self.settings = settings
        self.device = next(actor.parameters()).device

    def begin(self) -> None:
        """Nothing to do: torch's optimisers hold their own state."""

    def step(self, *columns: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """One step of each; returns the losses of critic and actor, and E[Q(s, a)].

        Raises:
            TrainingError: a loss or a gradient is no number; it moved nothing.
        """
        batch = tuple(torch.from_numpy(c).to(self.device) for c in columns)
        critic_loss, value = descend(
            self.critic_loss, batch, "train/critic_loss", self.critic, self.critic_optimizer
        )
        (actor_loss,) = descend(
            self.actor_loss, batch[:1], "train/actor_loss", self.actor, self.actor_optimizer
        )
        slow, moving = (self.target, self.target_actor), (self.critic, self.actor)
        follow(slow, moving, self.settings.tau)
        return critic_loss, actor_loss, value

    def critic_loss(
        self, x: Tensor, action: Tensor, reward: Tensor, terminated: Tensor, successor: Tensor
    ) -> tuple[Tensor, Tensor]:
        """E[½ (Q(s, a) − r − γ Q⁻(s′, π⁻(s′)))²] (eqs. 4 and 5), and E[Q(s, a)]."""
        with torch.no_grad():
            next_value = self.target.first(successor, self.target_actor(successor).tanh())
            target = one_step_target(reward, terminated, next_value, self.settings.gamma)
        values = self.critic(x, action)
        return squared_error(values, target), values.mean()

    def actor_loss(self, x: Tensor) -> tuple[Tensor]:
        """−E[Q(s, π(s))], whose gradient is the policy gradient of eq. 6."""
        return (-self.critic.first(x, self.actor(x).tanh()).mean(),)


class DDPG(OffPolicy):
    """Learns a deterministic policy and its action value from replayed transitions."""

    _state = (
        *OffPolicy._state,
        "target_actor",
        "critic",
        "target",
        "actor_optimizer",
        "critic_optimizer",
    )

    settings: DDPGSettings

    def __init__(self, settings: DDPGSettings, parts: Parts) -> None:
        super().__init__(settings, parts)
        self.policy: DeterministicPolicy = DeterministicPolicy(settings, parts)
        layout, actions = self.policy.inputs.layout, self.policy.bounds.size
        self.critic = Critics(parts.network, layout, 1, 1, actions).to(parts.device)
        self.target_actor = copy.deepcopy(self.policy.actor).requires_grad_(False)
        self.target = copy.deepcopy(self.critic).requires_grad_(False)
        self.memory: ReplayBuffer | MixedReplay = replay_of(settings, parts)
        rate = settings.learning_rate
        self.actor_optimizer = parts.optimizer(self.policy.actor.parameters(), rate)
        self.critic_optimizer = parts.optimizer(self.critic.parameters(), rate)
        self.learner = fast.choose(
            DDPGLearner,
            parts.kernels,
            self.policy.actor,
            self.target_actor,
            self.critic,
            self.target,
            self.actor_optimizer,
            self.critic_optimizer,
            settings,
        )

    def train(self, count: int, progress: Progress) -> dict[str, Any]:
        history = [self._step() for _ in range(count)]
        names = ("critic_loss", "actor_loss", "q_value")
        return named(names, means(history)) if history else {}

    def reset_targets(self) -> None:
        follow([self.target, self.target_actor], [self.critic, self.policy.actor], 1.0)

    def _step(self) -> Any:
        batch = self.memory.sample(self.settings.batch_size, self.rng)
        array, action = self.policy.inputs.array, self.policy.bounds.unscale(batch.action)
        return self.learner.step(
            array(batch.obs), action, batch.reward, batch.terminated, array(batch.successor)
        )

    def value(self, obs: Rows) -> Tensor:
        """Q(s, π(s)) `[N]`."""
        x = self.policy.inputs(obs)
        with torch.no_grad():
            return self.critic.first(x, self.policy.actor(x).tanh())
