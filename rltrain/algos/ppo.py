"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347).

Legend: T steps of a rollout, B environments, N samples of a minibatch, A actions or
action dimensions. Details follow "The 37 implementation details of PPO" (Huang et al. 2022).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

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
from rltrain.core.types import Progress, Rows
from rltrain.functional import policy_losses as losses
from rltrain.functional.returns import explained_variance, gae, running_returns
from rltrain.functional.schedules import scheduled
from rltrain.functional.statistics import RunningMoments
from rltrain.memory.rollout import Rollout
from rltrain.networks.actor_critic import ActorCritic
from rltrain.networks.inputs import Inputs
from rltrain.settings.algos import PPOSettings

METRICS = (
    "loss",
    "policy_gradient_loss",
    "value_loss",
    "entropy_loss",
    "approx_kl",
    "clip_fraction",
)


class PPOPolicy(Policy):
    """Samples from the actor, or takes its mode."""

    _state = ("networks", "inputs")

    def __init__(self, settings: PPOSettings, parts: Parts) -> None:
        self.inputs = Inputs(parts.observation_space, settings.normalize_obs, parts.device)
        self.networks = ActorCritic(
            parts.network, self.inputs.size, parts.action_space, settings.log_std_init
        ).to(parts.device)
        self.actor = fast.actor_critic(self.networks, parts.kernels)
        self._action_shape = parts.action_space.shape or ()

    def act(
        self, obs: Rows, state: PolicyState, explore: bool, rng: np.random.Generator
    ) -> tuple[Rows, PolicyState, dict[str, Rows]]:
        x = self.inputs.array(obs)
        extras = {}
        if explore:
            action, log_prob, value = self.actor.sample(x, self._noise(len(obs), rng))
            extras = {"log_prob": log_prob, "value": value}
        else:
            action = self.actor.mode(x)
        return action.reshape(len(obs), *self._action_shape), state, extras

    def _noise(self, count: int, rng: np.random.Generator) -> Rows:
        if self.networks.discrete:
            return rng.random(count, np.float32)
        return rng.standard_normal((count, self.networks.num_actions), np.float32)


class PPOLearner:
    """Takes the minibatch steps of an update."""

    def __init__(
        self, networks: ActorCritic, optimizer: torch.optim.Optimizer, settings: PPOSettings
    ) -> None:
        self.networks = networks
        self.optimizer = optimizer
        self.settings = settings
        self.device = next(networks.parameters()).device

    def begin(self, *columns: Rows) -> None:
        """Takes the samples of an update: observations `[N, D]`, actions `[N]` or `[N, A]`,
        old log-probabilities, advantages and value targets `[N]`."""
        self._columns = [torch.from_numpy(column).to(self.device) for column in columns]

    def step(self, rows: Rows, clip_range: float) -> tuple[Tensor, ...]:
        """One optimiser step on the samples `rows`; returns what `METRICS` names.

        Raises:
            TrainingError: the loss or a gradient is no number; no step was taken.
        """
        s, index = self.settings, torch.from_numpy(rows).to(self.device)
        x, action, old_log_prob, advantage, target = (c[index] for c in self._columns)
        log_prob, entropy = self.networks.evaluate(x, action)
        log_ratio = log_prob - old_log_prob
        ratio = log_ratio.exp()
        if s.normalize_advantage:
            advantage = losses.normalize(advantage)
        policy_loss = losses.clipped_surrogate(ratio, advantage, clip_range)
        value_loss = losses.value_loss(self.networks.value(x), target)
        entropy_loss = -entropy.mean()
        loss = policy_loss + s.ent_coef * entropy_loss + s.vf_coef * value_loss
        descend(loss, "train/loss", self.networks, self.optimizer, s.max_grad_norm)
        with torch.no_grad():
            kl = losses.approx_kl(log_ratio)
            clipped = ((ratio - 1).abs() > clip_range).float().mean()
        terms = (loss, policy_loss, value_loss, entropy_loss, kl, clipped)
        return tuple(term.detach() for term in terms)


