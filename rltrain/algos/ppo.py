"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347).

Legend: T steps of a rollout, B environments, N samples of a minibatch, A actions or
action dimensions. Details follow "The 37 implementation details of PPO" (Huang et al. 2022).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import Space, spaces
from torch import Tensor, nn

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
from rltrain.functional import distributions as dist
from rltrain.functional import policy_losses as losses
from rltrain.functional.returns import explained_variance, gae, running_returns
from rltrain.functional.schedules import scheduled
from rltrain.functional.statistics import RunningMoments
from rltrain.memory.rollout import Rollout
from rltrain.networks.inputs import Inputs
from rltrain.networks.mlp import with_head
from rltrain.settings.algos import PPOSettings


class ActorCritic(nn.Module):
    """A policy and a value function with a body each.

    The policy is a Categorical for Discrete actions, and for a Box a Gaussian whose σ does
    not depend on the observation.
    """

    def __init__(self, inputs: Inputs, action_space: Space, parts: Parts, log_std: float) -> None:
        super().__init__()
        self.discrete = isinstance(action_space, spaces.Discrete)
        actions = size_of(action_space)
        self.actor = with_head(parts.network(inputs.size), actions, gain=0.01)
        self.critic = with_head(parts.network(inputs.size), 1, gain=1.0)
        if not self.discrete:
            self.log_std = nn.Parameter(torch.full((actions,), log_std))

    def value(self, x: Tensor) -> Tensor:
        """V(s) `[N]`."""
        value: Tensor = self.critic(x)
        return value.squeeze(-1)

    def sample(self, x: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Actions `[N]` or `[N, A]`, and their log-probabilities `[N]`."""
        if self.discrete:
            log_probs = self.actor(x).log_softmax(-1)
            uniform = torch.from_numpy(rng.random(len(x), np.float32)).to(x.device)
            action = dist.categorical_sample(log_probs, uniform)
            return action, dist.categorical_log_prob(log_probs, action)
        mean = self.actor(x)
        normal = torch.from_numpy(rng.standard_normal(mean.shape, np.float32)).to(x.device)
        action = dist.gaussian_sample(mean, self.log_std, normal)
        return action, dist.gaussian_log_prob(mean, self.log_std, action)

    def mode(self, x: Tensor) -> Tensor:
        """The likeliest actions."""
        output: Tensor = self.actor(x)
        return output.argmax(-1) if self.discrete else output

    def evaluate(self, x: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """log π(a|s) `[N]` and the entropy of π(·|s) `[N]` (one number for a Gaussian)."""
        output = self.actor(x)
        if self.discrete:
            log_probs = output.log_softmax(-1)
            return dist.categorical_log_prob(log_probs, action), dist.categorical_entropy(log_probs)
        log_prob = dist.gaussian_log_prob(output, self.log_std, action)
        return log_prob, dist.gaussian_entropy(self.log_std)


class PPOPolicy(Policy):
    """Samples from the actor, or takes its mode."""

    _state = ("networks", "inputs")

    def __init__(self, settings: PPOSettings, parts: Parts) -> None:
        self.inputs = Inputs(parts.observation_space, settings.normalize_obs, parts.device)
        self.networks = ActorCritic(
            self.inputs, parts.action_space, parts, settings.log_std_init
        ).to(parts.device)
        self._action_shape = parts.action_space.shape or ()

    @torch.inference_mode()
    def act(
        self, obs: Rows, state: PolicyState, explore: bool, rng: np.random.Generator
    ) -> tuple[Rows, PolicyState, dict[str, Rows]]:
        x = self.inputs(obs)
        extras = {}
        if explore:
            action, log_prob = self.networks.sample(x, rng)
            value = self.networks.value(x)
            extras = {"log_prob": log_prob.cpu().numpy(), "value": value.cpu().numpy()}
        else:
            action = self.networks.mode(x)
        return action.cpu().numpy().reshape(len(obs), *self._action_shape), state, extras


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
        self.rng = generator(parts.seed, "minibatches")
        self.returns_so_far = np.zeros(parts.num_envs)
        self.return_moments = RunningMoments(())

    def end_episodes(self) -> None:
        super().end_episodes()
        if not self.memory.position:  # else the rollout's own flags will say so
            self.returns_so_far[:] = 0

    def update(self, progress: Progress) -> Metrics:
        s, rollout, networks = self.settings, self.memory, self.policy.networks
        rate = scheduled(s.learning_rate, s.learning_rate_schedule, progress.fraction)
        clip_range = scheduled(s.clip_range, s.clip_range_schedule, progress.fraction)
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

        obs = rollout.obs.reshape(-1, *rollout.obs.shape[2:])
        x = self.policy.inputs(obs)  # [T·B, D]
        action, old_log_prob, advantage, target = (
            torch.from_numpy(a.reshape(-1, *a.shape[2:])).to(x.device)
            for a in (rollout.action, rollout.extras["log_prob"], advantages, returns)
        )
        size = min(s.batch_size, len(x))
        history: list[tuple[Tensor, ...]] = []
        for _ in range(s.n_epochs):
            order = torch.from_numpy(self.rng.permutation(len(x))).to(x.device)
            first = len(history)
            for rows in torch.split(order, size):
                log_prob, entropy = networks.evaluate(x[rows], action[rows])
                log_ratio = log_prob - old_log_prob[rows]
                ratio = log_ratio.exp()
                a = advantage[rows]
                policy_loss = losses.clipped_surrogate(
                    ratio, losses.normalize(a) if s.normalize_advantage else a, clip_range
                )
                value_loss = losses.value_loss(networks.value(x[rows]), target[rows])
                entropy_loss = -entropy.mean()
                loss = policy_loss + s.ent_coef * entropy_loss + s.vf_coef * value_loss
                descend(loss, "train/loss", networks, self.optimizer, s.max_grad_norm)
                with torch.no_grad():
                    kl = losses.approx_kl(log_ratio)
                    clipped = ((ratio - 1).abs() > clip_range).float().mean()
                history.append(
                    tuple(
                        m.detach()
                        for m in (loss, policy_loss, value_loss, entropy_loss, kl, clipped)
                    )
                )
            if s.target_kl is not None:
                kls = torch.stack([row[4] for row in history[first:]])
                if kls.mean().item() > 1.5 * s.target_kl:
                    break

        self.policy.inputs.observe(obs)
        rollout.rewind()
        progress.updates += len(history)
        names = ("loss", "policy_gradient_loss", "value_loss", "entropy_loss", "approx_kl")
        means = torch.stack([torch.stack(row) for row in history]).mean(0)
        metrics: dict[str, Any] = dict(
            zip([f"train/{n}" for n in (*names, "clip_fraction")], means, strict=True)
        )
        return metrics | {
            "train/explained_variance": explained_variance(values, returns),
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
        self.return_moments.update(returns.reshape(-1))
        return self.return_moments.scale(rollout.reward)

    @torch.inference_mode()
    def _next_values(self) -> Rows:
        """V `[T, B]` of each step's true successor."""
        values = self.memory.extras["value"]
        next_values = np.empty_like(values)
        next_values[:-1] = values[1:]
        obs, rows = self.memory.bootstraps()
        next_values[rows] = self.policy.networks.value(self.policy.inputs(obs)).cpu().numpy()
        return next_values
