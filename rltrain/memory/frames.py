"""Stacks of observations in a ring, of which no single one is stored twice.

Legend: N rows, B environments, K observations of a stack, F single ones that are kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rltrain.core.errors import StateError
from rltrain.core.spaces import Stack, dtype_of
from rltrain.core.state import put
from rltrain.core.types import Rows, Transition


class Frames:
    """The observations and successors of a replay's rows, put together when they are asked for.

    Of a row the newest observation of its stack is kept; the older ones stand B, 2B, … rows
    before, as far as the episode goes, and its successor's B rows after. What an episode
    ended with is no row's observation and is kept aside. Older single observations than
    those of the ring's rows are kept as long as a stack reaches back to them.
    """

    def __init__(self, capacity: int, space: Stack) -> None:
        self.capacity = capacity
        self.depth, *shape = space.shape
        self._shape, self._dtype = tuple(shape), dtype_of(space)
        self.count = 0  # rows that were ever written
        self.num_envs = 0  # B, known from the first step on
        self._finals: dict[int, Rows] = {}  # by number of the row, oldest first

    @property
    def nbytes_of_one(self) -> int:
        return int(np.prod(self._shape)) * self._dtype.itemsize

    def _allocate(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self._length = self.capacity + (self.depth - 1) * num_envs  # F
        self.newest: Rows = np.zeros((self._length, *self._shape), self._dtype)
        self._begins = np.zeros(self._length, np.bool_)  # an episode, with this observation
        self._ends = np.zeros(self._length, np.bool_)  # an episode: its successor is aside
        self._next_begins = np.ones(num_envs, np.bool_)
        self._pending: Rows = np.zeros((num_envs, *self._shape), self._dtype)  # newest successors

    def write(self, step: Transition) -> None:
        """Takes B rows: of the same environments each time, of which all took a step."""
        if not self.num_envs:
            self._allocate(len(step.reward))
        first = step.obs[self._next_begins]
        if len(step.obs) != self.num_envs or (first != first[:, -1:]).any():
            raise ValueError("an episode of stacks begins with one observation, repeated")
        number = np.arange(self.count, self.count + self.num_envs)
        place = number % self._length
        self.newest[place] = step.obs[:, -1]
        self._begins[place] = self._next_begins
        self._pending[:] = step.successor[:, -1]
        self.count += self.num_envs
        self._end(number, step.terminated | step.truncated)
        while self._finals and (oldest := next(iter(self._finals))) < self.count - self.capacity:
            del self._finals[oldest]

    def end_episodes(self) -> None:
        """What is written next begins other episodes."""
        if self.num_envs:
            self._end(
                np.arange(self.count - self.num_envs, self.count), np.ones(self.num_envs, np.bool_)
            )

    def _end(self, number: NDArray[np.intp], ended: NDArray[np.bool_]) -> None:
        self._ends[number % self._length] = ended
        self._next_begins[:] = ended
        for i in np.flatnonzero(ended).tolist():
            self._finals[int(number[i])] = self._pending[i].copy()

    def obs(self, rows: Rows) -> Rows:
        """The stacks `[N, K, ...]` of rows of the ring."""
        return self.newest.take(self._path(self._numbers(rows)), 0)

    def successor(self, rows: Rows) -> Rows:
        """The stacks `[N, K, ...]` that followed them."""
        number = self._numbers(rows)
        after = number + self.num_envs
        path = np.roll(self._path(number), -1, 1)
        path[:, -1] = after % self._length
        stacks = self.newest.take(path, 0)
        final = self._ends[number % self._length]
        for i in np.flatnonzero(final).tolist():
            stacks[i, -1] = self._finals[int(number[i])]
        last = ~final & (after >= self.count)
        stacks[last, -1] = self._pending[after[last] - self.count]
        return stacks

    def _numbers(self, rows: Rows) -> NDArray[np.intp]:
        """How many rows were written before these."""
        numbers: NDArray[np.intp] = self.count - 1 - (self.count - 1 - rows) % self.capacity
        return numbers

    def _path(self, number: NDArray[np.intp]) -> NDArray[np.intp]:
        """Where the observations of stacks are `[N, K]`, an episode's first as often as needed."""
        slot = np.arange(self.depth)
        path = (number[:, None] + (slot - self.depth + 1) * self.num_envs) % self._length
        back = self._begins[path][:, ::-1]
        first = np.where(back.any(1), self.depth - 1 - back.argmax(1), 0)
        return np.take_along_axis(path, np.maximum(slot, first[:, None]), 1)

    def state_dict(self) -> dict[str, Any]:
        """All that is filled; arrays are those in use."""
        state: dict[str, Any] = {"count": self.count, "num_envs": self.num_envs}
        if not self.num_envs:
            return state
        filled = slice(min(self.count, self._length))
        return state | {
            "newest": self.newest[filled],
            "begins": self._begins[filled].copy(),
            "ends": self._ends[filled].copy(),
            "next_begins": self._next_begins.copy(),
            "pending": self._pending.copy(),
            "finals": [[number, frame] for number, frame in self._finals.items()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
        self._finals = {}
        self.num_envs = 0
        if not state["num_envs"]:
            return
        num_envs = int(state["num_envs"])
        if num_envs < 0:
            raise StateError(f"num_envs: {num_envs}.")
        self._allocate(num_envs)
        filled = slice(len(state["newest"]))
        put("newest", self.newest[filled], state["newest"])
        put("begins", self._begins[filled], state["begins"])
        put("ends", self._ends[filled], state["ends"])
        put("pending", self._pending, state["pending"])
        put("next_begins", self._next_begins, state["next_begins"])
        self._finals = {number: np.copy(frame) for number, frame in state["finals"]}
