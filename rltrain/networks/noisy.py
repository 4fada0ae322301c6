"""Layers whose weights are noisy (Fortunato et al. 2018, arXiv 1706.10295)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rltrain.core.types import Rows


class NoisyLinear(nn.Module):
    """y = (μ_w + σ_w ∘ ε_w) x + μ_b + σ_b ∘ ε_b, with factorised Gaussian noise (eqs. 9 to 11).

    ε_w = f(ε_out) f(ε_in)ᵀ and ε_b = f(ε_out), with f(x) = sgn(x) √|x|. μ is where the layer
    that it is made of begins (torch's own beginning is the paper's), σ at `sigma` / √in.
    Every pass draws noise of its own from `source`, one for all rows; without one the
    layer computes with the means.
    """

    def __init__(self, layer: nn.Linear, sigma: float) -> None:
        super().__init__()
        first = sigma / math.sqrt(layer.in_features)
        self.weight, self.bias = layer.weight, layer.bias
        self.weight_sigma = nn.Parameter(torch.full_like(layer.weight, first))
        self.bias_sigma = nn.Parameter(torch.full_like(layer.bias, first))
        self.source: np.random.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        mean = linear(x, self.weight, self.bias)
        if self.source is None:
            return mean
        outputs, inputs = self.weight.shape
        drawn = torch.from_numpy(_noise(self.source, inputs + outputs)).to(x.device)
        # (σ_w ∘ f_out f_inᵀ) x = f_out ∘ (σ_w (f_in ∘ x))
        return mean + drawn[inputs:] * linear(
            x * drawn[:inputs], self.weight_sigma, self.bias_sigma
        )


def _noise(rng: np.random.Generator, count: int) -> Rows:
    drawn = rng.standard_normal(count, np.float32)
    return np.sign(drawn) * np.sqrt(np.abs(drawn))


def make_noisy(module: nn.Module, sigma: float) -> None:
    """Puts a `NoisyLinear` in the place of every linear layer inside `module`."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, NoisyLinear(child, sigma))
        else:
            make_noisy(child, sigma)


def noisy_layers(*modules: nn.Module) -> list[NoisyLinear]:
    """The noisy layers of networks; none in those of other kinds."""
    return [m for module in modules for m in module.modules() if isinstance(m, NoisyLinear)]


def draw_from(layers: Iterable[NoisyLinear], source: np.random.Generator | None) -> None:
    """Where the noise of `layers` comes from; None turns it off."""
    for layer in layers:
        layer.source = source
