"""From rows of observations to what a network takes.

Legend: N observations, D numbers of each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from gymnasium import Space
from torch import Tensor

from rltrain.core.layout import Layout, Leaf, is_box, layout_of, normalized_layout
from rltrain.core.state import Stateful
from rltrain.core.types import Rows
from rltrain.functional.statistics import RunningMoments
from rltrain.networks.recurrent import Sequences


class PartMoments:
    """Running statistics of the parts of packed rows that are normalised."""

    def __init__(self, stored: Layout, seen: Layout, every_box: bool) -> None:
        self.stored, self.seen = stored, seen  # rows of memory, and rows that networks see
        self.parts = {
            leaf.name: RunningMoments(leaf.shape)
            for leaf in seen.leaves
            if _is_normalized(leaf, every_box)
        }

    def update(self, rows: Rows) -> None:
        fields = self.stored.view(rows)
        for name, moments in self.parts.items():
            moments.update(fields[name])

    def normalize(self, rows: Rows, clip: float) -> Rows:
        """Return new rows with those parts scaled, or the rows where there are none."""
        if not self.parts:
            return rows
        before = self.stored.view(rows)
        if self.seen is self.stored:
            made, others = rows.copy(), []
        else:
            made = np.zeros((len(rows), *self.seen.row[0]), np.uint8)
            others = [leaf.name for leaf in self.seen.leaves if leaf.name not in self.parts]
        fields = self.seen.view(made)
        for name in others:
            fields[name] = before[name]
        for name, moments in self.parts.items():
            fields[name] = moments.normalize(before[name], clip)
        return made

    def state_dict(self) -> dict[str, Any]:
        return {name: moments.state_dict() for name, moments in self.parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, moments in self.parts.items():
            moments.load_state_dict(state[name])


class Inputs(Stateful):
    """Turns observations `[N, ...]` into what a network of their `layout` takes.

    Vectors are float32 `[N, D]`: a Box flattened, bytes scaled to [0, 1], Discrete and
    MultiDiscrete one-hot. Pictures, texts and packed rows stay as they are, bytes in
    particular: `rltrain.networks.encoders` goes on from there, on the device.

    With `normalize` vectors of floats are scaled by running statistics and clipped to
    ±`clip`, wherever they stand; with `every_box` so are pictures and bytes, and networks see
    floats. Statistics are part of the policy: saved with it, and moved by `observe` alone, so
    that evaluation leaves them as they are.
    """

    _state = ("moments",)

    def __init__(
        self,
        space: Space,
        normalize: bool,
        device: torch.device,
        clip: float = 10.0,
        every_box: bool = False,
    ) -> None:
        self.space = space
        self.clip = clip
        self.device = device
        stored = layout_of(space)
        self.layout = normalized_layout(stored) if every_box else stored
        self.size = self.layout.size
        leaf = self.layout.leaves[0]
        self._flat, self._choices, self._scale = self.layout.flat, leaf.choices, leaf.scale
        self._first = np.cumsum([0, *leaf.choices[:-1]])  # of each part of a MultiDiscrete
        small = leaf.dtype in (np.uint8, np.bool_)  # on its way to the device
        self._as_it_is = self.layout.packed or small or leaf.kind == "text"
        self._bytes = self._flat and is_box(leaf) and leaf.dtype == np.uint8
        self.moments: RunningMoments | PartMoments | None = None
        if normalize and self.layout.packed:
            self.moments = PartMoments(stored, self.layout, every_box)
        elif normalize and _is_normalized(leaf, every_box):
            self.moments = RunningMoments(leaf.shape)

    def __call__(self, obs: Rows) -> Tensor:
        if self._bytes:  # a quarter of the size on its way to the device
            x = torch.from_numpy(obs).to(self.device).reshape(len(obs), self.size)
            return x.float() / self._scale
        return torch.from_numpy(self.array(obs)).to(self.device)

    def array(self, obs: Any) -> Any:
        """The same as an array, for networks in NumPy; of `Sequences`, their `x`."""
        if isinstance(obs, Sequences):
            return replace(obs, x=self.array(obs.x))
        if self._choices and self._flat:
            rows = np.zeros((len(obs), self.size), np.float32)
            if obs.ndim == 1:
                rows[np.arange(len(obs)), obs] = 1
            else:
                rows[np.arange(len(obs))[:, None], obs.reshape(len(obs), -1) + self._first] = 1
            return rows
        if self.moments is not None:
            obs = self.moments.normalize(obs, self.clip)
        if not self._flat:
            return obs if self._as_it_is else obs.astype(np.float32, copy=False)
        x = obs.reshape(len(obs), self.size).astype(np.float32, copy=False)
        return x / np.float32(self._scale) if self._bytes else x

    def observe(self, obs: Rows) -> None:
        """Lets the statistics see observations `[N, ...]`."""
        if self.moments is not None:
            self.moments.update(obs)


def _is_normalized(leaf: Leaf, every_box: bool) -> bool:
    """Whether a part has statistics: a vector of numbers, or with `every_box` any Box."""
    return is_box(leaf) and (every_box or (leaf.kind == "numbers" and leaf.dtype != np.uint8))
