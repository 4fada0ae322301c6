"""From what a network says to the actions of a bounded Box, and back.

Legend: N actions, A dimensions.
"""

from __future__ import annotations

import math

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from rltrain.core.errors import UserError
from rltrain.core.spaces import edges_of, to_box
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
        low, high = (edge.reshape(-1) for edge in edges_of(space))
        if not np.isfinite(high - low).all():
            raise UserError(
                f"actions of {space} have no bounds, and this algorithm needs them: choose one"
                " that does not, as algo=ppo, or wrap the environment in"
                " gymnasium.wrappers.RescaleAction."
            )
        self.shape = space.shape
        self.size = math.prod(space.shape)
        self._space = space
        self._integers = np.dtype(space.dtype).kind in "iu"
        self._middle = ((high + low) / 2).astype(np.float32)
        self._half = ((high - low) / 2).astype(np.float32)
        # A dimension with one value only is 0 on this side.
        self._inverse = np.divide(1, self._half, out=np.zeros_like(self._half), where=high > low)

    def scale(self, unit: Floats) -> Rows:
        """Return the actions `[N, ...]` of numbers in [−1, 1] `[N, A]`.

        Integers have equal parts of [−1, 1] each.
        """
        action = (self._middle + self._half * unit).reshape(len(unit), *self.shape)
        if self._integers:
            return to_box(action, self._space)
        return action.astype(self._space.dtype, copy=False)

    def unscale(self, action: Rows) -> Floats:
        """Return the inverse of `scale`; of an integer the middle of its part."""
        rows = action.reshape(len(action), self.size)
        unit: Floats = ((rows - self._middle) * self._inverse).astype(np.float32, copy=False)
        return unit
