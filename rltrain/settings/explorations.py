"""Settings of exploration, and their entries in the registry.

Values that fall follow absolute progress, so that a resumed run continues them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rltrain.settings.registry import Entry, register
from rltrain.settings.schema import key

Fall = Literal["linear", "exponential", "constant"]


@dataclass(frozen=True)
class EpsilonGreedySettings:
    name: str = key("Registry name.")
    initial_eps: float = key("ε at the start.", min=0, max=1)
    final_eps: float = key("ε at the end of the decay.", min=0, max=1)
    fraction: float = key("Share of training over which ε decays.", above=0, max=1)
    schedule: Fall = key("How it decays; constant keeps the initial one.")


@dataclass(frozen=True)
class BoltzmannSettings:
    name: str = key("Registry name.")
    initial_temperature: float = key("Temperature at the start.", above=0)
    final_temperature: float = key("Temperature at the end of the decay.", above=0)
    fraction: float = key("Share of training over which it decays.", above=0, max=1)
    schedule: Fall = key("How it decays; constant keeps the initial one.")


@dataclass(frozen=True)
class GaussianSettings:
    name: str = key("Registry name.")
    std: float = key("Deviation at the start, of actions within ±1.", min=0)
    final_std: float = key("Deviation at the end of the decay.", min=0)
    fraction: float = key("Share of training over which it decays.", above=0, max=1)
    schedule: Fall = key("How it decays; constant keeps the initial one.")


@dataclass(frozen=True)
class OrnsteinUhlenbeckSettings:
    name: str = key("Registry name.")
    std: float = key("σ of the process, of actions within ±1.", min=0)
    theta: float = key("θ: how fast it returns to zero.", min=0)
    dt: float = key("Time between steps.", above=0)


@dataclass(frozen=True)
class NoisySettings:
    name: str = key("Registry name.")
    sigma: float = key("σ of the weights at the start, times √ of the layer's inputs.", above=0)


@dataclass(frozen=True)
class EntropySettings:
    name: str = key("Registry name.")
    ent_coef: float = key("Weight of the bonus in the loss at the start.", min=0)
    final_ent_coef: float = key("Weight at the end of the decay.", min=0)
    fraction: float = key("Share of training over which it decays.", above=0, max=1)
    schedule: Fall = key("How it decays; constant keeps the initial one.")


@dataclass(frozen=True)
class NoExplorationSettings:
    name: str = key("Registry name.")


register(
    Entry(
        "exploration",
        "epsilon_greedy",
        EpsilonGreedySettings,
        "rltrain.exploration.discrete:EpsilonGreedy",
        "Any action with probability ε, else the best (Watkins 1989)",
    )
)
register(
    Entry(
        "exploration",
        "boltzmann",
        BoltzmannSettings,
        "rltrain.exploration.discrete:Boltzmann",
        "Actions with probability ∝ exp(Q / temperature) (Sutton 1990)",
    )
)
register(
    Entry(
        "exploration",
        "gaussian",
        GaussianSettings,
        "rltrain.exploration.continuous:Gaussian",
        "Independent noise on the action (Fujimoto et al. 2018)",
    )
)
register(
    Entry(
        "exploration",
        "ornstein_uhlenbeck",
        OrnsteinUhlenbeckSettings,
        "rltrain.exploration.continuous:OrnsteinUhlenbeck",
        "Noise that persists from step to step (Lillicrap et al. 2016)",
    )
)
register(
    Entry(
        "exploration",
        "none",
        NoExplorationSettings,
        "rltrain.exploration.base:Exploration",
        "Nothing beside the chance of the policy itself",
    )
)
register(
    Entry(
        "exploration",
        "noisy",
        NoisySettings,
        "rltrain.exploration.discrete:Noisy",
        "The best action of a network with noisy weights (Fortunato et al. 2018)",
    )
)
register(
    Entry(
        "exploration",
        "entropy",
        EntropySettings,
        "rltrain.exploration.bonus:Entropy",
        "A bonus for the entropy of a stochastic policy (Williams & Peng 1991)",
    )
)