class PPO(Algorithm):
    """Rolls out, estimates advantages, and takes epochs of clipped minibatch steps.

    The policy and the normaliser stay as they are during a rollout; both move at its end,
    so that the old log-probabilities belong to the observations as the update sees them.
    """

    _state = ("policy", "memory", "optimizer", "rng", "returns_so_far", "return_moments")

    def __init__(self, settings: PPOSettings, parts: Parts) -> None:
        self.settings = settings
        self.horizon = settings.n_steps
        self.policy: PPOPolicy = PPOPolicy(settings, parts)
        self.memory: Rollout = Rollout(
            settings.n_steps,
            parts.num_envs,
            parts.observation_space,
            parts.action_space,
            extras=("log_prob", "value"),
        )
        self.optimizer = parts.optimizer(self.policy.networks.parameters(), settings.learning_rate)
        self.learner = fast.choose(
            PPOLearner, parts.kernels, self.policy.networks, self.optimizer, settings
        )
        self.rng = generator(parts.seed, "minibatches")
        self.returns_so_far = np.zeros(parts.num_envs)
        self.return_moments = RunningMoments(())

    def end_episodes(self) -> None:
        super().end_episodes()
        if not self.memory.position:  # else the rollout's own flags will say so
            self.returns_so_far[:] = 0

    def update(self, progress: Progress) -> Metrics:
        s, rollout, networks = self.settings, self.memory, self.policy.networks
        # Of the rollout's start: at its end the last update of a run would have a rate of 0.
        fraction = progress.fraction_at(progress.steps - rollout.reward.size)
        rate = scheduled(s.learning_rate, s.learning_rate_schedule, fraction)
        clip_range = scheduled(s.clip_range, s.clip_range_schedule, fraction)
        set_learning_rate(self.optimizer, rate)

        values = rollout.extras["value"]  # [T, B]
        advantages = gae(
            self._rewards(),
            values,
            self._next_values(),
            rollout.terminated,
            rollout.truncated,
            s.gamma,
            s.gae_lambda,
        )
        returns = advantages + values

        obs, action = rollout.samples(rollout.obs), rollout.samples(rollout.action)
        if not networks.discrete:
            action = action.reshape(len(obs), -1)
        per_sample = (rollout.extras["log_prob"], advantages, returns)
        self.learner.begin(
            self.policy.inputs.array(obs), action, *(rollout.samples(c) for c in per_sample)
        )
        history: list[Any] = []
        for _ in range(s.n_epochs):
            order = self.rng.permutation(len(obs))
            first = len(history)
            for start in range(0, len(order), s.batch_size):
                rows = order[start : start + s.batch_size]
                history.append(self.learner.step(rows, clip_range))
            if s.target_kl is not None:
                kls = [float(row[METRICS.index("approx_kl")]) for row in history[first:]]
                if np.mean(kls) > 1.5 * s.target_kl:
                    break

        self.policy.inputs.observe(obs)
        rollout.rewind()
        progress.updates += len(history)
        metrics: dict[str, Any] = dict(
            zip([f"train/{name}" for name in METRICS], means(history), strict=True)
        )
        return metrics | {
            "train/explained_variance": explained_variance(
                rollout.samples(values), rollout.samples(returns)
            ),
            "train/learning_rate": rate,
            "train/clip_range": clip_range,
        }

    def _rewards(self) -> Rows:
        """Rewards `[T, B]`, scaled by the deviation of the discounted return where asked for."""
        rollout = self.memory
        if not self.settings.normalize_reward:
            return rollout.reward
        ended = rollout.terminated | rollout.truncated
        returns = running_returns(rollout.reward, ended, self.returns_so_far, self.settings.gamma)
        self.return_moments.update(rollout.samples(returns))
        return self.return_moments.scale(rollout.reward)

    def _next_values(self) -> Rows:
        """V `[T, B]` of each step's true successor."""
        values = self.memory.extras["value"]
        next_values = np.empty_like(values)
        next_values[:-1] = values[1:]
        obs, rows = self.memory.bootstraps()
        next_values[rows] = self.policy.actor.value(self.policy.inputs.array(obs))
        return next_values
