"""What methods that learn a policy from its own rollouts have in common.

Legend: T steps of a rollout, B environments, N samples, A numbers of the policy's output.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rltrain import fast
from rltrain.algos.base import Algorithm, LearningRate, Parts, Policy, PolicyState
from rltrain.algos.descent import descend
from rltrain.algos.samples import order_of
from rltrain.core.types import Progress, Rows
from rltrain.functional import policy_losses as losses
from rltrain.functional.returns import gae, running_returns
from rltrain.functional.statistics import RunningMoments
from rltrain.memory.rollout import Rollout
from rltrain.networks.actions import UnitActions
from rltrain.networks.actor_critic import ActorCritic
from rltrain.networks.inputs import Inputs
from rltrain.networks.recurrent import as_tensors, recall
from rltrain.settings.on_policy import (
    A2CSettings,
    OnPolicySettings,
    PolicySettings,
    REINFORCESettings,
)


class ActorCriticPolicy(Policy):
    """Sample from the actor, or take its mode.

    A Gaussian acts in the unit box with `scale_actions`, else in the units of the environment.
    """

    _state = ("networks", "inputs")

    def __init__(self, parts: Parts, settings: PolicySettings, critic: bool = True) -> None:
        self.inputs = Inputs(parts.observation_space, settings.normalize_obs, parts.device)
        self.networks = ActorCritic(
            parts.network,
            self.inputs.layout,
            parts.action_space,
            settings.log_std_init,
            critic,
            parts.shared,
        ).to(parts.device)
        self.actor = fast.actor_critic(self.networks, parts.kernels)
        self.recall = recall(self.networks, self.networks.num_bodies, parts.device)
        self._action_shape = parts.action_space.shape or ()
        self.scaled = settings.scale_actions
        box = isinstance(parts.action_space, spaces.Box)
        self._unit = UnitActions(parts.action_space) if box and self.scaled else None

    def act(
        self, obs: Rows, state: PolicyState, explore: bool, rng: np.random.Generator
    ) -> tuple[Rows, PolicyState, dict[str, Rows]]:
        x = self.recall.moment(self.inputs.array(obs), state)
        extras: dict[str, Rows] = {}
        if explore:
            noise = self.networks.head.noise(len(obs), rng)
            action, log_prob, value = self.actor.sample(x, noise)
            extras = {"log_prob": log_prob, "value": value} | self.recall.extras(state)
        else:
            action = self.actor.mode(x)
        after = self.recall.after(x, state)
        if self._unit is not None:
            return self._unit.scale(action), after, extras
        return action.reshape(len(obs), *self._action_shape), after, extras

    def drawn(self, action: Rows) -> Rows:
        """Return actions `[N, ...]` as the head draws them `[N, *event]`."""
        if self._unit is not None:
            return self._unit.unscale(action)
        return action.reshape(len(action), *self.networks.head.event)


class PolicyGradientLearner:
    """Takes steps down −E[A log π(a|s)] − c_H E[H(π)] + c_V E[(R − V(s))²].

    c_H is `ent_coef`, set before an update, and c_V is `vf_coef`. What the advantages A and the
    returns R are is each method's.
    """

    METRICS = ("loss", "policy_loss", "value_loss", "entropy_loss")

    def __init__(
        self,
        networks: ActorCritic,
        optimizer: torch.optim.Optimizer,
        settings: A2CSettings | REINFORCESettings,
    ) -> None:
        self.networks = networks
        self.optimizer = optimizer
        self.settings = settings
        self.ent_coef = 0.0
        self.device = next(networks.parameters()).device

    def begin(self) -> None:
        """Nothing to do: torch's optimiser holds its own state."""

    def step(self, *columns: Rows) -> tuple[Tensor, ...]:
        """One optimiser step; returns what `METRICS` names.

        Columns are observations `[N, D]`, actions `[N]` or `[N, K]`, advantages and
        returns `[N]`.

        Raises:
            TrainingError: the loss or a gradient is no number; no step was taken.
        """
        batch = tuple(as_tensors(c, self.device) for c in columns)
        limit = self.settings.max_grad_norm
        return descend(self._terms, batch, "train/loss", self.networks, self.optimizer, limit)

    def _terms(
        self, x: Tensor, action: Tensor, advantage: Tensor, target: Tensor
    ) -> tuple[Tensor, ...]:
        log_prob, entropy, value = self.networks.evaluate(x, action)
        policy_loss = losses.policy_gradient(log_prob, advantage)
        value_loss = losses.value_loss(value, target)
        entropy_loss = -entropy.mean()
        weighted = self.ent_coef * entropy_loss + self.settings.vf_coef * value_loss
        return policy_loss + weighted, policy_loss, value_loss, entropy_loss


