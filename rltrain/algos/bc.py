"""Behaviour cloning (Pomerleau 1989, "ALVINN"; Bain & Sammut 1995): a policy that does what a
dataset's does, by supervised learning.

Legend: N samples, D numbers of an observation, K components of an action.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rltrain.algos.actor_critic import ActorCriticPolicy
from rltrain.algos.base import Algorithm, LearningRate, Metrics, Parts
from rltrain.algos.descent import descend
from rltrain.core.errors import UserError
from rltrain.core.types import Progress, Rows
from rltrain.memory.passes import Passes
from rltrain.memory.rollout import action_dtype
from rltrain.networks.actor_critic import ActorCritic
from rltrain.networks.heads import Gaussian
from rltrain.settings.off_policy import BCSettings

# What is deterministic is likelier with every smaller σ, without end.
LOG_STD_MIN = -5.0
CHUNK = 4096  # samples of the validation loss at a time


class BCLearner:
    """Takes steps down −E[log π(a|s)] or, of a Box, E[(a − μ(s))²]."""

    def __init__(
        self, networks: ActorCritic, optimizer: torch.optim.Optimizer, settings: BCSettings
    ) -> None:
        self.networks = networks
        self.optimizer = optimizer
        self.settings = settings
        self.device = next(networks.parameters()).device

    def losses(self, x: Tensor, action: Tensor) -> Tensor:
        """The loss of each sample `[N]`; `x` is `[N, D]`, actions are `[N]` or `[N, K]`."""
        if self.settings.loss == "mse":
            return (self.networks.mode(x) - action).square().mean(-1)
        return -self.networks.evaluate(x, action)[0]

    def step(self, x: Rows, action: Rows) -> Tensor:
        """One optimiser step; returns the loss.

        Raises:
            TrainingError: the loss or a gradient is no number; no step was taken.
        """
        columns, limit = self._tensors(x, action), self.settings.max_grad_norm
        (loss,) = descend(self._terms, columns, "train/loss", self.networks, self.optimizer, limit)
        if self.networks.log_std is not None:
            self.networks.log_std.data.clamp_(min=LOG_STD_MIN)
        return loss

    def _terms(self, x: Tensor, action: Tensor) -> tuple[Tensor]:
        return (self.losses(x, action).mean(),)

    @torch.no_grad()
    def judge(self, x: Rows, action: Rows) -> dict[str, float]:
        """The mean loss, and the share of actions that are the policy's likeliest; of a Box
        E|a − μ(s)| instead, in the units that the policy acts in."""
        inputs, wanted = self._tensors(x, action)
        chosen = self.networks.mode(inputs)
        loss = self.losses(inputs, wanted).mean().item()
        if isinstance(self.networks.head, Gaussian):
            return {"loss": loss, "error": (chosen - wanted).abs().mean().item()}
        right = (chosen == wanted).reshape(len(wanted), -1).all(-1)
        return {"loss": loss, "accuracy": right.float().mean().item()}

    def _tensors(self, x: Rows, action: Rows) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(x).to(self.device), torch.from_numpy(action).to(self.device)


class BC(Algorithm):
    """One minibatch an update; a step of its progress is a sample that was seen.

    The observations' statistics are those of the dataset, and stay.
    """

    _state = ("policy", "memory", "optimizer")

    def __init__(self, settings: BCSettings, parts: Parts) -> None:
        self.settings = settings
        self.horizon = settings.batch_size
        self.rate = LearningRate(settings, parts)
        self.policy: ActorCriticPolicy = ActorCriticPolicy(parts, settings, critic=False)
        networks = self.policy.networks
        if settings.loss == "mse" and not isinstance(networks.head, Gaussian):
            raise UserError(
                "algo.loss=mse is for actions of a Box; for others there is algo.loss=log_prob."
            )
        self.optimizer = parts.optimizer(networks.parameters(), settings.learning_rate)
        self.learner = BCLearner(networks, self.optimizer, settings)
        self.action_dtype = action_dtype(parts.action_space)
        self.memory: Passes = Passes(parts.dataset, settings.validation_share, parts.seed)

    def update(self, progress: Progress) -> Metrics:
        s = self.settings
        fraction = progress.fraction_at(progress.steps - self.horizon)
        rate = self.rate.set(progress, self.optimizer, at=fraction)
        loss = self.learner.step(*self._samples(self.memory.draw(s.batch_size)))
        progress.updates += 1
        metrics: dict[str, Any] = {
            "train/loss": loss,
            "train/learning_rate": rate,
            "train/epochs": self.memory.seen / len(self.memory.rows),
        }
        if progress.crossed(s.validation_every) or progress.steps >= progress.total:
            metrics |= self.validate()
        return metrics

    def validate(self) -> dict[str, float]:
        """Loss and accuracy on the episodes that are held out; nothing where there are none."""
        rows = self.memory.held_out
        sums: dict[str, float] = {}
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            for name, value in self.learner.judge(*self._samples(chunk)).items():
                sums[name] = sums.get(name, 0.0) + value * len(chunk)
        return {f"validation/{name}": value / len(rows) for name, value in sums.items()}

    def _samples(self, rows: Rows) -> tuple[Rows, Rows]:
        """What networks take `[N, D]`, and actions `[N]` or `[N, K]`."""
        dataset = self.memory.dataset
        assert dataset is not None
        action = self.policy.drawn(dataset.action[rows].astype(self.action_dtype))
        return self.policy.inputs.array(dataset.obs[rows]), action
