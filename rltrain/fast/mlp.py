"""Small fully connected networks in NumPy, over the memory of their torch parameters.

For matrices this small it is the number of operations that costs, and NumPy's cost a
fraction of torch's. The parameters are one flat array, which torch's tensors are views
of: whatever one side changes, the other sees. Torch's autograd is the reference, and
tests compare the two.

Legend: N samples, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rltrain.networks.mlp import MLP

Floats = NDArray[np.float32]
Layers = list[tuple[nn.Linear, str]]
_ZERO = np.zeros((), np.float32)


def linear_layers(module: nn.Module) -> Layers | None:
    """The layers of a chain of Linear and tanh or ReLU; None where there is anything else."""
    layers: Layers = []
    for leaf in module.modules():
        if type(leaf) in (nn.Sequential, MLP):  # of others nobody knows what order they compute in
            continue
        if isinstance(leaf, nn.Linear) and leaf.bias is not None:
            layers.append((leaf, "none"))
        elif isinstance(leaf, nn.Tanh | nn.ReLU) and layers and layers[-1][1] == "none":
            layers[-1] = (layers[-1][0], type(leaf).__name__.lower())
        elif not isinstance(leaf, nn.Identity):
            return None
    return layers or None


def _tanh(x: Floats) -> None:
    np.tanh(x, out=x)


def _relu(x: Floats) -> None:
    np.maximum(x, _ZERO, out=x)


_ACTIVATIONS: dict[str, Callable[[Floats], None] | None] = {
    "none": None,
    "tanh": _tanh,
    "relu": _relu,
}


class FlatParameters:
    """All parameters of a module as one array `[P]`, and their gradients as another."""

    def __init__(self, module: nn.Module) -> None:
        self.parameters = list(module.parameters())
        size = sum(p.numel() for p in self.parameters)
        self.values: Floats = np.empty(size, np.float32)
        self.gradients: Floats = np.zeros(size, np.float32)
        self.slices: dict[int, slice] = {}  # by identity of the parameter
        start = 0  # the parameters move into the array
        for parameter in self.parameters:
            part = slice(start, start + parameter.numel())
            self.values[part] = parameter.detach().numpy().ravel()
            parameter.data = torch.from_numpy(self.values[part]).view_as(parameter)
            self.slices[id(parameter)] = part
            start = part.stop

    def gradient(self, parameter: torch.Tensor) -> Floats:
        """The gradient of one parameter, a view in its shape."""
        return self.gradients[self.slices[id(parameter)]].reshape(parameter.shape)


_flat: WeakKeyDictionary[nn.Module, FlatParameters] = WeakKeyDictionary()


def flatten(module: nn.Module) -> FlatParameters:
    """The flat parameters of a module: the same ones to everybody who asks."""
    if module not in _flat:
        _flat[module] = FlatParameters(module)
    return _flat[module]


class NumpyMLP:
    """Forward and backward through the layers of a module, into a flat gradient."""

    def __init__(self, layers: Layers, flat: FlatParameters) -> None:
        self.weights: list[Floats] = [layer.weight.detach().numpy() for layer, _ in layers]
        self.biases: list[Floats] = [layer.bias.detach().numpy() for layer, _ in layers]
        self.activations = [activation for _, activation in layers]
        self.weight_gradients = [flat.gradient(layer.weight) for layer, _ in layers]
        self.bias_gradients = [flat.gradient(layer.bias) for layer, _ in layers]
        self._layers = [
            (weight.T, bias, _ACTIVATIONS[activation])
            for weight, bias, activation in zip(
                self.weights, self.biases, self.activations, strict=True
            )
        ]
        self._kept: list[Floats] = []

    def forward(self, x: Floats) -> Floats:
        """The output `[N, out]` for `x` `[N, in]`; what `backward` needs is kept."""
        kept = [x]
        for weight, bias, activate in self._layers:
            x = x.dot(weight)
            x += bias
            if activate is not None:
                activate(x)
            kept.append(x)
        self._kept = kept
        return x

    def backward(self, gradient: Floats, to_input: bool = False) -> Floats:
        """Writes the gradients of the parameters, given that of the last output `[N, out]`.

        What it returns is the gradient of the input `[N, in]`, if it is to reach `to_input`.
        """
        kept = self._kept
        for i in range(len(self.weights) - 1, -1, -1):
            if self.activations[i] == "tanh":
                slope = np.square(kept[i + 1])
                np.subtract(1, slope, out=slope)
                gradient = np.multiply(gradient, slope, out=slope)
            elif self.activations[i] == "relu":
                gradient = gradient * (kept[i + 1] > 0)
            np.dot(gradient.T, kept[i], out=self.weight_gradients[i])
            np.add.reduce(gradient, 0, out=self.bias_gradients[i])
            if i or to_input:
                gradient = gradient.dot(self.weights[i])
        return gradient
