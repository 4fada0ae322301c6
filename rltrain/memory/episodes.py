"""The memory of Monte-Carlo methods: whole episodes, and the beginnings of others.

Legend: T steps, B environments, K episodes; arrays are time-major `[T, B, ...]`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import Space
from numpy.typing import NDArray

from rltrain.core.spaces import dtype_of, shape_of
from rltrain.core.types import Rows, Transition, any_of
from rltrain.memory.rollout import action_dtype

_FIRST_CAPACITY = 256


class Episodes:
    """Steps of B environments, kept until their episode is over and `drop` was called.

    It grows with the longest open episode. Only truncated rows keep their final
    observation, in `final_obs`.
    """

    def __init__(self, num_envs: int, observation_space: Space, action_space: Space) -> None:
        size = (_FIRST_CAPACITY, num_envs)
        obs_shape, action_shape = shape_of(observation_space), shape_of(action_space)
        self._columns: dict[str, Rows] = {
            "obs": np.zeros((*size, *obs_shape), dtype_of(observation_space)),
            "action": np.zeros((*size, *action_shape), action_dtype(action_space)),
            "reward": np.zeros(size, np.float32),
            "terminated": np.zeros(size, np.bool_),
            "truncated": np.zeros(size, np.bool_),
            "dropped": np.zeros(size, np.bool_),  # of an episode whose environment raised
        }
        self.final_obs: list[tuple[int, int, Rows]] = []  # (t, b, observation)
        self.first = np.zeros(num_envs, np.int64)  # of each environment's rows in use
        self.successor: Rows = np.zeros((num_envs, *obs_shape), dtype_of(observation_space))
        self.position = 0

    def __getitem__(self, name: str) -> Rows:
        """A column `[T, B, ...]`: obs, action, reward, terminated or truncated."""
        return self._columns[name][: self.position]

    def add(self, step: Transition) -> None:
        """Writes the next row."""
        t = self.position
        if t == len(self._columns["reward"]):
            self._resize(2 * t)
        for name, column in self._columns.items():
            column[t] = name != "dropped" and getattr(step, name)
        if step.valid is not None:
            self._drop_open(t, ~step.valid)
        self.successor[:] = step.successor
        if any_of(step.truncated):
            self.final_obs += step.cut_off(t)
        self.position = t + 1

    def _drop_open(self, t: int, which: NDArray[np.bool_]) -> None:
        """Leave out the episodes that came to nothing in row `t`, which is not valid: their
        returns are not known."""
        ended = (self["terminated"] | self["truncated"])[:t]
        for b in np.flatnonzero(which).tolist():
            ends = np.flatnonzero(ended[:, b])
            begin = max(int(ends[-1]) + 1 if len(ends) else 0, int(self.first[b]))
            self._columns["dropped"][begin : t + 1, b] = True

    def end_episodes(self, which: NDArray[np.bool_] | None = None) -> None:
        """Truncate every open episode, as a restart of the environments does.

        Those of `which` environments alone are dropped by the row that follows.
        """
        if which is not None:
            return
        t = self.position - 1
        open_ = self.first < self.position
        if t >= 0:
            open_ &= ~(self["terminated"][t] | self["truncated"][t])
        for b in np.flatnonzero(open_):
            self["truncated"][t, b] = True
            self.final_obs.append((t, int(b), self.successor[b].copy()))

    @property
    def count(self) -> int:
        """How many episodes are complete."""
        return int(self._ended().sum())

    def complete(self) -> NDArray[np.bool_]:
        """Which rows `[T, B]` belong to complete episodes."""
        before_an_end = np.logical_or.accumulate(self._ended()[::-1])[::-1]
        rows: NDArray[np.bool_] = before_an_end & self._in_use() & ~self["dropped"]
        return rows

    def bootstraps(self) -> tuple[Rows, tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Final observations of truncated rows `[K, ...]`, and the rows' times and
        environments `[K]`."""
        obs = np.zeros((0, *self.successor.shape[1:]), self.successor.dtype)
        if self.final_obs:
            obs = np.stack([f[2] for f in self.final_obs])
        times = np.array([f[0] for f in self.final_obs], np.intp)
        return obs, (times, np.array([f[1] for f in self.final_obs], np.intp))

    def drop(self) -> None:
        """Forgets the complete episodes; the open ones move to the front."""
        complete = self.complete()
        last = self.position - complete[::-1].argmax(0)  # one past the last complete row
        self.first = np.where(complete.any(0), last, self.first)
        start = int(self.first.min())
        for column in self._columns.values():
            column[: self.position - start] = column[start : self.position].copy()
        self.final_obs = [(t - start, b, o) for t, b, o in self.final_obs if t >= self.first[b]]
        self.first -= start
        self.position -= start

    def _in_use(self) -> NDArray[np.bool_]:
        rows: NDArray[np.bool_] = np.arange(self.position)[:, None] >= self.first
        return rows

    def _ended(self) -> NDArray[np.bool_]:
        return (self["terminated"] | self["truncated"]) & self._in_use()

    def _resize(self, capacity: int) -> None:
        for name, column in self._columns.items():
            self._columns[name] = np.zeros((capacity, *column.shape[1:]), column.dtype)
            self._columns[name][: self.position] = column[: self.position]

    def state_dict(self) -> dict[str, Any]:
        """The rows that are kept, and how they belong together."""
        return {
            "columns": {name: self[name].copy() for name in self._columns},
            "final_obs": list(self.final_obs),
            "first": self.first.copy(),
            "successor": self.successor.copy(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["first"].shape != self.first.shape:
            raise ValueError(f"first: saved with shape {state['first'].shape}")
        count = len(state["columns"]["reward"])
        self.position = 0
        self._resize(max(count, _FIRST_CAPACITY))
        self.position = count
        for name, column in state["columns"].items():
            self[name][:] = column
        self.final_obs = [(int(t), int(b), o) for t, b, o in state["final_obs"]]
        self.first = state["first"].copy()
        self.successor[:] = state["successor"]
