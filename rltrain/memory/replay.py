"""Experience replay.

Legend: N transitions of a sample.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import Space
from numpy.typing import NDArray

from rltrain.core.errors import StateError, UserError
from rltrain.core.spaces import Stack, dtype_of, shape_of
from rltrain.core.state import put
from rltrain.core.types import Rows, Transition
from rltrain.memory.frames import Frames


class Sample(NamedTuple):
    """N transitions; `terminated` is 1.0 or 0.0.

    Transitions of several steps have a `discount` each, γ^k. A prioritised memory gives the
    `weight` of each in the loss, and the `rows` to which their errors belong.
    """

    obs: Any  # rows, or `Sequences` of them
    action: Rows
    reward: NDArray[np.float32]
    terminated: NDArray[np.float32]
    successor: Any
    discount: NDArray[np.float32] | None = None
    weight: NDArray[np.float32] | None = None
    rows: NDArray[np.intp] | None = None


class ReplayBuffer:
    """A ring of the last `capacity` transitions, sampled uniformly (Lin 1992).

    Rows that are not valid are left out: they take no room and are never sampled. Of stacks
    of observations single ones are kept, in `frames`.

    Raises:
        UserError: it would not fit into this machine's memory.
    """

    def __init__(self, capacity: int, observation_space: Space, action_space: Space) -> None:
        obs_shape, action_shape = shape_of(observation_space), shape_of(action_space)
        obs_dtype, action_dtype = dtype_of(observation_space), dtype_of(action_space)
        self.frames = (
            Frames(capacity, observation_space) if isinstance(observation_space, Stack) else None
        )
        twice = 2 * int(np.prod(obs_shape)) * obs_dtype.itemsize
        _check_fits(capacity, self.frames.nbytes_of_one if self.frames else twice)
        self.capacity = capacity
        self.columns: dict[str, Rows] = {}
        if self.frames is None:
            self.columns = {
                name: np.zeros((capacity, *obs_shape), obs_dtype) for name in ("obs", "successor")
            }
        self.columns |= {
            "action": np.zeros((capacity, *action_shape), action_dtype),
            "reward": np.zeros(capacity, np.float32),
            "terminated": np.zeros(capacity, np.float32),
        }
        self.position = 0
        self.size = 0
        self.left_out = 0  # rows that were not valid, since `latest` was asked last

    @property
    def empty(self) -> bool:
        """Whether there is nothing to sample."""
        return not self.size

    def add(self, step: Transition) -> None:
        """Writes B rows, over the oldest where the ring is full."""
        self._write(self._kept(step))

    def put(self, step: Transition) -> tuple[NDArray[np.intp], NDArray[np.bool_] | None]:
        """Does so, and returns where they are, and which of them can be sampled (None: all)."""
        start, kept = self.position, self._kept(step)
        self._write(kept)
        return np.arange(start, start + len(kept.reward)) % self.capacity, kept.valid

    def _kept(self, step: Transition) -> Transition:
        """The rows that take room."""
        if step.valid is None or step.valid.all():
            return step
        self.left_out += int((~step.valid).sum())
        return step.take(step.valid)

    def _write(self, step: Transition) -> None:
        count = len(step.reward)
        start, end = self.position, self.position + count
        rows: Any = slice(start, end)
        if end > self.capacity:
            rows = np.arange(start, end) % self.capacity
        for name, column in self.columns.items():
            column[rows] = getattr(step, name)
        if self.frames is not None:
            self.frames.write(step)
        self.position = end % self.capacity
        self.size = min(self.size + count, self.capacity)

    def end_episodes(self, which: NDArray[np.bool_] | None = None) -> None:
        """Take what is added next, of `which` environments or all, as of other episodes; rows
        have their own successors anyway."""
        if self.frames is not None:
            self.frames.end_episodes()

    def obs(self, rows: Rows) -> Rows:
        """The observations of `rows` `[N]`."""
        return self.frames.obs(rows) if self.frames else self.columns["obs"].take(rows, 0)

    def successor(self, rows: Rows) -> Rows:
        """What followed them."""
        if self.frames is not None:
            return self.frames.successor(rows)
        return self.columns["successor"].take(rows, 0)

    def latest(self, count: int) -> Rows:
        """Of the newest `count` rows the observations; those left out are not among them."""
        count, self.left_out = count - self.left_out, 0
        return self.obs(self._newest(count))

    def sample(self, count: int, rng: np.random.Generator) -> Sample:
        """`count` transitions, drawn with replacement."""
        return self.gather(rng.integers(self.size, size=count))

    def gather(self, rows: Rows) -> Sample:
        """The transitions of `rows` `[N]`."""
        rest = ("action", "reward", "terminated")
        return Sample(
            obs=self.obs(rows),
            successor=self.successor(rows),
            **{name: self.columns[name].take(rows, 0) for name in rest},
        )

    def _newest(self, count: int) -> NDArray[np.intp]:
        """Where the newest rows are, fewer than `count` where there are not as many."""
        return np.arange(self.position - min(count, self.size), self.position) % self.capacity

    def state_dict(self) -> dict[str, Any]:
        """Return the rows that are filled, in the buffer's own memory, and where the next goes."""
        filled = {name: column[: self.size] for name, column in self.columns.items()}
        position = {name: getattr(self, name) for name in ("position", "size", "left_out")}
        frames = {"frames": self.frames.state_dict()} if self.frames else {}
        return {"columns": filled} | position | frames

    def load_state_dict(self, state: dict[str, Any]) -> None:
        position, size = int(state["position"]), int(state["size"])
        if not (0 <= position < self.capacity and 0 <= size <= self.capacity):
            raise StateError(f"position {position} and size {size} of {self.capacity} rows.")
        self.position, self.size = position, size
        self.left_out = int(state["left_out"])
        for name, column in self.columns.items():
            put(f"columns.{name}", column[:size], state["columns"][name])
        if self.frames is not None:
            self.frames.load_state_dict(state["frames"])


def _check_fits(capacity: int, row_bytes: int) -> None:
    import os

    needed = capacity * (row_bytes + 32)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 2 * needed > 0.9 * there:
        raise UserError(
            f"algo.buffer_size={capacity}: the replay buffer would take {needed / 2**30:.1f} GiB,"
            " and as much again while a run resumes; this machine has"
            f" {there / 2**30:.1f} GiB."
            f" Try algo.buffer_size={int(0.4 * there / (row_bytes + 32))}."
        )
