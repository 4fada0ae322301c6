"""A policy and a value function.

Legend: N samples, D numbers of an observation, A actions or action dimensions.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from gymnasium import Space, spaces
from torch import Tensor, nn

from rltrain.core.spaces import size_of
from rltrain.functional import distributions as dist
from rltrain.networks.mlp import with_head


class ActorCritic(nn.Module):
    """A policy and a value function with a body each.

    The policy is a Categorical for Discrete actions, and for a Box a Gaussian whose σ does
    not depend on the observation.
    """

    def __init__(
        self,
        network: Callable[[int], nn.Module],
        in_features: int,
        action_space: Space,
        log_std: float,
    ) -> None:
        super().__init__()
        self.discrete = isinstance(action_space, spaces.Discrete)
        self.num_actions = size_of(action_space)
        self.actor = with_head(network(in_features), self.num_actions, gain=0.01)
        self.critic = with_head(network(in_features), 1, gain=1.0)
        if not self.discrete:
            self.log_std = nn.Parameter(torch.full((self.num_actions,), log_std))

    def value(self, x: Tensor) -> Tensor:
        """V(s) `[N]` of `x` `[N, D]`."""
        value: Tensor = self.critic(x)
        return value.squeeze(-1)

    def sample(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions `[N]` or `[N, A]`, and their log-probabilities `[N]`.

        `noise` is uniform in [0, 1) `[N]` for a Categorical, standard normal `[N, A]` else.
        """
        output = self.actor(x)
        if self.discrete:
            log_probs = output.log_softmax(-1)
            action = dist.categorical_sample(log_probs, noise)
            return action, dist.categorical_log_prob(log_probs, action)
        action = dist.gaussian_sample(output, self.log_std, noise)
        return action, dist.gaussian_log_prob(output, self.log_std, action)

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
