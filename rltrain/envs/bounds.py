"""Observations outside the bounds that their Box declares.

They are taken as they are, since bounds are advice to most algorithms; but a declaration that
does not hold is worth a line.

Legend: N rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rltrain.core.layout import Layout

Rows = NDArray[Any]

FIRST = 64  # vector steps that are all checked
EVERY = 256  # how rarely those after them are
END = 16  # as how many of them a step counts in which an episode ended


class Bounds:
    """Says once of each part of an observation that it left its bounds.

    A check costs several passes over the rows, so that not every step has one: `due` names the
    first 64 steps and about one of 256 after them, and prefers those in which an episode ended,
    since what leaves its bounds most often is a final observation.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.steps = 0
        self._next = 0  # count of steps at which the next check is due
        self._parts = [
            (leaf.name, leaf.space)
            for leaf in layout.leaves
            if isinstance(leaf.space, spaces.Box) and _can_be_left(leaf.space)
        ]

    def due(self, ended: bool) -> bool:
        """Count a vector step; whether its observations are to be checked."""
        self.steps += END if ended else 1
        if self.steps < self._next:
            return False
        if self.steps >= FIRST:
            self._next = self.steps + EVERY
        return True

    def left(self, rows: Rows) -> list[tuple[int, str, str]]:
        """The parts of rows `[N, ...]` that are outside for the first time: the row, the part's
        name, and what is said of it."""
        found = []
        whole = self.layout.view(rows) if self.layout.packed else rows
        for name, space in list(self._parts):
            part = whole[name] if self.layout.packed else whole
            outside = (part < space.low) | (part > space.high)
            if not outside.any():
                continue
            self._parts.remove((name, space))
            row, *place = (int(index[0]) for index in np.nonzero(outside))
            low, high = space.low[tuple(place)], space.high[tuple(place)]
            where = f" at {place[0] if len(place) == 1 else tuple(place)}" if place else ""
            of = f"{name}: " if self.layout.packed else ""
            value = part[(row, *place)]
            text = f"{of}{value:g}{where}, where the Box has {low:g} to {high:g}"
            found.append((row, name, text))
        return found


def _can_be_left(space: spaces.Box) -> bool:
    """Whether the dtype can hold numbers outside the bounds."""
    if space.dtype.kind == "b":
        return False
    if space.dtype.kind in "iu":
        limits: Any = np.iinfo(space.dtype.name)
        return bool((space.low > limits.min).any() or (space.high < limits.max).any())
    return bool(np.isfinite(space.low).any() or np.isfinite(space.high).any())
