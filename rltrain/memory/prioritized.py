"""Prioritised experience replay (Schaul et al. 2016, arXiv 1511.05952).

Legend: N transitions of a sample, K blocks of W rows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rltrain.core.types import Rows, Transition
from rltrain.memory.replay import ReplayBuffer, Sample

_EPSILON = 1e-6  # keeps what has no error within reach


class PrioritizedReplay:
    """Samples the rows of a replay in proportion to p^α, p = |δ| + ε (proportional variant).

    Row i is drawn with P(i) = p_i^α / Σ p^α and weighs (N · P(i))^−β in the loss, over the
    largest of its minibatch; N is the number of rows. New rows have the largest priority
    that was seen. Sums are kept over blocks of about √capacity rows: for NumPy a tree of
    two levels is faster than one of seventeen.
    """

    def __init__(self, replay: ReplayBuffer, alpha: float) -> None:
        self.replay = replay
        self.alpha = alpha
        self.beta = 1.0
        self.largest = 1.0  # p^α
        self._width = math.isqrt(max(replay.capacity - 1, 0)) + 1
        blocks = -(-replay.capacity // self._width)
        self._blocks = np.zeros((blocks, self._width))  # p^α [K, W]; 0 where no row is yet
        self.sums = np.zeros(blocks)
        self.priorities = self._blocks.reshape(-1)  # the same as [K · W]

    @property
    def size(self) -> int:
        return self.replay.size

    @property
    def empty(self) -> bool:
        """Whether there is nothing to sample."""
        return self.replay.empty

    def add(self, step: Transition) -> None:
        """Writes B rows, over the oldest where the ring is full."""
        rows, valid = self.replay.put(step)
        self._set(rows, self.largest if valid is None else np.where(valid, self.largest, 0.0))

    def end_episodes(self, which: NDArray[np.bool_] | None = None) -> None:
        self.replay.end_episodes(which)

    def latest(self, count: int) -> Rows:
        """The newest `count` observations, fewer where there are not as many."""
        return self.replay.latest(count)

    def sample(self, count: int, rng: np.random.Generator) -> Sample:
        """`count` transitions, one from each of as many equal shares of the whole priority."""
        cumulative = self.sums.cumsum()  # [K]
        total = cumulative[-1]
        wanted = (np.arange(count) + rng.random(count)) * (total / count)  # [N]
        # Rounding may lead past the end: rows are kept among those that are filled.
        block = cumulative.searchsorted(wanted, side="right")
        block = np.minimum(block, (self.size - 1) // self._width)
        rest = wanted - (cumulative[block] - self.sums[block])
        place = (self._blocks[block].cumsum(1) <= rest[:, None]).sum(1)
        place = np.minimum(place, self._width - 1)
        rows = np.minimum(block * self._width + place, self.size - 1)
        weight = (self.size / total * self.priorities[rows]) ** -self.beta
        weight /= weight.max()
        return self.replay.gather(rows)._replace(weight=weight.astype(np.float32), rows=rows)

    def update(self, rows: Rows, error: Rows) -> None:
        """Makes |`error`| `[N]` the priorities of `rows` `[N]`."""
        priorities = (np.abs(error.astype(np.float64)) + _EPSILON) ** self.alpha
        self.largest = max(self.largest, float(priorities.max()))
        self._set(rows, priorities)

    def _set(self, rows: Rows, priorities: NDArray[np.float64] | float) -> None:
        self.priorities[rows] = priorities
        block = rows // self._width
        self.sums[block] = self._blocks[block].sum(1)

    def state_dict(self) -> dict[str, Any]:
        return {
            "replay": self.replay.state_dict(),
            "priorities": self.priorities[: self.size].copy(),
            "sums": self.sums.copy(),
            "largest": self.largest,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.replay.load_state_dict(state["replay"])
        self.priorities[:] = 0
        self.priorities[: self.size] = state["priorities"]
        self.sums[:] = state["sums"]
        self.largest = state["largest"]
