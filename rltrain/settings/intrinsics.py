"""Settings of intrinsic rewards, and their entries in the registry."""

from __future__ import annotations

from dataclasses import dataclass

from rltrain.settings.registry import Entry, register
from rltrain.settings.schema import key


@dataclass(frozen=True)
class RNDSettings:
    name: str = key("Registry name.")
    coef: float = key("Weight of the intrinsic reward beside the environment's.", min=0)
    learning_rate: float = key("Step size of the predictor's Adam.", above=0)
    hidden_sizes: tuple[int, ...] = key("Hidden layers of target and predictor.", min=1)
    num_features: int = key("Random features that are predicted.", min=1)
    gamma: float = key("Discount of the intrinsic return, whose deviation scales it.", min=0, max=1)
    batch_size: int = key("Observations in a minibatch of the predictor.", min=1)
    warmup: int = key("Observations that begin the statistics, before any is rewarded.", min=2)


@dataclass(frozen=True)
class NoIntrinsicSettings:
    name: str = key("Registry name.")


register(
    Entry(
        "intrinsic",
        "rnd",
        RNDSettings,
        "rltrain.intrinsic.rnd:RandomNetworkDistillation",
        "Random network distillation: what is seldom seen is rewarded (Burda et al. 2019)",
    )
)
register(Entry("intrinsic", "none", NoIntrinsicSettings, "", "The environment's reward alone"))
