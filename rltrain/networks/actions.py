"""From what a network says to the actions of a bounded Box, and back.

Legend: N actions, A dimensions.
"""

from __future__ import annotations

import math

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from rltrain.core.errors import UserError
from rltrain.core.spaces import dtype_of
from rltrain.core.types import Rows

Floats = NDArray[np.float32]


class BoundedActions:
    """Between numbers in [−1, 1] `[N, A]`, which networks see, and actions `[N, ...]`.

    Each dimension has its own scale and offset: a = (high + low) / 2 + u (high − low) / 2.

    Raises:
        UserError: the space is unbounded somewhere.
    """

    def __init__(self, space: Space) -> None:
        assert isinstance(space, spaces.Box)
        low = space.low.astype(np.float64).reshape(-1)
        high = space.high.astype(np.float64).reshape(-1)
        if not np.isfinite(high - low).all():
            raise UserError(
                f"actions of {space} have no bounds, and this algorithm needs them: choose one"
                " that does not, as algo=ppo, or wrap the environment in"
                " gymnasium.wrappers.RescaleAction."
            )
        self.shape = space.shape
        self.size = math.prod(space.shape)
        self._dtype = dtype_of(space)
        self._middle = ((high + low) / 2).astype(np.float32)
        self._half = ((high - low) / 2).astype(np.float32)
        # A dimension with one value only is 0 on this side.
        self._inverse = np.divide(1, self._half, out=np.zeros_like(self._half), where=high > low)

    def scale(self, unit: Floats) -> Rows:
        """Actions `[N, ...]` of numbers in [−1, 1] `[N, A]`."""
        action = self._middle + self._half * unit
        return action.reshape(len(unit), *self.shape).astype(self._dtype, copy=False)

    def unscale(self, action: Rows) -> Floats:
        """The inverse of `scale`."""
        rows = action.reshape(len(action), self.size)
        unit: Floats = ((rows - self._middle) * self._inverse).astype(np.float32, copy=False)
        return unit