class OnPolicy(Algorithm):
    """The base of what learns from one rollout at a time, judged by a critic.

    The policy and the normaliser stay as they are during a rollout; both move at its end,
    so that the old log-probabilities belong to the observations as the update sees them.
    """

    _state: ClassVar[tuple[str, ...]] = (
        "policy",
        "memory",
        "optimizer",
        "returns_so_far",
        "return_moments",
    )

    settings: OnPolicySettings
    memory: Rollout
    policy: ActorCriticPolicy
    optimizer: torch.optim.Optimizer

    def __init__(self, settings: OnPolicySettings, parts: Parts) -> None:
        self.settings = settings
        self.horizon = settings.n_steps
        self.rate = LearningRate(settings, parts)
        self.policy = ActorCriticPolicy(parts, settings)
        self.order = order_of(self.policy.networks, self.policy.inputs)
        self.memory = Rollout(
            settings.n_steps,
            parts.num_envs,
            parts.observation_space,
            parts.action_space,
            self.order.extras(),
        )
        self.exploration = parts.exploration
        self.returns_so_far = np.zeros(parts.num_envs)
        self.return_moments = RunningMoments(())

    def end_episodes(self) -> None:
        super().end_episodes()
        if not self.memory.position:  # else the rollout's own flags will say so
            self.returns_so_far[:] = 0

    def begun_at(self, progress: Progress) -> float:
        """How far training was at the rollout's start: schedules go by it.

        At its end the last update of a run would have a rate of 0.
        """
        return progress.fraction_at(progress.steps - self.memory.reward.size)

    def advantages(self) -> tuple[Rows, Rows, Rows]:
        """Â by generalised advantage estimation, the returns Â + V, and V `[N]`."""
        rollout, s = self.memory, self.settings
        values = rollout.extras["value"]
        advantages = gae(
            self._rewards(),
            values,
            self._next_values(),
            rollout.terminated,
            rollout.truncated,
            s.gamma,
            s.gae_lambda,
        )
        estimates = (advantages, advantages + values, values)
        a, r, v = (self.order.column(rollout, rows) for rows in estimates)
        return a, r, v

    def samples(self) -> tuple[Any, Rows, Rows]:
        """The rollout as rows: what networks take `[N, D]`, actions `[N]` or `[N, K]`, and
        old log-probabilities `[N]`."""
        rollout, order = self.memory, self.order
        action = self.policy.drawn(order.column(rollout, rollout.action))
        log_prob = order.column(rollout, rollout.extras["log_prob"])
        return order.x(rollout), action, log_prob

    def end_rollout(self) -> None:
        """Lets the normaliser see the rollout's observations, and rewinds it."""
        self.policy.inputs.observe(self.memory.samples(self.memory.obs))
        self.memory.rewind()

    def _rewards(self) -> Rows:
        """Rewards `[T, B]`, scaled by the deviation of the discounted return where asked for."""
        rollout = self.memory
        if not self.settings.normalize_reward:
            return rollout.reward
        ended = rollout.terminated | rollout.truncated | ~rollout.valid
        returns = running_returns(rollout.reward, ended, self.returns_so_far, self.settings.gamma)
        self.return_moments.update(rollout.samples(returns))
        return self.return_moments.scale(rollout.reward)

    def _next_values(self) -> Rows:
        """V `[T, B]` of each step's true successor."""
        values = self.memory.extras["value"]
        next_values = np.empty_like(values)
        next_values[:-1] = values[1:]
        x, rows = self.order.successors(self.memory)
        next_values[rows] = self.policy.actor.value(x)
        return next_values
