"""Acting and learning of a small Q-network in NumPy.

Legend: N samples, D numbers of an observation, A actions.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from rltrain.fast.mlp import Floats, NumpyMLP, flatten, linear_layers
from rltrain.fast.optimizers import flat_optimizer
from rltrain.functional.td import one_step_target
from rltrain.settings.algos import DQNSettings


class NumpyQNetwork:
    """Q(s, ·) on arrays, over the parameters of a torch network."""

    def __init__(self, network: nn.Module) -> None:
        layers = linear_layers(network)
        assert layers is not None
        self.layers = NumpyMLP(layers, flatten(network))

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
        self, x: Floats, action: Floats, reward: Floats, terminated: Floats, successor: Floats
    ) -> tuple[float, float]:
        next_value = self.target(successor).max(-1)
        target = one_step_target(reward, terminated, next_value, self.settings.gamma)
        q_values = self.online(x)
        index = np.arange(len(x))
        value = q_values[index, action]
        error = value - target
        # Huber: ½ e² inside 1, |e| − ½ outside; its slope is e, held within ±1
        slope = np.minimum(np.maximum(error, -1), 1)
        loss = float(slope.dot(error - 0.5 * slope)) / len(x)
        gradient = np.zeros_like(q_values)
        gradient[index, action] = slope / len(x)
        self.online.layers.backward(gradient)
        self.optimizer.descend(loss, "train/loss", self.settings.max_grad_norm)
        return loss, float(np.add.reduce(value)) / len(x)

    def update_target(self) -> None:
        """θ⁻ ← (1 − τ) θ⁻ + τ θ."""
        slow, fast = self.flat_target.values, self.flat.values
        slow += self.settings.tau * (fast - slow)
