"""Twin delayed deep deterministic policy gradient (Fujimoto et al. 2018, "Addressing Function
Approximation Error in Actor-Critic Methods", arXiv 1802.09477).

Legend: B environments, N transitions of a minibatch, A action dimensions.

Networks and noise are of actions within ±1 in every dimension, whatever the environment's
bounds; the replay buffer holds actions as the environment took them.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rltrain import fast
from rltrain.algos.base import (
    Parts,
    Policy,
    PolicyState,
    follow,
    means,
    named,
)
from rltrain.algos.descent import descend
from rltrain.algos.off_policy import OffPolicy, replay_of
from rltrain.core.types import Progress, Rows
from rltrain.functional.td import one_step_target, squared_error
from rltrain.memory.mixed import MixedReplay
from rltrain.memory.replay import ReplayBuffer
from rltrain.networks.actions import BoundedActions
from rltrain.networks.critics import Critics
from rltrain.networks.inputs import Inputs
from rltrain.networks.mlp import with_head
from rltrain.settings.off_policy import DDPGSettings, TD3Settings


class DeterministicPolicy(Policy):
    """π(s) = tanh of the actor, with exploration around it; uniform actions while warming up."""

    _state = ("actor", "inputs", "exploration", "warming_up")

    def __init__(self, settings: TD3Settings | DDPGSettings, parts: Parts) -> None:
        self.inputs = Inputs(parts.observation_space, settings.normalize_obs, parts.device)
        self.bounds = BoundedActions(parts.action_space)
        self.actor = with_head(parts.network(self.inputs.layout), self.bounds.size, gain=None)
        self.actor.to(parts.device)
        self.outputs = fast.on_arrays(self.actor, parts.kernels)
        self.exploration: Any = parts.exploration
        self.learning_starts = settings.learning_starts
        self.warming_up = settings.learning_starts > 0

    def initial_state(self, num_envs: int) -> PolicyState:
        state = self.exploration.initial_state(num_envs)
        return None if state is None else np.zeros((num_envs, self.bounds.size), np.float32)

    def restart(self, state: PolicyState, ended: Rows) -> PolicyState:
        return self.exploration.restart(state, ended)

    def act(
        self, obs: Rows, state: PolicyState, explore: bool, rng: np.random.Generator
    ) -> tuple[Rows, PolicyState, dict[str, Rows]]:
        if explore and self.warming_up:
            unit = 2 * rng.random((len(obs), self.bounds.size), np.float32) - 1
            return self.bounds.scale(unit), state, {}
        unit = np.tanh(self.outputs(self.inputs.array(obs)))
        if explore:
            unit, state = self.exploration.perturb(unit, state, rng)
        return self.bounds.scale(unit), state, {}

    def advance(self, progress: Progress) -> dict[str, float]:
        """Ends the warm-up in time and follows the schedule of exploration; returns metrics."""
        self.warming_up = progress.steps < self.learning_starts
        found: dict[str, float] = self.exploration.advance(progress.fraction)
        return found


class TD3Learner:
    """Steps of the critics and of the actor, on minibatches.

    Columns of a minibatch are observations `[N, D]`, actions within ±1 `[N, A]`, rewards,
    termination flags `[N]`, successors `[N, D]`, and standard normal noise `[N, A]`.
    """

    def __init__(
        self,
        actor: nn.Module,
        target_actor: nn.Module,
        critics: Critics,
        targets: Critics,
        actor_optimizer: torch.optim.Optimizer,
        critic_optimizer: torch.optim.Optimizer,
        settings: TD3Settings,
        threads: int = 1,
    ) -> None:
        self.actor, self.target_actor = actor, target_actor
        self.critics, self.targets = critics, targets
        self.actor_optimizer, self.critic_optimizer = actor_optimizer, critic_optimizer
        self.settings = settings
        self.device = next(actor.parameters()).device

    def begin(self) -> None:
        """Nothing to do: torch's optimisers hold their own state."""

    def evaluate(self, *columns: Rows) -> tuple[Tensor, ...]:
        """One step of the critics; returns their loss and the mean of Q_1(s, a).

        Raises:
            TrainingError: the loss or a gradient is no number; no step was taken.
        """
        batch = tuple(torch.from_numpy(c).to(self.device) for c in columns)
        optimizer = self.critic_optimizer
        return descend(self.critic_loss, batch, "train/critic_loss", self.critics, optimizer)

    def improve(self, obs: Rows) -> Tensor:
        """One step of the actor on observations `[N, D]`, then of the targets.

        Raises:
            TrainingError: the loss or a gradient is no number; no step was taken.
        """
        batch, optimizer = (torch.from_numpy(obs).to(self.device),), self.actor_optimizer
        (loss,) = descend(self.actor_loss, batch, "train/actor_loss", self.actor, optimizer)
        slow, moving = (self.targets, self.target_actor), (self.critics, self.actor)
        follow(slow, moving, self.settings.tau)
        return loss

    def critic_loss(
        self,
        x: Tensor,
        action: Tensor,
        reward: Tensor,
        terminated: Tensor,
        successor: Tensor,
        noise: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Σ_k E[½ (Q_k(s, a) − y)²], y = r + γ min_k Q⁻_k(s′, ã) (eq. 10), and E[Q_1(s, a)].

        ã = π⁻(s′) + clip(ε, −c, c), ε ~ N(0, σ̃²), within the bounds again (section 5.3).
        """
        s = self.settings
        with torch.no_grad():
            smoothing = (s.target_noise * noise).clamp(-s.target_noise_clip, s.target_noise_clip)
            next_action = (self.target_actor(successor).tanh() + smoothing).clamp(-1, 1)
            next_value = self.targets(successor, next_action).amin(0)
            target = one_step_target(reward, terminated, next_value, s.gamma)
        values = self.critics(x, action)
        return squared_error(values, target), values[0].mean()

    def actor_loss(self, x: Tensor) -> tuple[Tensor]:
        """−E[Q_1(s, π(s))]: the deterministic policy gradient (Silver et al. 2014)."""
        return (-self.critics.first(x, self.actor(x).tanh()).mean(),)


class TD3(OffPolicy):
    """Learns a deterministic policy and two action values from replayed transitions.

    Actor and targets move with every `policy_delay`-th step of the critics.
    """

    _state = (
        *OffPolicy._state,
        "target_actor",
        "critics",
        "targets",
        "actor_optimizer",
        "critic_optimizer",
        "critic_steps",
    )

    settings: TD3Settings

    def __init__(self, settings: TD3Settings, parts: Parts) -> None:
        super().__init__(settings, parts)
        self.policy: DeterministicPolicy = DeterministicPolicy(settings, parts)
        layout, actions = self.policy.inputs.layout, self.policy.bounds.size
        self.critics = Critics(parts.network, layout, 1, 2, actions).to(parts.device)
        self.target_actor = copy.deepcopy(self.policy.actor).requires_grad_(False)
        self.targets = copy.deepcopy(self.critics).requires_grad_(False)
        self.memory: ReplayBuffer | MixedReplay = replay_of(settings, parts)
        rate = settings.learning_rate
        self.actor_optimizer = parts.optimizer(self.policy.actor.parameters(), rate)
        self.critic_optimizer = parts.optimizer(self.critics.parameters(), rate)
        self.learner = fast.choose(
            TD3Learner,
            parts.kernels,
            self.policy.actor,
            self.target_actor,
            self.critics,
            self.targets,
            self.actor_optimizer,
            self.critic_optimizer,
            settings,
            parts.threads,
        )
        self.critic_steps = 0

    def train(self, count: int, progress: Progress) -> dict[str, Any]:
        evaluated, improved = [], []
        for _ in range(count):
            obs, *rest = self._sample()
            evaluated.append(self.learner.evaluate(obs, *rest))
            self.critic_steps += 1
            if self.critic_steps % self.settings.policy_delay == 0:
                improved.append((self.learner.improve(obs),))
        found = named(("critic_loss", "q_value"), means(evaluated)) if evaluated else {}
        return found | (named(("actor_loss",), means(improved)) if improved else {})

    def reset_targets(self) -> None:
        follow([self.targets, self.target_actor], [self.critics, self.policy.actor], 1.0)

    def _sample(self) -> tuple[Rows, ...]:
        batch = self.memory.sample(self.settings.batch_size, self.rng)
        array, action = self.policy.inputs.array, self.policy.bounds.unscale(batch.action)
        noise = self.rng.standard_normal(action.shape, np.float32)
        obs, successor = array(batch.obs), array(batch.successor)
        return obs, action, batch.reward, batch.terminated, successor, noise

    def value(self, obs: Rows) -> Tensor:
        """Q_1(s, π(s)) `[N]`."""
        x = self.policy.inputs(obs)
        with torch.no_grad():
            return self.critics.first(x, self.policy.actor(x).tanh())
