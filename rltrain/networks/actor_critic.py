"""A policy and a value function.

Legend: N samples, D numbers of an observation, A outputs of the policy's network. `x` `[N, D]`
is `Sequences` of N samples, or a `Moment`, where the bodies are recurrent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from gymnasium import Space
from torch import Tensor, nn

from rltrain.networks.heads import Categorical, Gaussian, Parameters, head_of
from rltrain.networks.mlp import with_head
from rltrain.networks.recurrent import of_body


class Zero(nn.Module):
    """The value function of a method that has none: 0 everywhere, without parameters."""

    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(len(x), 1)


class ActorCritic(nn.Module):
    """A policy and a value function with a body each, or one body that is `shared`.

    The head that fits the action space says what the policy's output means; for a Box it
    is a Gaussian whose σ does not depend on the observation. Without `critic` V is 0.
    """

    log_std: nn.Parameter | None  # of a Gaussian

    def __init__(
        self,
        network: Callable[..., nn.Module],
        layout: Any,
        action_space: Space,
        log_std: float,
        critic: bool = True,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.head = head_of(action_space)
        self.discrete = isinstance(self.head, Categorical)
        self.num_actions = self.head.outputs
        body = network(layout)
        self.actor = with_head(body, self.num_actions, gain=0.01)
        self.shared = shared and critic
        other = body if self.shared or not critic else network(layout)
        self.critic = with_head(other, 1, gain=1.0) if critic else Zero()
        self.num_bodies = 2 if critic and not shared else 1
        gaussian = isinstance(self.head, Gaussian)
        first = nn.Parameter(torch.full((self.num_actions,), log_std)) if gaussian else None
        self.register_parameter("log_std", first)

    def policy_parameters(self) -> list[nn.Parameter]:
        """Those that π depends on, less those that are frozen."""
        own = [] if self.log_std is None else [self.log_std]
        return [p for p in (*own, *self.actor.parameters()) if p.requires_grad]

    def distribution(self, x: Tensor) -> Parameters:
        """The parameters of π(·|s), of `x` `[N, D]`."""
        return self.head.parameters(self.actor(of_body(x, 0)), self.log_std)

    def value(self, x: Tensor) -> Tensor:
        """V(s) `[N]` of `x` `[N, D]`."""
        value: Tensor = self.critic(of_body(x, self.num_bodies - 1))
        return value.squeeze(-1)

    def both(self, x: Tensor) -> tuple[Parameters, Tensor]:
        """The parameters of π(·|s) and V(s) `[N]`; a shared body is passed once."""
        if not self.shared:
            return self.distribution(x), self.value(x)
        features = self.actor[0](of_body(x, 0))
        output, value = self.actor[1](features), self.critic[1](features)  # type: ignore[index] # a Sequential
        return self.head.parameters(output, self.log_std), value.squeeze(-1)

    def sample(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Actions `[N]` or `[N, K]` out of the head's `noise`, their log π(a|s) and V(s) `[N]`."""
        distribution, value = self.both(x)
        action = self.head.sample(distribution, noise)
        return action, self.head.log_prob(distribution, action), value

    def mode(self, x: Tensor) -> Tensor:
        """The likeliest actions."""
        return self.head.mode(self.distribution(x))

    def evaluate(self, x: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log π(a|s) `[N]`, the entropy of π(·|s) `[N]` (one number for a Gaussian), V(s) `[N]`."""
        distribution, value = self.both(x)
        log_prob = self.head.log_prob(distribution, action)
        return log_prob, self.head.entropy(distribution), value
