"""From rows of observations to features: an encoder for each part, joined.

Legend: N observations, F features of all parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rltrain.core.layout import Layout, Leaf
from rltrain.networks import pictures
from rltrain.networks.recurrent import Moment, Sequences
from rltrain.networks.texts import Text
from rltrain.settings.encoders import choose_encoders
from rltrain.settings.networks import EncoderSettings

_DTYPES = {
    np.dtype(np.uint8): torch.uint8,
    np.dtype(np.int32): torch.int32,
    np.dtype(np.int64): torch.int64,
    np.dtype(np.float32): torch.float32,
    np.dtype(np.float64): torch.float64,
}


class Flat(nn.Module):
    """Numbers `[N, *shape]` as one vector each, bytes scaled to [0, 1]."""

    def __init__(self, leaf: Leaf) -> None:
        super().__init__()
        self.scale, self.out_features = leaf.scale, leaf.size

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(len(x), self.out_features).float()
        return x / self.scale if self.scale != 1 else x


class OneHot(nn.Module):
    """Indices `[N, *shape]` as ones among zeros, each index in a section of its own."""

    first: Tensor  # of each section

    def __init__(self, leaf: Leaf) -> None:
        super().__init__()
        self.out_features = leaf.size
        first = np.cumsum([0, *leaf.choices[:-1]])
        self.register_buffer("first", torch.from_numpy(first), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        at = x.reshape(len(x), len(self.first)).long() + self.first
        zeros = torch.zeros(len(x), self.out_features, device=x.device)
        return zeros.scatter_(1, at, 1.0)


def encoder_of(settings: EncoderSettings, leaf: Leaf, name: str) -> nn.Module:
    """The encoder of that name for a part of an observation."""
    convolutions: dict[str, Callable[..., list[nn.Module]]] = {
        "nature_cnn": pictures.nature_cnn,
        "small_cnn": pictures.small_cnn,
        "impala": pictures.impala,
    }
    if name in convolutions:
        size = settings.picture_size if leaf.path else None
        return pictures.Picture(settings, leaf, convolutions[name], size)
    if name in ("characters", "words"):
        return Text(settings, leaf, words=name == "words")
    return OneHot(leaf) if name == "one_hot" else Flat(leaf)


class Encoder(nn.Module):
    """Observations as `rltrain.networks.inputs.Inputs` gives them to features `[..., F]`.

    Of packed rows each part is looked at in its place, without a copy.

    Raises:
        UserError: an encoder that was asked for does not fit.
    """

    def __init__(self, settings: EncoderSettings, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.row = layout.row[0]
        chosen = choose_encoders(settings, layout)
        parts: list[Any] = [encoder_of(settings, leaf, chosen[leaf.name]) for leaf in layout.leaves]
        self.parts = nn.ModuleList(parts)
        self.out_features = sum(part.out_features for part in parts)

    def forward(self, x: Tensor) -> Tensor:
        leading = x.shape[: x.dim() - len(self.row)]
        rows = x.reshape(-1, *self.row)
        leaves = zip(self.parts, self.layout.leaves, strict=True)
        features = [part(self._part(rows, leaf)) for part, leaf in leaves]
        return torch.cat(features, -1).reshape(*leading, self.out_features)

    def _part(self, rows: Tensor, leaf: Leaf) -> Tensor:
        if not self.layout.packed:
            return rows
        part = rows[:, leaf.offset : leaf.offset + leaf.nbytes].view(_DTYPES[leaf.dtype])
        return part.reshape(len(rows), *leaf.shape)


class Encoded(nn.Module):
    """A body on the features of an encoder, and on what stands beside the observation.

    Of `Sequences` and a `Moment` each step is encoded by itself.
    """

    def __init__(self, encoder: Encoder, body: nn.Module) -> None:
        super().__init__()
        self.encoder, self.body = encoder, body
        self.out_features = int(body.out_features)  # type: ignore[arg-type] # bodies have it

    def forward(self, x: Any, *beside: Tensor) -> Tensor:
        if isinstance(x, Sequences | Moment):
            remembered: Tensor = self.body(replace(x, x=self.encoder(x.x)))
            return remembered
        features = self.encoder(x)
        joined = torch.cat([features, *beside], -1) if beside else features
        output: Tensor = self.body(joined)
        return output


def with_encoder(
    settings: Any, layout: Layout, body: Callable[[int], nn.Module], beside: int = 0
) -> nn.Module:
    """The body for observations of a layout, behind an encoder where they are no vector.

    `body(in_features)` makes it; `beside` numbers stand beside the observation.
    """
    if layout.flat:
        return body(layout.size + beside)
    encoder = Encoder(settings, layout)
    return Encoded(encoder, body(encoder.out_features + beside))
