"""Random network distillation (Burda et al. 2019, arXiv 1810.12894).

Legend: B environments, N observations, K features.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from rltrain import fast
from rltrain.algos.base import Parts
from rltrain.core.errors import TrainingError
from rltrain.core.seeding import generator
from rltrain.core.state import Stateful
from rltrain.core.types import Rows
from rltrain.functional.statistics import RunningMoments
from rltrain.networks.inputs import Inputs
from rltrain.networks.mlp import MLP, with_head
from rltrain.settings.intrinsics import RNDSettings
from rltrain.settings.networks import MLPSettings


class RandomNetworkDistillation(Stateful):
    """Rewards observations whose random features a network has not yet learned to predict.

    The error is divided by the running deviation of its discounted sum, which no episode
    ends, and observations are normalised and clipped to ±5 (sections 2.3 and 2.4). The first
    `warmup` observations reward nothing and begin both statistics, as the paper's random
    steps do: a deviation of few samples is near 0, and what was divided by it would stay in a
    replay. A reward is at most 10 times `coef`. Unlike in the paper both rewards share one
    value function, which ends with the episode: any algorithm can use it, and learns the value
    of both together.
    """

    _state = (
        "target",
        "predictor",
        "optimizer",
        "inputs",
        "moments",
        "rng",
        "running",
        "seen",
        "errors",
    )

    def __init__(
        self,
        settings: RNDSettings,
        parts: Parts,
    ) -> None:
        self.settings = settings
        self.inputs = Inputs(parts.observation_space, True, parts.device, 5.0, every_box=True)
        body = MLPSettings("mlp", settings.hidden_sizes, "relu", "orthogonal", False)

        def network() -> torch.nn.Sequential:
            layers = parts.network(self.inputs.layout, body=functools.partial(MLP, body))
            return with_head(layers, settings.num_features, math.sqrt(2)).to(parts.device)

        self.target = network().requires_grad_(False)
        self.predictor = network()
        self.optimizer = torch.optim.Adam(self.predictor.parameters(), settings.learning_rate)
        self._target = fast.q_network(self.target, parts.kernels)
        self._predictor = fast.q_network(self.predictor, parts.kernels)
        self.rng = generator(parts.seed, "rnd")
        self.moments = RunningMoments(())
        self.running = np.zeros(parts.num_envs)  # discounted sum of errors
        self.seen: list[Rows] = []  # since the last update
        self.errors: list[Rows] = []

    def reward(self, successor: Rows) -> Rows:
        """Return intrinsic rewards `[B]` of the observations that a step led to."""
        self.seen.append(successor.copy())
        if not self.moments.count:
            return np.zeros(len(successor), np.float32)
        error = self._error(successor)
        self.errors.append(error)
        return self.settings.coef * self.moments.scale(error)

    def _error(self, obs: Rows) -> Rows:
        """Mean squared errors `[N]` of the predictor."""
        x = self.inputs.array(obs)
        error: Rows = np.square(self._predictor(x) - self._target(x)).mean(-1)
        return error

    def update(self) -> Mapping[str, Any]:
        """Learn to predict what was seen since the last update; return metrics.

        Until `warmup` observations were seen they are kept, and nothing is learned.

        Raises:
            TrainingError: the loss is NaN or infinite.
        """
        s = self.settings
        if not self.moments.count and sum(map(len, self.seen)) < s.warmup:
            return {}
        obs = np.concatenate(self.seen)
        for start in range(0, len(obs), s.batch_size):  # pictures are large as float64
            self.inputs.observe(obs[start : start + s.batch_size])
        if not self.moments.count:
            self.errors = [self._error(rows) for rows in self.seen]
        returns = []
        for error in self.errors:
            self.running = s.gamma * self.running + error
            returns.append(self.running)
        self.moments.update(np.concatenate(returns))
        order = self.rng.permutation(len(obs))
        losses = []
        for start in range(0, len(order), s.batch_size):
            batch = self.inputs(obs[order[start : start + s.batch_size]])
            loss = (self.predictor(batch) - self.target(batch)).square().mean()
            losses.append(loss.detach())
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        mean = torch.stack(losses).mean()
        if not bool(torch.isfinite(mean)):
            raise TrainingError(f"train/rnd_loss is {float(mean)}; so are intrinsic rewards.")
        metrics = {"train/rnd_loss": mean, "rollout/intrinsic_error": np.mean(self.errors)}
        self.seen, self.errors = [], []
        return metrics
