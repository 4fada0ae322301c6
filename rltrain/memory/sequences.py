"""Replay of sequences, for recurrent networks (Kapturowski et al. 2019).

Legend: M sequences, N transitions that are learned from, R rows that networks see, B
environments, L the longest sequence, W = L + n − 1 steps that it takes with n-step returns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import Space
from numpy.typing import NDArray

from rltrain.core.types import Rows, Transition
from rltrain.memory.n_step import NStepReplay
from rltrain.memory.replay import Sample
from rltrain.networks.recurrent import Sequences


class SequenceReplay(NStepReplay):
    """A ring of steps, with the policy's state before each, sampled in sequences.

    A sequence begins anywhere, has `length` steps or fewer where its episode ends, and starts
    from the stored state of up to `burn_in` steps before. Its observations and those that
    follow are seen by the network together.
    """

    def __init__(
        self,
        capacity: int,
        observation_space: Space,
        action_space: Space,
        num_envs: int,
        n_steps: int,
        gamma: float,
        length: int,
        burn_in: int,
        state_shape: tuple[int, ...],
    ) -> None:
        super().__init__(capacity, observation_space, action_space, num_envs, n_steps, gamma)
        self.length = length
        self.burn_in = burn_in
        self.state: Rows = np.zeros((capacity, *state_shape), np.float32)
        self._back = -np.arange(burn_in, 0, -1) * num_envs
        self._forth = np.arange(length + n_steps - 1) * num_envs

    def _write(self, step: Transition) -> None:
        rows = np.arange(self.position, self.position + len(step.reward)) % self.capacity
        self.state[rows] = step.extras["state"]
        super()._write(step)

    def sample(self, count: int, rng: np.random.Generator) -> Sample:
        """As many sequences as make `count` transitions where none is cut short."""
        return super().sample(max(1, count // self.length), rng)

    def gather(self, rows: Rows) -> Sample:
        """The transitions of the sequences that begin at `rows` `[M]`, one after the other."""
        path, belongs = self._follow(rows, self._forth)  # [M, W]
        before, known = self._before(rows)  # [M, burn-in]
        sequence, there = np.arange(len(rows)), belongs.sum(1)  # steps that were taken, ≥ 1
        last = path[sequence, there - 1]
        # Every sequence as a line of rows, of which the successor of its last step is the end.
        line = np.concatenate([before, path, last[:, None]], 1)
        end = np.zeros(line.shape, np.bool_)
        end[sequence, self.burn_in + there] = True
        line[end] = last
        burnt = np.zeros(line.shape, np.bool_)
        burnt[:, : self.burn_in] = known
        seen = burnt | end
        seen[:, self.burn_in : -1] |= belongs
        begins = np.zeros(line.shape, np.bool_)
        begins[sequence, seen.argmax(1)] = True
        ring, tail = line[seen], end[seen]  # [R]
        x = self.obs(ring)
        x[tail] = self.successor(last)
        place = (seen.cumsum() - 1).reshape(seen.shape)[:, self.burn_in : -1]
        learned = belongs.copy()
        learned[:, self.length :] = False
        reward, terminated, discount, count = self._returns(path[learned])
        pick = place[learned]  # [N]

        def sequences(rows_: NDArray[np.intp]) -> Any:
            return Sequences(x, self.state[ring], begins[seen], burnt[seen], rows_)

        return Sample(
            obs=sequences(pick),
            action=self.columns["action"].take(path[learned], 0),
            reward=reward,
            terminated=terminated,
            successor=sequences(pick + count),
            discount=discount,
        )

    def _before(self, rows: Rows) -> tuple[Rows, NDArray[np.bool_]]:
        """Where the steps before `rows` are `[M, burn-in]`, and which belong to their episodes."""
        path = (rows[:, None] + self._back) % self.capacity
        age = (rows - (self.position - self.size)) % self.capacity
        known = (age[:, None] + self._back >= 0) & ~self._ended(path)
        return path, np.logical_and.accumulate(known[:, ::-1], 1)[:, ::-1]

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"state": self.state[: self.size].copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.state[: self.size] = state["state"]
