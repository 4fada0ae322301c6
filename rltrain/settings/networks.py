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
class RecurrentSettings(MLPSettings):
    state_size: int = key("Width of the recurrent layer, which follows the hidden ones.", min=1)
    sequence_length: int = key("Most steps that a gradient goes back through time.", min=1)
    burn_in: int = key(
        "With replay: steps before a sequence, as many as there are, that only bring its state"
        " up to date.",
        min=0,
    )


@dataclass(frozen=True)
class NoNetworkSettings:
    name: str = key("Registry name.")


register(Entry("network", "mlp", MLPSettings, "rltrain.networks.mlp:MLP", "Fully connected layers"))
for _name, _class, _doc in (
    ("lstm", "LSTM", "Hidden layers, then long short-term memory"),
    ("gru", "GRU", "Hidden layers, then gated recurrent units"),
):
    _target = f"rltrain.networks.recurrent:{_class}"
    register(Entry("network", _name, RecurrentSettings, _target, _doc, recurrent=True))
register(Entry("network", "none", NoNetworkSettings, "", "No network: tabular algorithms"))
