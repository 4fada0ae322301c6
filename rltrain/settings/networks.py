"""Settings of the networks, and their entries in the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from rltrain.settings.registry import Entry, register
from rltrain.settings.schema import key

Activation = Literal["tanh", "relu", "elu", "gelu", "silu", "leaky_relu", "mish"]
Initialization = Literal["orthogonal", "uniform", "xavier", "kaiming"]
CHECKPOINTING = (
    "Compute what is inside a block of impala, simba or transformer again in the backward pass:"
    " less memory, more time."
)


@dataclass(frozen=True)
class EncoderSettings:
    """What every network has in common: how the parts of an observation become numbers.

    Vectors are taken as they are, and of several parts the features are joined.
    """

    shared: bool = key("One body for policy and value, of methods that learn both at once.")
    encoders: dict[str, Any] = key(
        "Encoder of single parts of an observation, by name: encoders.camera=impala."
    )
    pictures: Literal["auto", "nature_cnn", "impala", "small_cnn", "flat"] = key(
        "Encoder of pictures; auto is nature_cnn from 36 pixels a side on, else small_cnn."
    )
    channels: Literal["auto", "first", "last"] = key(
        "Axis of a picture's channels; auto finds it out."
    )
    picture_size: int = key("Features that a picture beside other parts comes to.", min=1)
    cnn_width: int = key("Times as many channels in every convolution.", min=1)
    cnn_depth: int = key("Residual blocks in each of impala's stages.", min=1)
    cnn_activation: Activation = key("After each convolution.")
    cnn_initialization: Initialization = key("First weights of convolutions.")
    cnn_layer_norm: bool = key("Normalise the inputs of each activation of convolutions.")
    text: Literal["characters", "words"] = key("What of a text is embedded.")
    text_size: int = key("Numbers of an embedding; a text comes to twice as many.", min=1)
    word_buckets: int = key("Embeddings that words share, each by its hash.", min=1)
    checkpointing: bool = key(CHECKPOINTING)


@dataclass(frozen=True)
class MLPSettings:
    name: str = key("Registry name.")
    hidden_sizes: tuple[int, ...] = key("Width of each hidden layer.", min=1)
    activation: Activation = key("After each hidden layer.")
    initialization: Initialization = key(
        "First weights: orthogonal with gain √2, torch's uniform, Xavier's or Kaiming's."
    )
    layer_norm: bool = key("Normalise the inputs of each activation (Ba et al. 2016).")


@dataclass(frozen=True)
class RecurrentSettings:
    """What networks with memory have in common."""

    name: str = key("Registry name.")
    sequence_length: int = key("Most steps that a gradient goes back through time.", min=1)
    burn_in: int = key(
        "With replay: steps before a sequence, as many as there are, that only bring its state"
        " up to date.",
        min=0,
    )


@dataclass(frozen=True)
class CellsSettings(MLPSettings, RecurrentSettings):
    state_size: int = key("Width of the recurrent layer, which follows the hidden ones.", min=1)


@dataclass(frozen=True)
class TransformerSettings(RecurrentSettings):
    width: int = key("Numbers of a step in every layer; a multiple of num_heads.", min=1)
    num_layers: int = key("Blocks of attention and a feed-forward layer.", min=1)
    num_heads: int = key("Heads of attention in a block.", min=1)
    window: int = key("Steps that attention sees, the present one among them.", min=1)
    checkpointing: bool = key(CHECKPOINTING)


@dataclass(frozen=True)
class MLPNetworkSettings(EncoderSettings, MLPSettings):
    """Fully connected layers behind encoders."""


@dataclass(frozen=True)
class SimBaSettings:
    name: str = key("Registry name.")
    width: int = key("Features of each residual block.", min=1)
    blocks: int = key("Residual blocks.", min=1)
    expansion: int = key("Width of a block's hidden layer, in that of its features.", min=1)
    checkpointing: bool = key(CHECKPOINTING)


@dataclass(frozen=True)
class SimBaNetworkSettings(EncoderSettings, SimBaSettings):
    """Residual blocks behind encoders."""


@dataclass(frozen=True)
class CellsNetworkSettings(EncoderSettings, CellsSettings):
    """Recurrent layers behind encoders."""


@dataclass(frozen=True)
class TransformerNetworkSettings(EncoderSettings, TransformerSettings):
    """Blocks of attention behind encoders."""


@dataclass(frozen=True)
class NoNetworkSettings:
    name: str = key("Registry name.")


register(
    Entry(
        "network", "mlp", MLPNetworkSettings, "rltrain.networks.mlp:MLP", "Fully connected layers"
    )
)
register(
    Entry(
        "network",
        "simba",
        SimBaNetworkSettings,
        "rltrain.networks.simba:SimBa",
        "Residual blocks with layer normalisation, which scale (Lee et al. 2025)",
    )
)
for _name, _class, _doc in (
    ("lstm", "LSTM", "Hidden layers, then long short-term memory"),
    ("gru", "GRU", "Hidden layers, then gated recurrent units"),
):
    _target = f"rltrain.networks.recurrent:{_class}"
    register(Entry("network", _name, CellsNetworkSettings, _target, _doc, recurrent=True))
register(
    Entry(
        "network",
        "transformer",
        TransformerNetworkSettings,
        "rltrain.networks.transformer:Transformer",
        "Causal attention over a window of steps",
        recurrent=True,
    )
)
register(Entry("network", "none", NoNetworkSettings, "", "No network: tabular algorithms"))
