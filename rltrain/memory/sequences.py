"""Replay of sequences, for recurrent networks (Kapturowski et al. 2019).

Legend: M sequences, N transitions that are learned from, R rows that networks see, B
environments, L the longest sequence, W = L + n − 1 steps that it takes with n-step returns.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np
from gymnasium import Space
from numpy.typing import NDArray

from rltrain.core.types import Rows, Transition, any_of
from rltrain.memory.n_step import NStepReplay
from rltrain.memory.replay import Sample
from rltrain.networks.recurrent import Sequences


class SequenceReplay(NStepReplay):
    """A ring of steps, with the policy's state before each, sampled in sequences.

    A sequence is what a window of `length` steps shows of an episode, and starts from the
    stored state of up to `burn_in` steps before. Windows are drawn uniformly from all that show
    a step, those that begin before the episode included, so that every step is in as many of
    them: were only steps drawn to begin with, an episode's first would be in one of `length`.
    The observations of a sequence and those that follow are seen by the network together.
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
        self.written = 0  # rows so far: the oldest that is there is number written − size
        self.begun: list[int] = []  # numbers of rows whose predecessor is of another episode

    def _write(self, step: Transition) -> None:
        rows = np.arange(self.position, self.position + len(step.reward)) % self.capacity
        self.state[rows] = step.extras["state"]
        super()._write(step)
        self.written += len(rows)
        self._note(rows, self.written - len(rows))

    def _note(self, rows: Rows, number: int) -> None:
        """Remember which `rows`, numbered from `number` on, are the first of an episode."""
        before = (rows - self.num_envs) % self.capacity
        valid = self.columns["valid"]
        begins = valid[rows] & (self._ended(before) | ~valid[before])
        if any_of(begins):
            self.begun += (number + np.flatnonzero(begins)).tolist()

    def sample(self, count: int, rng: np.random.Generator) -> Sample:
        """Draw sequences until they make `count` transitions: less than a sequence more."""
        first, later = self._firsts()
        drawn: list[tuple[Rows, Rows]] = []
        while (short := count - sum(int(steps.sum()) for _, steps in drawn)) > 0:
            number = -(-short // self.length)
            rows, steps = self._draw(number, first, later, rng)
            steps = np.minimum(steps, self._follow(rows, self._forth[: self.length])[1].sum(1))
            valid = self.columns["valid"][rows]
            drawn.append((rows[valid], steps[valid]))
        return self.gather(*map(np.concatenate, zip(*drawn, strict=True)))

    def _firsts(self) -> tuple[int, int]:
        """Return the number of the oldest row, and where those begin in `begun` that follow the
        first row of every environment, whose predecessors are gone."""
        oldest = self.written - self.size
        later = bisect_left(self.begun, oldest + self.num_envs)
        if later > len(self.begun) // 2:
            del self.begun[:later]
            later = 0
        return oldest, later

    def _draw(
        self, number: int, oldest: int, later: int, rng: np.random.Generator
    ) -> tuple[Rows, Rows]:
        """Draw windows; return the rows where they begin to show steps, and how many at most.

        Each row begins one of `length` steps, and the first of an episode also those of fewer,
        which begin before it.
        """
        shorter, own = self.length - 1, min(self.num_envs, self.size)
        firsts = own + len(self.begun) - later
        drawn = rng.integers(self.size + shorter * firsts, size=number)
        age, steps = drawn.copy(), np.full(number, self.length)
        for i in np.flatnonzero(drawn >= self.size).tolist():
            which, fewer = divmod(int(drawn[i]) - self.size, shorter)
            age[i] = which if which < own else self.begun[later + which - own] - oldest
            steps[i] = 1 + fewer
        return (self.position - self.size + age) % self.capacity, steps

    def gather(self, rows: Rows, steps: Rows | None = None) -> Sample:
        """Return the transitions of the sequences that begin at `rows` `[M]`, one after the other.

        Each has as many as `steps` `[M]` or, without, as `length`, or fewer where its episode ends.
        """
        path, belongs = self._follow(rows, self._forth)  # [M, W]
        ahead = np.arange(len(self._forth))
        steps = np.full(len(rows), self.length) if steps is None else steps
        belongs &= ahead < (steps + self.n_steps - 1)[:, None]
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
        learned = belongs & (ahead < steps[:, None])
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
        there = (age[:, None] + self._back >= 0) & self.columns["valid"][path]
        known = there & ~self._ended(path)
        return path, np.logical_and.accumulate(known[:, ::-1], 1)[:, ::-1]

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"state": self.state[: self.size].copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.state[: self.size] = state["state"]
        self.written, self.begun = self.size, []
        by_age = (self.position - self.size + np.arange(self.size)) % self.capacity
        self._note(by_age[self.num_envs :], self.num_envs)
