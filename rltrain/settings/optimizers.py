"""Settings of the optimisers, and their entries in the registry.

The keys are the arguments of torch's classes, but for those of `OptimizerSettings`; the
learning rate is the algorithm's.
"""

from __future__ import annotations

from dataclasses import dataclass

from rltrain.settings.registry import Entry, register
from rltrain.settings.schema import key


@dataclass(frozen=True)
class OptimizerSettings:
    """What every optimiser has in common, beside the arguments of its class."""

    name: str = key("Registry name.")
    warmup: float = key(
        "Share of training over which the learning rate rises to its schedule.", min=0, max=1
    )
    accumulation: int = key(
        "Parts of a minibatch whose gradients add up to one step: less memory, more time.", min=1
    )


@dataclass(frozen=True)
class AdamSettings(OptimizerSettings):
    betas: tuple[float, float] = key("Decay of the two moments.", min=0, below=1)
    eps: float = key("Added to the denominator.", above=0)
    weight_decay: float = key("L2 penalty (adam) or decoupled decay (adamw).", min=0)


@dataclass(frozen=True)
class MuonSettings(OptimizerSettings):
    momentum: float = key("Decay of the mean gradient of hidden layers' matrices.", min=0, below=1)
    betas: tuple[float, float] = key("AdamW's, of the other parameters.", min=0, below=1)
    eps: float = key("AdamW's.", above=0)
    weight_decay: float = key("Decoupled decay of both.", min=0)


@dataclass(frozen=True)
class RMSpropSettings(OptimizerSettings):
    alpha: float = key("Decay of the second moment.", min=0, below=1)
    eps: float = key("Added to the denominator.", above=0)
    momentum: float = key("Momentum factor.", min=0)
    weight_decay: float = key("L2 penalty.", min=0)


@dataclass(frozen=True)
class SGDSettings(OptimizerSettings):
    momentum: float = key("Momentum factor.", min=0)
    weight_decay: float = key("L2 penalty.", min=0)


@dataclass(frozen=True)
class NoOptimizerSettings:
    name: str = key("Registry name.")


register(Entry("optimizer", "adam", AdamSettings, "torch.optim:Adam", "Kingma & Ba 2015"))
register(Entry("optimizer", "adamw", AdamSettings, "torch.optim:AdamW", "Loshchilov & Hutter 2019"))
register(Entry("optimizer", "radam", AdamSettings, "torch.optim:RAdam", "Liu et al. 2020"))
register(Entry("optimizer", "rmsprop", RMSpropSettings, "torch.optim:RMSprop", "Hinton 2012"))
register(Entry("optimizer", "sgd", SGDSettings, "torch.optim:SGD", "Gradient descent"))
register(
    Entry(
        "optimizer",
        "muon",
        MuonSettings,
        "rltrain.optimizers.muon:Muon",
        "Orthogonal steps for hidden layers, AdamW for the rest (Jordan et al. 2024)",
    )
)
register(Entry("optimizer", "none", NoOptimizerSettings, "", "No optimiser: tabular algorithms"))
