"""Replay of n-step transitions.

Legend: N transitions of a sample, n steps of each at most, B environments.
"""

from __future__ import annotations

import numpy as np
from gymnasium import Space
from numpy.typing import NDArray

from rltrain.core.types import Rows, Transition
from rltrain.memory.replay import ReplayBuffer, Sample


class NStepReplay(ReplayBuffer):
    """A ring of single steps whose samples reach up to n steps ahead (Sutton 1988).

    Of a sample, `reward` is Σ_{i<k} γ^i r_{t+i}, `discount` is γ^k, and `successor` and
    `terminated` are those of the last step. k is n, or fewer where the episode ended
    before (a truncated one bootstraps from its final observation), or where the step
    after was not taken yet. The next step of the same environment stands B rows on: rows that
    are not valid keep their place, and are never sampled.
    """

    def __init__(
        self,
        capacity: int,
        observation_space: Space,
        action_space: Space,
        num_envs: int,
        n_steps: int,
        gamma: float,
    ) -> None:
        super().__init__(capacity, observation_space, action_space)
        self.num_envs = num_envs
        self.n_steps = n_steps
        self.columns["truncated"] = np.zeros(capacity, np.bool_)
        self.columns["valid"] = np.zeros(capacity, np.bool_)
        self._discounts = (gamma ** np.arange(n_steps + 1)).astype(np.float32)  # γ^0 … γ^n
        self._ahead = np.arange(n_steps) * num_envs

    def _kept(self, step: Transition) -> Transition:
        valid = np.ones(len(step.reward), np.bool_) if step.valid is None else step.valid
        return step._replace(valid=valid)

    @property
    def empty(self) -> bool:
        return not self.columns["valid"][: self.size].any()

    def latest(self, count: int) -> Rows:
        newest = self._newest(count)
        return self.obs(newest[self.columns["valid"][newest]])

    def sample(self, count: int, rng: np.random.Generator) -> Sample:
        rows = rng.integers(self.size, size=count)
        while not (valid := self.columns["valid"][rows]).all():
            rows[~valid] = rng.integers(self.size, size=count - int(valid.sum()))
        return self.gather(rows)

    def end_episodes(self, which: NDArray[np.bool_] | None = None) -> None:
        """Truncate what is going on: what is added next belongs to other episodes."""
        super().end_episodes(which)
        newest = self._newest(self.num_envs)
        self.columns["truncated"][newest if which is None or not self.size else newest[which]] = (
            True
        )

    def gather(self, rows: Rows) -> Sample:
        """The transitions that begin at `rows` `[N]`."""
        reward, terminated, discount, count = self._returns(rows)
        last = (rows + (count - 1) * self.num_envs) % self.capacity
        return Sample(
            obs=self.obs(rows),
            action=self.columns["action"].take(rows, 0),
            reward=reward,
            terminated=terminated,
            successor=self.successor(last),
            discount=discount,
        )

    def _returns(self, rows: Rows) -> tuple[Rows, Rows, Rows, NDArray[np.intp]]:
        """Rewards, ends and discounts of the transitions at `rows` `[N]`, and their k."""
        path, belongs = self._follow(rows, self._ahead)  # [N, n]
        count = belongs.sum(1)  # k ≥ 1
        last = path[np.arange(len(rows)), count - 1]
        rewards = self.columns["reward"][path] * self._discounts[:-1]
        summed = np.where(belongs, rewards, np.float32(0)).sum(1)
        return summed, self.columns["terminated"].take(last), self._discounts[count], count

    def _follow(
        self, rows: Rows, ahead: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where the steps from `rows` `[N]` on are `[N, K]`, and which were taken before an end."""
        path = (rows[:, None] + ahead) % self.capacity
        age = (rows - (self.position - self.size)) % self.capacity  # 0 is the oldest row
        belongs = age[:, None] + ahead < self.size
        belongs[:, 1:] &= ~np.logical_or.accumulate(self._ended(path)[:, :-1], 1)
        return path, belongs

    def _ended(self, rows: Rows) -> NDArray[np.bool_]:
        ended: NDArray[np.bool_] = self.columns["truncated"][rows] | (
            self.columns["terminated"][rows] != 0
        )
        return ended
