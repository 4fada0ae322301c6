"""SimBa (Lee et al. 2025, "SimBa: Simplicity Bias for Scaling Up Parameters in Deep
Reinforcement Learning", arXiv 2410.09754).

Its normalisation of observations by running statistics is algo.normalize_obs=true.

Legend: N samples, D numbers of each, W features.
"""

from __future__ import annotations

from torch import Tensor, nn

from rltrain.networks.layers import initialized, passed
from rltrain.networks.mlp import linear
from rltrain.settings.networks import SimBaSettings


class Block(nn.Module):
    """x + W₂ ReLU(W₁ norm(x)): `[..., W]` to the same (section 4.1)."""

    def __init__(self, width: int, hidden: int, checkpointing: bool) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        self.layers = nn.Sequential(
            nn.LayerNorm(width),
            initialized(nn.Linear(width, hidden), "kaiming"),
            nn.ReLU(),
            initialized(nn.Linear(hidden, width), "kaiming"),
        )

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + passed(self.layers, self.checkpointing, x)
        return added


class SimBa(nn.Module):
    """A linear layer, residual blocks, a norm: `[..., D]` to `[..., W]`."""

    def __init__(self, settings: SimBaSettings, in_features: int) -> None:
        super().__init__()
        width, hidden = settings.width, settings.expansion * settings.width
        self.layers = nn.Sequential(
            linear(in_features, width, 1.0),
            *(Block(width, hidden, settings.checkpointing) for _ in range(settings.blocks)),
            nn.LayerNorm(width),
        )
        self.out_features = width

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x)
        return features
