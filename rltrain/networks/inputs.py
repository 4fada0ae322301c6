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

from rltrain.core.spaces import size_of
from rltrain.core.state import Stateful
from rltrain.core.types import Rows
from rltrain.functional.statistics import RunningMoments
from rltrain.networks.recurrent import Sequences


class Inputs(Stateful):
    """Turns observations `[N, ...]` into float32 `[N, D]` on the device.

    Discrete becomes one-hot, uint8 in [0, 255] is scaled to [0, 1], a Box is flattened
    and, with `normalize`, scaled by running statistics and clipped to ±`clip`. These are
    part of the policy: saved with it, and moved by `observe` alone, so that evaluation
    leaves them as they are.
    """

    _state = ("moments",)

    def __init__(
        self, space: Space, normalize: bool, device: torch.device, clip: float = 10.0
    ) -> None:
        self.space = space
        self.clip = clip
        self.device = device
        self.size = size_of(space)
        self._one_hot = isinstance(space, spaces.Discrete)
        self._bytes = space.dtype == np.uint8
        scaled = normalize and not self._one_hot and not self._bytes
        self.moments = RunningMoments(space.shape or ()) if scaled else None

    def __call__(self, obs: Rows) -> Tensor:
        if self._bytes:  # a quarter of the size on its way to the device
            x = torch.from_numpy(obs).to(self.device).reshape(len(obs), self.size)
            return x.float() / 255
        return torch.from_numpy(self.array(obs)).to(self.device)

    def array(self, obs: Any) -> Any:
        """The same as an array, for networks in NumPy; of `Sequences`, their `x`."""
        if isinstance(obs, Sequences):
            return replace(obs, x=self.array(obs.x))
        if self._one_hot:
            rows = np.zeros((len(obs), self.size), np.float32)
            rows[np.arange(len(obs)), obs] = 1
            return rows
        if self.moments is not None:
            obs = self.moments.normalize(obs, self.clip)
        x = obs.reshape(len(obs), self.size).astype(np.float32, copy=False)
        return x / np.float32(255) if self._bytes else x

    def observe(self, obs: Rows) -> None:
        """Lets the statistics see observations `[N, ...]`."""
        if self.moments is not None:
            self.moments.update(obs)
