"""A dataset as the memory of what learns from it alone.

Legend: N samples of a minibatch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rltrain.core.errors import UserError
from rltrain.core.seeding import generator
from rltrain.core.types import Transition
from rltrain.memory.dataset import Dataset

Indices = NDArray[np.intp]


class Passes:
    """Shuffled passes over a dataset's rows, less those of episodes that are held out.

    Which episodes are held out, and the order of each pass, follow from the seed: the state
    is a count, and what the dataset is known by. Without a dataset there is nothing to draw.

    Raises:
        UserError: no episode would be left to learn from.
    """

    def __init__(self, dataset: Dataset | None, held_out: float, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed
        self.seen = 0  # rows drawn so far
        self.rows: Indices = np.zeros(0, np.intp)
        self.held_out: Indices = np.zeros(0, np.intp)
        self._pass = -1
        if dataset is not None:
            self.rows, self.held_out = split(dataset, held_out, seed)

    def add(self, step: Transition) -> None:
        raise TypeError("What learns from a dataset alone takes no steps.")

    def end_episodes(self, which: NDArray[np.bool_] | None = None) -> None:
        """Nothing to do: nothing is going on."""

    def draw(self, count: int) -> Indices:
        """The next `count` rows `[N]`; each row is drawn once in a pass."""
        drawn: list[Indices] = []
        while count:
            number, start = divmod(self.seen, len(self.rows))
            if number != self._pass:
                self._pass = number
                self._order = generator(self.seed, "pass", number).permutation(self.rows)
            drawn.append(self._order[start : start + count])
            count -= len(drawn[-1])
            self.seen += len(drawn[-1])
        return np.concatenate(drawn)

    def state_dict(self) -> dict[str, Any]:
        assert self.dataset is not None
        return {"seen": self.seen, "dataset": self.dataset.identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises a UserError where the dataset is not what it was."""
        assert self.dataset is not None
        self.dataset.check(state["dataset"])
        self.seen = state["seen"]


def split(dataset: Dataset, share: float, seed: int) -> tuple[Indices, Indices]:
    """Rows to learn from, and those of a share of the episodes, at least one unless it is 0."""
    ends = dataset.ends
    count = max(1, min(round(share * len(ends)), len(ends) - 1)) if share else 0
    if count == len(ends):
        raise UserError(
            f"algo.validation_share={share:g}: dataset={dataset.id} has one episode, and none"
            " would be left to learn from. Set it to 0."
        )
    chosen = generator(seed, "validation").choice(len(ends), count, replace=False)
    episode = np.searchsorted(ends, np.arange(len(dataset)))  # of each row
    out = np.isin(episode, chosen)
    return np.flatnonzero(~out), np.flatnonzero(out)
