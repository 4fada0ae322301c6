"""Bodies of networks as the settings say, and how large they are."""

from __future__ import annotations

import functools
from collections.abc import Callable

from gymnasium import Space
from torch import Tensor, nn

from rltrain import fast
from rltrain.augment.base import Augmentation
from rltrain.core.layout import Layout, layout_of
from rltrain.networks.encoders import with_encoder
from rltrain.networks.mlp import with_head
from rltrain.networks.precision import in_bfloat16
from rltrain.settings import registry
from rltrain.settings.run import RunSettings


def build_body(
    run: RunSettings,
    hidden: set[Tensor],
    layout: Layout,
    beside: int = 0,
    body: Callable[[int], nn.Module] | None = None,
    augmentation: Augmentation | None = None,
) -> nn.Module:
    """A body; the matrices of its linear layers are added to those that are `hidden`."""
    if body is None:
        cls = registry.entry("network", run.network.name).load()
        body = functools.partial(cls, run.network)
    made = with_encoder(run.network, layout, body, beside)
    hidden.update(m.weight for m in made.modules() if isinstance(m, nn.Linear))
    if augmentation is not None:
        augmentation.attach(made, layout)
    return in_bfloat16(made) if run.precision == "bf16" else made


def network_size(run: RunSettings, observation_space: Space) -> int:
    """Parameters of the network's body; 0 for a table."""
    return look_at(run, observation_space)[0]


def look_at(run: RunSettings, observation_space: Space) -> tuple[int, bool]:
    """Parameters of the network's body, 0 for a table; and whether NumPy's kernels know it."""
    if not registry.entry("algo", run.algo.name).networks:
        return 0, False
    made = build_body(run, set(), layout_of(observation_space))
    shared = getattr(run.network, "shared", False)
    known = not shared and fast.knows(with_head(made, 1, gain=None))
    return sum(p.numel() for p in made.parameters()), known
