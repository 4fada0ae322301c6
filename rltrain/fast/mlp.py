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

    def gradient(self, parameter: torch.Tensor, gradients: Floats | None = None) -> Floats:
        """The gradient of one parameter, a view in its shape, out of all or of other ones."""
        gradients = self.gradients if gradients is None else gradients
        return gradients[self.slices[id(parameter)]].reshape(parameter.shape)


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


def _large_relu(x: Floats) -> None:
    torch.relu_(torch.from_numpy(x))  # of many numbers in a third of NumPy's time


_LARGE = _ACTIVATIONS | {"relu": _large_relu}


class BufferedMLP:
    """`NumpyMLP` for larger batches: products go into arrays that stay, of one batch size.

    Several may hold the same parameters and compute side by side. `gradients` `[P]` is where
    `backward` writes, by default the module's own.
    """

    def __init__(
        self,
        layers: list[tuple[nn.Linear, str]],
        flat: FlatParameters,
        gradients: Floats | None = None,
    ) -> None:
        self.weights: list[Floats] = [layer.weight.detach().numpy() for layer, _ in layers]
        self.activations = [activation for _, activation in layers]
        self.weight_gradients = [flat.gradient(layer.weight, gradients) for layer, _ in layers]
        self.bias_gradients = [flat.gradient(layer.bias, gradients) for layer, _ in layers]
        self._layers = [
            (weight.T, layer.bias.detach().numpy(), _LARGE[activation])
            for weight, (layer, activation) in zip(self.weights, layers, strict=True)
        ]
        self._outputs: list[Floats] = []
        self._gradients: list[Floats] = []  # of the inputs of each layer
        self._input: Floats = np.empty((0, 0), np.float32)

    def forward(self, x: Floats) -> Floats:
        """The output `[N, out]` for `x` `[N, in]`, until the next call."""
        if not self._outputs or len(self._outputs[0]) != len(x):
            self._outputs = [np.empty((len(x), len(w)), np.float32) for w in self.weights]
            self._gradients = [np.empty((len(x), w.shape[1]), np.float32) for w in self.weights]
        self._input = x
        for (weight, bias, activate), output in zip(self._layers, self._outputs, strict=True):
            x = np.dot(x, weight, out=output)
            x += bias
            if activate is not None:
                activate(x)
        return x

    def backward(self, gradient: Floats) -> None:
        """Writes the gradients of the parameters, given that of the last output `[N, out]`."""
        for i in range(len(self.weights) - 1, -1, -1):
            gradient = _through(self.activations[i], gradient, self._outputs[i])
            below = self._outputs[i - 1] if i else self._input
            np.dot(gradient.T, below, out=self.weight_gradients[i])
            np.add.reduce(gradient, 0, out=self.bias_gradients[i])
            if i:
                gradient = np.dot(gradient, self.weights[i], out=self._gradients[i])

    def input_gradient(
        self, gradient: Floats, first: int, rows: NDArray[np.intp] | None = None
    ) -> Floats:
        """The gradient `[M, in − first]` of the inputs from column `first` on.

        `gradient` `[M, out]` is that of the outputs of the samples `rows` `[M]`, or of all.
        """
        for i in range(len(self.weights) - 1, -1, -1):
            gradient = _through(self.activations[i], gradient, self._outputs[i], rows)
            if i:
                out = self._gradients[i][: len(gradient)]
                gradient = np.dot(gradient, self.weights[i], out=out)
        by_input: Floats = gradient.dot(self.weights[0][:, first:])
        return by_input


def _through(
    activation: str, gradient: Floats, output: Floats, rows: NDArray[np.intp] | None = None
) -> Floats:
    """The gradient before an activation, in the place of that behind it."""
    if activation == "none":
        return gradient
    if rows is not None:
        output = output[rows]
    if activation == "relu":
        g = torch.from_numpy(gradient)
        torch.ops.aten.threshold_backward.grad_input(g, torch.from_numpy(output), 0, grad_input=g)
    else:
        gradient *= 1 - np.square(output)
    return gradient
