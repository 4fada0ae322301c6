"""Networks of action values, and of their distributions.

Legend: N samples, A actions, Z atoms or quantiles of each.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rltrain.functional.distributional import quantile_midpoints
from rltrain.networks.mlp import linear, with_head
from rltrain.settings.off_policy import DQNSettings


class Dueling(nn.Module):
    """Q(s, a) = V(s) + A(s, a) − mean_a' A(s, a') (Wang et al. 2016, eq. 9): `[N, A · Z]`.

    Each stream has a hidden layer of its own, as wide as the body's features. With Z > 1 the
    same holds of every atom (Hessel et al. 2018).
    """

    def __init__(self, features: int, num_actions: int, outputs: int) -> None:
        super().__init__()
        self.num_actions = num_actions
        self.value = _stream(features, outputs)
        self.advantage = _stream(features, num_actions * outputs)

    def forward(self, x: Tensor) -> Tensor:
        value = self.value(x).unsqueeze(-2)  # [N, 1, Z]
        advantage = _split(self.advantage(x), self.num_actions)  # [N, A, Z]
        centred = advantage - advantage.mean(-2, keepdim=True)
        q_values: Tensor = (value + centred).flatten(-2)
        return q_values


def _split(x: Tensor, actions: int, outputs: int = -1) -> Tensor:
    """`[N, A · Z]` as `[N, A, Z]`."""
    return x.reshape(*x.shape[:-1], actions, outputs)


def _stream(features: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        linear(features, features, None), nn.ReLU(), linear(features, outputs, None)
    )


class CategoricalQ(nn.Module):
    """Returns as probabilities of fixed atoms (Bellemare et al. 2017); its output is Q `[N, A]`."""

    atoms: Tensor  # [Z]

    def __init__(self, network: nn.Module, n_atoms: int, v_min: float, v_max: float) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("atoms", torch.linspace(v_min, v_max, n_atoms), persistent=False)

    def log_probs(self, x: Tensor) -> Tensor:
        """log p_z(s, a) `[N, A, Z]`."""
        return _split(self.network(x), -1, len(self.atoms)).log_softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        return self.log_probs(x).exp() @ self.atoms


class QuantileQ(nn.Module):
    """Returns as quantiles at fixed τ̂ (Dabney et al. 2018); its output is their mean `[N, A]`."""

    midpoints: Tensor  # τ̂ [Z]

    def __init__(self, network: nn.Module, n_quantiles: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("midpoints", quantile_midpoints(n_quantiles), persistent=False)

    def quantiles(self, x: Tensor) -> Tensor:
        """θ_i(s, a) `[N, A, Z]`."""
        return _split(self.network(x), -1, len(self.midpoints))

    def forward(self, x: Tensor) -> Tensor:
        return self.quantiles(x).mean(-1)


def q_network(body: nn.Module, num_actions: int, settings: DQNSettings) -> nn.Module:
    """The network that the settings ask for; its output is Q(s, ·) `[N, A]`."""
    s = settings
    outputs = {"none": 1, "c51": s.n_atoms, "qr": s.n_quantiles}[s.distribution]
    if s.dueling:
        features = int(body.out_features)  # type: ignore[arg-type] # bodies have it
        network = nn.Sequential(body, Dueling(features, num_actions, outputs))
    else:
        network = with_head(body, num_actions * outputs, gain=None)
    if s.distribution == "c51":
        return CategoricalQ(network, s.n_atoms, s.v_min, s.v_max)
    return QuantileQ(network, s.n_quantiles) if s.distribution == "qr" else network
