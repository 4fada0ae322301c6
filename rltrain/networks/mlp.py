"""Fully connected networks."""

from __future__ import annotations

from torch import Tensor, nn

from rltrain.networks.layers import ACTIVATIONS, initialized
from rltrain.settings.networks import MLPSettings


def linear(in_features: int, out_features: int, gain: float | None) -> nn.Linear:
    """A layer with orthogonal weights of this gain and no bias at the start (Saxe et al. 2014).

    Without a gain it begins as torch has it: uniform in ±1/√in_features, bias too.
    """
    layer = nn.Linear(in_features, out_features)
    if gain is not None:
        nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)
    return layer


class MLP(nn.Module):
    """Hidden layers of the given sizes: `[..., in_features]` to `[..., out_features]`."""

    def __init__(self, settings: MLPSettings, in_features: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for size in settings.hidden_sizes:
            layers.append(initialized(nn.Linear(in_features, size), settings.initialization))
            if settings.layer_norm:
                layers.append(nn.LayerNorm(size))
            layers.append(ACTIVATIONS[settings.activation]())
            in_features = size
        self.layers = nn.Sequential(*layers)
        self.out_features = in_features

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x)
        return features


def with_head(body: nn.Module, out_features: int, gain: float | None) -> nn.Sequential:
    """`body` followed by a linear layer with this gain: small for a policy, 1 for a value.

    Without one it begins as torch has it, which DQN needs: of orthogonal networks on
    CartPole fewer had learned at the end.
    """
    return nn.Sequential(body, linear(int(body.out_features), out_features, gain))  # type: ignore[arg-type] # bodies have it
