"""From rows of observations to what a network takes.

Legend: N observations, D numbers of each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from gymnasium import Space, spaces
from torch import Tensor

from rltrain.core.layout import Layout, Leaf, layout_of
from rltrain.core.state import Stateful
from rltrain.core.types import Rows
from rltrain.functional.statistics import RunningMoments
from rltrain.networks.recurrent import Sequences


class PartMoments:
    """Running statistics of each part of packed rows that is a vector of floats."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.parts = {
            leaf.name: RunningMoments(leaf.shape) for leaf in layout.leaves if _is_floats(leaf)
        }

    def update(self, rows: Rows) -> None:
        fields = self.layout.view(rows)
        for name, moments in self.parts.items():
            moments.update(fields[name])

    def normalize(self, rows: Rows, clip: float) -> Rows:
        """A copy of the rows with those parts scaled; the rows where there are none."""
        if not self.parts:
            return rows
        rows = rows.copy()
        fields = self.layout.view(rows)
        for name, moments in self.parts.items():
            fields[name] = moments.normalize(fields[name], clip)
        return rows

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
    ±`clip`, wherever they stand. These are part of the policy: saved with it, and moved by
    `observe` alone, so that evaluation leaves them as they are.
    """

    _state = ("moments",)

    def __init__(
        self, space: Space, normalize: bool, device: torch.device, clip: float = 10.0
    ) -> None:
        self.space = space
        self.clip = clip
        self.device = device
        self.layout = layout_of(space)
        self.size = self.layout.size
        leaf = self.layout.leaves[0]
        self._flat, self._choices, self._scale = self.layout.flat, leaf.choices, leaf.scale
        self._first = np.cumsum([0, *leaf.choices[:-1]])  # of each part of a MultiDiscrete
        self._as_it_is = self.layout.packed or leaf.dtype.kind in "bu" or leaf.kind == "text"
        self._bytes = self._flat and space.dtype == np.uint8
        self.moments: RunningMoments | PartMoments | None = None
        if normalize and self.layout.packed:
            self.moments = PartMoments(self.layout)
        elif normalize and _is_floats(leaf):
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


def _is_floats(leaf: Leaf) -> bool:
    """Whether a part is a vector of what is not bytes: floats in memory, or integers."""
    return leaf.kind == "numbers" and isinstance(leaf.space, spaces.Box) and leaf.dtype != np.uint8
