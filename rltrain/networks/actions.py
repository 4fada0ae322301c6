"""Scaling between the unit box that networks act in and the bounds of an environment's Box.

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
# float32's largest number is declared where there is no bound.
_HUGE = float(np.finfo(np.float32).max)


class UnitActions:
    """Affine map between a unit box `[N, A]`, where networks act, and actions `[N, ...]` of a Box.

    Each dimension between two finite bounds has its own scale and offset,
    a = (high + low) / 2 + u (high − low) / 2; others keep the units of the space. Integers have
    equal parts of the unit box. Values of u outside ±1 become actions outside the bounds and
    integers have fractions, both of which an environment's vector mends, so that `unscale`
    returns what `scale` was given.
    """

    def __init__(self, space: Space) -> None:
        assert isinstance(space, spaces.Box)
        low, high = (edge.reshape(-1) for edge in edges_of(space))
        self.shape = space.shape
        self.size = math.prod(space.shape)
        bounded = (space.bounded_below & space.bounded_above).reshape(-1)
        bounded &= np.maximum(abs(low), abs(high)) < _HUGE
        self.unbounded = not bounded.all()
        scaled = bounded & (high > low)
        low, high = np.where(scaled, low, -1), np.where(scaled, high, 1)
        self._middle = ((high + low) / 2).astype(np.float32)
        self._half = ((high - low) / 2).astype(np.float32)
        self._inverse = 1 / self._half
        # The commonest box is the unit box itself.
        self._same = not self._middle.any() and bool((self._half == 1).all())

    def scale(self, unit: Floats) -> Rows:
        """Return the actions `[N, ...]` of points `[N, A]`, float32 whatever the space's dtype."""
        action = unit if self._same else self._middle + self._half * unit
        return action.reshape(len(unit), *self.shape)

    def unscale(self, action: Rows) -> Floats:
        """Return the points `[N, A]` of actions `[N, ...]`; integers give the middle of a part."""
        rows = action.reshape(len(action), self.size)
        unit = rows if self._same else (rows - self._middle) * self._inverse
        return unit.astype(np.float32, copy=False)


class BoundedActions(UnitActions):
    """`UnitActions` of a Box that has two bounds everywhere, in the dtype of the space.

    Raises:
        UserError: the space is unbounded somewhere.
    """

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        if self.unbounded:
            raise UserError(
                f"actions of {space} have no bounds, and this algorithm needs them: choose one"
                " that does not, as algo=ppo, or wrap the environment in"
                " gymnasium.wrappers.RescaleAction."
            )
        assert isinstance(space, spaces.Box)
        self._space = space
        self._integers = np.dtype(space.dtype).kind in "iu"
        # A dimension with one value is 0 in the unit box.
        low, high = (edge.reshape(-1) for edge in edges_of(space))
        alone = low == high
        self._middle[alone] = low[alone]
        self._half[alone] = self._inverse[alone] = 0
        self._same = self._same and not alone.any()

    def scale(self, unit: Floats) -> Rows:
        """Return the actions `[N, ...]` of points `[N, A]`."""
        action = super().scale(unit)
        if self._integers:
            return to_box(action, self._space)
        return action.astype(self._space.dtype, copy=False)
