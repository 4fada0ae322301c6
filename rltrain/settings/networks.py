"""Settings of the networks, and their entries in the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rltrain.settings.registry import Entry, register
from rltrain.settings.schema import key


@dataclass(frozen=True)
class MLPSettings:
    name: str = key("Registry name.")
    hidden_sizes: tuple[int, ...] = key("Width of each hidden layer.", min=1)
    activation: Literal["tanh", "relu", "elu", "gelu", "silu"] = key("After each hidden layer.")
    initialization: Literal["orthogonal", "uniform"] = key(
        "First weights: orthogonal with gain √2 and no bias, or torch's own uniform ones."
    )
    layer_norm: bool = key("Normalise the inputs of each activation (Ba et al. 2016).")


@dataclass(frozen=True)
class NoNetworkSettings:
    name: str = key("Registry name.")


register(Entry("network", "mlp", MLPSettings, "rltrain.networks.mlp:MLP", "Fully connected layers"))
register(Entry("network", "none", NoNetworkSettings, "", "No network: tabular algorithms"))
