"""Action values, of one network or of several that learn apart.

Legend: K networks, N samples, A actions or action dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rltrain.networks.encoders import Encoded
from rltrain.networks.mlp import with_head


class Critics(nn.Module):
    """K networks of the same layers, each with a first draw of its own.

    Q(s, a) of a state joined to an action has one output, Q(s, ·) of a state A. They are
    computed one after the other: with ten, two layers of 256 and N = 256 one core took 1.2 to
    1.8 times as long for batched products.
    """

    def __init__(
        self,
        network: Callable[..., nn.Module],
        layout: Any,
        outputs: int,
        count: int,
        beside: int = 0,
    ) -> None:
        super().__init__()
        with_actions = {"beside": beside} if beside else {}
        self.members = nn.ModuleList(
            with_head(network(layout, **with_actions), outputs, gain=None) for _ in range(count)
        )
        # Only a state that is no vector has to be encoded before an action can join it.
        self.encoded = isinstance(self.members[0][0], Encoded)  # type: ignore[index] # a Sequential

    def forward(self, *inputs: Tensor, among: Sequence[int] | None = None) -> Tensor:
        """Values `[K, N]` of states `[N, ...]` and actions `[N, A]`, or `[K, N, A]` of states.

        K are all, or those of the given indices, which alone are computed.
        """
        joined = self._joined(inputs)
        chosen = self.members if among is None else [self.members[k] for k in among]
        values = torch.stack([_value(member, joined) for member in chosen])
        return values.squeeze(-1) if len(inputs) > 1 else values

    def first(self, *inputs: Tensor) -> Tensor:
        """Those of the first network alone: `[N]`, or `[N, A]`."""
        values = _value(self.members[0], self._joined(inputs))
        return values.squeeze(-1) if len(inputs) > 1 else values

    def _joined(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return inputs if self.encoded or len(inputs) == 1 else (torch.cat(inputs, -1),)


def _value(member: Any, inputs: tuple[Tensor, ...]) -> Tensor:
    body, head = member
    values: Tensor = head(body(*inputs))
    return values
