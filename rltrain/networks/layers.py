"""What networks are made of: activations, and layers whose first weights are chosen."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "leaky_relu": nn.LeakyReLU,
    "mish": nn.Mish,
}
Layer = TypeVar("Layer", nn.Linear, nn.Conv1d, nn.Conv2d)


def initialized(layer: Layer, how: str) -> Layer:
    """The layer with first weights of a hidden one, and no bias.

    `orthogonal` has gain √2 (Saxe et al. 2014), `xavier` variance 2 / (in + out) (Glorot &
    Bengio 2010), `kaiming` 2 / in (He et al. 2015). `uniform` is as torch has it: within
    ±1/√in, bias too.
    """
    if how == "uniform":
        return layer
    if how == "orthogonal":
        nn.init.orthogonal_(layer.weight, math.sqrt(2))
    elif how == "xavier":
        nn.init.xavier_uniform_(layer.weight)
    else:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def passed(block: nn.Module, checkpointing: bool, *inputs: Any) -> Any:
    """What `block` makes of its inputs.

    With `checkpointing` what is inside it is not kept for the gradient, but computed again
    (Chen et al. 2016, arXiv 1604.06174).
    """
    if checkpointing and torch.is_grad_enabled():
        return checkpoint(block, *inputs, use_reentrant=False)
    return block(*inputs)
