"""Action values, of one network or of several that learn apart.

Legend: K networks, N samples, A actions.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rltrain.networks.mlp import with_head


class Critics(nn.Module):
    """K networks of the same layers, each with a first draw of its own.

    Q(s, a) of a state joined to an action has one output, Q(s, ·) of a state A.
    """

    def __init__(
        self, network: Callable[[int], nn.Module], in_features: int, outputs: int, count: int
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            with_head(network(in_features), outputs, gain=None) for _ in range(count)
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        """Values `[K, N]` of states `[N, D]` and actions `[N, A]`, or `[K, N, A]` of states."""
        x = torch.cat(inputs, -1) if len(inputs) > 1 else inputs[0]
        values = torch.stack([member(x) for member in self.members])
        return values.squeeze(-1) if len(inputs) > 1 else values

    def first(self, *inputs: Tensor) -> Tensor:
        """Those of the first network alone: `[N]`, or `[N, A]`."""
        values: Tensor = self.members[0](torch.cat(inputs, -1) if len(inputs) > 1 else inputs[0])
        return values.squeeze(-1) if len(inputs) > 1 else values
