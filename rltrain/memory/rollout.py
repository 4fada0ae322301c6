"""The arena of on-policy methods.

Legend: T steps, B environments; all arrays are time-major `[T, B, ...]`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from rltrain.core.spaces import dtype_of, shape_of
from rltrain.core.state import Stateful
from rltrain.core.types import Rows, Transition, any_of


def action_dtype(space: Space) -> type[np.generic]:
    """The dtype of actions as policies draw them: a continuous one is kept before clipping."""
    return np.float32 if isinstance(space, spaces.Box) else np.int64


class Rollout(Stateful):
    """T steps of B environments, written in place and rewound after each update.

    The successor of a row is the next row, and that of the last row is `successor`; only
    truncated rows keep their final observation, in `final_obs`. Rows that are not `valid`
    belong to agents that are gone: they stand between two episodes, and are no samples.
    """

    _state = (
        "position",
        "obs",
        "action",
        "reward",
        "terminated",
        "truncated",
        "extras",
        "successor",
        "final_obs",
        "valid",
    )

    def __init__(
        self,
        num_steps: int,
        num_envs: int,
        observation_space: Space,
        action_space: Space,
        extras: Mapping[str, tuple[int, ...]],
    ) -> None:
        size = (num_steps, num_envs)
        obs_shape, action_shape = shape_of(observation_space), shape_of(action_space)
        self.obs: Rows = np.zeros((*size, *obs_shape), dtype_of(observation_space))
        self.action: Rows = np.zeros((*size, *action_shape), action_dtype(action_space))
        self.reward = np.zeros(size, np.float32)
        self.terminated = np.zeros(size, np.bool_)
        self.truncated = np.zeros(size, np.bool_)
        self.valid = np.ones(size, np.bool_)
        self.extras = {
            name: np.zeros((*size, *shape), np.float32) for name, shape in extras.items()
        }
        self.successor: Rows = np.zeros_like(self.obs[0])
        self.final_obs: list[tuple[int, int, Rows]] = []  # (t, b, observation)
        self.position = 0

    def add(self, step: Transition) -> None:
        """Writes the next row."""
        t = self.position
        self.obs[t] = step.obs
        self.action[t] = step.action
        self.reward[t] = step.reward
        self.terminated[t] = step.terminated
        self.truncated[t] = step.truncated
        if step.valid is not None:
            self.valid[t] = step.valid
            self.reward[t, ~step.valid] = 0  # nothing is carried into the next episode
        for name, values in self.extras.items():
            values[t] = step.extras[name]
        self.successor[:] = step.successor
        if any_of(step.truncated):
            self.final_obs += step.cut_off(t)
        self.position = t + 1

    def end_episodes(self, which: NDArray[np.bool_] | None = None) -> None:
        """Truncate every episode after the last row, or those of the environments `which` `[B]`."""
        if not self.position:
            return
        t = self.position - 1
        running = ~(self.terminated[t] | self.truncated[t]) & self.valid[t]
        for b in np.flatnonzero(running if which is None else running & which):
            self.truncated[t, b] = True
            self.final_obs.append((t, int(b), self.successor[b].copy()))

    def bootstraps(self) -> tuple[Rows, tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """The observations whose values the rows' own do not give, and the rows they belong to.

        They are the final observations of truncated rows and the successors of the last
        row: `[K, ...]`, and two index arrays `[K]` of times and environments.
        """
        last = len(self.obs) - 1
        cut = [f for f in self.final_obs if f[0] != last]
        obs = (
            np.concatenate([np.stack([f[2] for f in cut]), self.successor])
            if cut
            else (self.successor)
        )
        times = [f[0] for f in cut] + [last] * len(self.successor)
        envs = [f[1] for f in cut] + list(range(len(self.successor)))
        return obs, (np.array(times), np.array(envs))

    def samples(self, column: Rows) -> Rows:
        """The valid rows of a column `[T, B, ...]` as `[N, ...]`, step by step."""
        flat = column.reshape(-1, *column.shape[2:])
        return flat if self.valid.all() else flat[self.valid.reshape(-1)]

    def rewind(self) -> None:
        """Starts over; the rows are overwritten by the next rollout."""
        self.position = 0
        self.final_obs = []
        self.valid.fill(True)
