"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347).

Legend: T steps of a rollout, B environments, N samples of a minibatch, A actions or
action dimensions. Details follow "The 37 implementation details of PPO" (Huang et al. 2022).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rltrain import fast
from rltrain.algos.actor_critic import OnPolicy
from rltrain.algos.base import Metrics, Parts, means, named
from rltrain.algos.descent import descend
from rltrain.core.seeding import generator
from rltrain.core.types import Progress, Rows
from rltrain.functional import policy_losses as losses
from rltrain.functional.returns import explained_variance
from rltrain.functional.schedules import scheduled
from rltrain.networks.actor_critic import ActorCritic
from rltrain.networks.recurrent import as_tensors
from rltrain.settings.on_policy import PPOSettings

METRICS = (
    "loss",
    "policy_gradient_loss",
    "value_loss",
    "entropy_loss",
    "approx_kl",
    "clip_fraction",
)


class PPOLearner:
    """Takes the minibatch steps of an update."""

    def __init__(
        self, networks: ActorCritic, optimizer: torch.optim.Optimizer, settings: PPOSettings
    ) -> None:
        self.networks = networks
        self.optimizer = optimizer
        self.settings = settings
        self.ent_coef = 0.0  # c_H, set before an update
        self.device = next(networks.parameters()).device

    def begin(self, *columns: Rows) -> None:
        """Takes the samples of an update: observations `[N, D]`, actions `[N]` or `[N, A]`,
        old log-probabilities, advantages, value targets and old values `[N]`."""
        self._columns = [as_tensors(column, self.device) for column in columns]
        if self.settings.objective == "kl_penalty":
            with torch.no_grad():  # copies, since the parameters of π are about to move
                self._old = [p.clone() for p in self.networks.distribution(self._columns[0])]

    def step(self, rows: Rows, clip_range: float, kl_coef: float) -> tuple[Tensor, ...]:
        """One optimiser step on the samples `rows`; returns what `METRICS` names.

        Raises:
            TrainingError: the loss or a gradient is no number; no step was taken.
        """
        s, index = self.settings, torch.from_numpy(rows).to(self.device)
        x, action, old_log_prob, advantage, target, old_value = (c[index] for c in self._columns)
        if s.normalize_advantage:
            advantage = losses.normalize(advantage)
        old: tuple[Tensor, ...] = ()
        if s.objective == "kl_penalty":
            old = tuple(p[index] if p.dim() > 1 else p.expand(len(index), -1) for p in self._old)
        terms_of = functools.partial(self._terms, clip_range, kl_coef)
        columns = (x, action, old_log_prob, advantage, target, old_value, *old)
        limit = s.max_grad_norm
        return descend(terms_of, columns, "train/loss", self.networks, self.optimizer, limit)

    def _terms(
        self,
        clip_range: float,
        kl_coef: float,
        x: Tensor,
        action: Tensor,
        old_log_prob: Tensor,
        advantage: Tensor,
        target: Tensor,
        old_value: Tensor,
        *old: Tensor,
    ) -> tuple[Tensor, ...]:
        s, head = self.settings, self.networks.head
        distribution, value = self.networks.both(x)
        log_ratio = head.log_prob(distribution, action) - old_log_prob
        ratio = log_ratio.exp()
        if s.objective == "clip":
            policy_loss = losses.clipped_surrogate(ratio, advantage, clip_range)
        else:
            kl = head.kl(old, distribution)
            policy_loss = losses.penalized_surrogate(ratio, advantage, kl, kl_coef)
        if s.clip_range_vf is None:
            value_loss = losses.value_loss(value, target)
        else:
            value_loss = losses.clipped_value_loss(value, old_value, target, s.clip_range_vf)
        entropy_loss = -head.entropy(distribution).mean()
        loss = policy_loss + self.ent_coef * entropy_loss + s.vf_coef * value_loss
        with torch.no_grad():
            approx_kl = losses.approx_kl(log_ratio)
            clipped = ((ratio - 1).abs() > clip_range).float().mean()
        return loss, policy_loss, value_loss, entropy_loss, approx_kl, clipped

    @torch.no_grad()
    def divergence(self) -> float:
        """The mean KL(old ‖ new) of the update so far (objective=kl_penalty)."""
        new = self.networks.distribution(self._columns[0])
        return self.networks.head.kl(tuple(self._old), new).mean().item()


class PPO(OnPolicy):
    """Rolls out, estimates advantages, and takes epochs of clipped minibatch steps.

    With objective=kl_penalty a penalty β KL(old ‖ new) takes the place of the clip.
    """

    _state = (*OnPolicy._state, "rng", "kl_coef")

    settings: PPOSettings

    def __init__(self, settings: PPOSettings, parts: Parts) -> None:
        super().__init__(settings, parts)
        networks = self.policy.networks
        self.optimizer = parts.optimizer(networks.parameters(), settings.learning_rate)
        self.learner = fast.choose(PPOLearner, parts.kernels, networks, self.optimizer, settings)
        self.rng = generator(parts.seed, "minibatches")
        self.kl_coef = settings.kl_coef  # β

    def update(self, progress: Progress) -> Metrics:
        s, fraction = self.settings, self.begun_at(progress)
        rate = self.rate.set(progress, self.optimizer, at=fraction)
        clip_range = scheduled(s.clip_range, s.clip_range_schedule, fraction)
        explored = self.exploration.advance(fraction)
        self.learner.ent_coef = self.exploration.ent_coef

        advantages, returns, values = self.advantages()
        self.learner.begin(*self.samples(), advantages, returns, values)
        history: list[Any] = []
        for _ in range(s.n_epochs):
            first = len(history)
            for rows in self.order.minibatches(returns.size, s.batch_size, self.rng):
                history.append(self.learner.step(rows, clip_range, self.kl_coef))
            if s.target_kl is not None:
                kls = [float(row[METRICS.index("approx_kl")]) for row in history[first:]]
                if np.mean(kls) > 1.5 * s.target_kl:
                    break

        metrics = named(METRICS, means(history)) | {
            "train/explained_variance": explained_variance(values, returns),
            "train/learning_rate": rate,
            "train/clip_range": clip_range,
        }
        metrics |= explored
        if s.objective == "kl_penalty":
            divergence = self.learner.divergence()
            metrics |= {"train/kl": divergence, "train/kl_coef": self.kl_coef}
            self.kl_coef = adapted(self.kl_coef, divergence, s.kl_coef_target)
        self.end_rollout()
        progress.updates += len(history)
        return metrics


def adapted(kl_coef: float, divergence: float, target: float | None) -> float:
    """β of the next update (section 4): halved or doubled where the KL missed its target."""
    if target is None or target / 1.5 <= divergence <= target * 1.5:
        return kl_coef
    return kl_coef / 2 if divergence < target else kl_coef * 2
