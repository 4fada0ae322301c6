"""Fast paths for small networks: NumPy in place of torch's operations, the same numbers.

`kernels` is `numpy` or `torch`. What NumPy has no hand-written form of stays with torch,
which is the reference; tests compare the two, gradients included.

Legend: N samples, D numbers of an observation, A actions or action dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import nn

from rltrain.fast.actor_critic import (
    HEADS,
    NumpyActorCritic,
    NumpyPolicyGradientLearner,
    NumpyPPOLearner,
)
from rltrain.fast.continuous import NumpySACLearner
from rltrain.fast.deterministic import NumpyTD3Learner
from rltrain.fast.mlp import linear_layers
from rltrain.fast.optimizers import can_share
from rltrain.fast.q_network import NumpyDQNLearner, NumpyQNetwork, dueling_layers
from rltrain.networks.actor_critic import ActorCritic, Zero
from rltrain.networks.critics import Critics
from rltrain.networks.recurrent import as_tensors

Rows = NDArray[Any]

_LEARNERS: dict[str, Callable[..., Any]] = {
    "PPOLearner": NumpyPPOLearner,
    "PolicyGradientLearner": NumpyPolicyGradientLearner,
    "DQNLearner": NumpyDQNLearner,
    "SACLearner": NumpySACLearner,
    "TD3Learner": NumpyTD3Learner,
}


class Actor(Protocol):
    """An actor-critic on arrays: `x` is `[N, D]`."""

    def sample(self, x: Rows, noise: Rows) -> tuple[Rows, Rows, Rows]:
        """Actions `[N]` or `[N, A]`, their log-probabilities and V(s) `[N]`."""

    def mode(self, x: Rows) -> Rows:
        """The likeliest actions."""

    def value(self, x: Rows) -> Rows:
        """V(s) `[N]`."""


class TorchActor:
    """The reference: torch's networks, from arrays to arrays."""

    def __init__(self, networks: ActorCritic) -> None:
        self.networks = networks

    def _tensor(self, rows: Rows) -> Any:
        return as_tensors(rows, next(self.networks.parameters()).device)

    @torch.inference_mode()
    def sample(self, x: Rows, noise: Rows) -> tuple[Rows, Rows, Rows]:
        inputs = self._tensor(x)
        action, log_prob, value = self.networks.sample(inputs, self._tensor(noise))
        return action.cpu().numpy(), log_prob.cpu().numpy(), value.cpu().numpy()

    @torch.inference_mode()
    def mode(self, x: Rows) -> Rows:
        return self.networks.mode(self._tensor(x)).cpu().numpy()

    @torch.inference_mode()
    def value(self, x: Rows) -> Rows:
        return self.networks.value(self._tensor(x)).cpu().numpy()


def actor_critic(networks: ActorCritic, kernels: str) -> Actor:
    """What acts for an actor-critic."""
    if kernels == "numpy" and _fits(networks):
        return NumpyActorCritic(networks)
    return TorchActor(networks)


def on_arrays(network: nn.Module, kernels: str) -> Callable[[Rows], Rows]:
    """A network's outputs `[N, ...]` for arrays `[N, D]`."""
    if kernels == "numpy" and knows(network):
        return NumpyQNetwork(network)
    device = next(network.parameters()).device

    @torch.inference_mode()
    def outputs(x: Rows) -> Rows:
        y: torch.Tensor = network(as_tensors(x, device))
        return y.cpu().numpy()

    return outputs


q_network = on_arrays  # Q(s, ·) `[N, A]`


def choose(reference: type, kernels: str, *arguments: Any) -> Any:
    """The learner of a class: its counterpart in NumPy where there is one that fits."""
    networks = [a for a in arguments if isinstance(a, nn.Module)]
    optimizers = [a for a in arguments if isinstance(a, torch.optim.Optimizer)]
    fits = all(map(_fits, networks)) and all(map(can_share, optimizers))
    if kernels == "numpy" and fits and reference.__name__ in _LEARNERS:
        return _LEARNERS[reference.__name__](*arguments)
    return reference(*arguments)


def _fits(network: nn.Module) -> bool:
    if isinstance(network, Critics):
        return all(map(knows, network.members))
    if not isinstance(network, ActorCritic):
        return knows(network)
    if network.shared:  # gradients of two heads would meet in one body
        return False
    critic = isinstance(network.critic, Zero) or knows(network.critic)
    return isinstance(network.head, HEADS) and knows(network.actor) and critic


def knows(module: nn.Module) -> bool:
    """Whether a network is a chain of layers that is written here too."""
    floats = all(p.dtype == torch.float32 and p.device.type == "cpu" for p in module.parameters())
    return floats and (linear_layers(module) or dueling_layers(module)) is not None
