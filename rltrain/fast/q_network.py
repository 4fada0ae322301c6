"""Acting and learning of a small Q-network in NumPy.

Legend: N samples, D numbers of an observation, A actions.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from rltrain.fast.mlp import FlatParameters, Floats, Layers, NumpyMLP, flatten, linear_layers
from rltrain.fast.optimizers import flat_optimizer
from rltrain.functional.td import one_step_target, target_share
from rltrain.networks.q_network import Dueling
from rltrain.settings.off_policy import DQNSettings


class NumpyDueling:
    """A body under `rltrain.networks.q_network.Dueling`, forward and backward."""

    def __init__(self, parts: list[Layers], flat: FlatParameters) -> None:
        self.body, self.value, self.advantage = (NumpyMLP(part, flat) for part in parts)

    def forward(self, x: Floats) -> Floats:
        features = self.body.forward(x)
        advantage = self.advantage.forward(features)
        return advantage + (self.value.forward(features) - _row_means(advantage))

    def backward(self, gradient: Floats) -> None:
        """Writes the gradients of the parameters, given that of Q `[N, A]`."""
        centred = gradient - _row_means(gradient)
        total = np.add.reduce(gradient, -1, keepdims=True)
        back = self.advantage.backward(centred, to_input=True)
        self.body.backward(back + self.value.backward(total, to_input=True))


def _row_means(x: Floats) -> Floats:
    mean: Floats = np.add.reduce(x, -1, keepdims=True) / x.shape[-1]
    return mean


def dueling_layers(network: nn.Module) -> list[Layers] | None:
    """The layers of body, value and advantage; None where it is not of chains like these."""
    parts = list(network) if isinstance(network, nn.Sequential) else []
    if len(parts) != 2 or not isinstance(parts[1], Dueling):
        return None
    chains = [linear_layers(m) for m in (parts[0], parts[1].value, parts[1].advantage)]
    known = [chain for chain in chains if chain is not None]
    return known if len(known) == len(chains) else None


class NumpyQNetwork:
    """Q(s, ·) on arrays, over the parameters of a torch network."""

    def __init__(self, network: nn.Module) -> None:
        chain, parts, flat = linear_layers(network), dueling_layers(network), flatten(network)
        self.layers: NumpyMLP | NumpyDueling
        if parts is not None:
            self.layers = NumpyDueling(parts, flat)
        else:
            assert chain is not None
            self.layers = NumpyMLP(chain, flat)

    def __call__(self, x: Floats) -> Floats:
        return self.layers.forward(x)


class NumpyDQNLearner:
    """`rltrain.algos.dqn.DQNLearner`, its gradient worked out by hand."""

    def __init__(
        self,
        network: nn.Module,
        target: nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: DQNSettings,
    ) -> None:
        self.settings = settings
        self.flat = flatten(network)
        self.flat_target = flatten(target)
        self.optimizer = flat_optimizer(optimizer, self.flat)
        self.online = NumpyQNetwork(network)
        self.target = NumpyQNetwork(target)

    def begin(self) -> None:
        self.optimizer.bind()

    def step(
        self,
        x: Floats,
        action: Floats,
        reward: Floats,
        terminated: Floats,
        successor: Floats,
        discount: Floats | None = None,
        weight: Floats | None = None,
    ) -> tuple[float, float, Floats | None]:
        index = np.arange(len(x))
        after = self.target(successor)
        if self.settings.double:
            next_value = after[index, self.online(successor).argmax(-1)]
        else:
            next_value = after.max(-1)
        gamma = self.settings.gamma if discount is None else discount
        target = one_step_target(reward, terminated, next_value, gamma)
        q_values = self.online(x)
        value = q_values[index, action]
        error = value - target
        # Huber: ½ e² inside 1, |e| − ½ outside; its slope is e, held within ±1
        slope = np.minimum(np.maximum(error, -1), 1)
        weighted = slope if weight is None else weight * slope
        loss = float(weighted.dot(error - 0.5 * slope)) / len(x)
        gradient = np.zeros_like(q_values)
        gradient[index, action] = weighted / len(x)
        self.online.layers.backward(gradient)
        self.optimizer.descend(loss, "train/loss", self.settings.max_grad_norm)
        errors = None if weight is None else np.abs(error)
        return loss, float(np.add.reduce(value)) / len(x), errors

    def update_target(self, count: int = 1) -> None:
        slow, fast = self.flat_target.values, self.flat.values
        slow += target_share(self.settings.tau, count) * (fast - slow)
