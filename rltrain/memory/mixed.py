"""Replay with a share of each minibatch from a dataset.

Legend: N transitions of a sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import Space
from numpy.typing import NDArray

from rltrain.core.errors import UserError
from rltrain.core.types import Rows, Transition
from rltrain.memory.dataset import Dataset, check_identity
from rltrain.memory.replay import ReplayBuffer, Sample


class MixedReplay:
    """Own steps and recorded ones, a fixed number of each in every sample: with a share of a
    half the symmetric sampling of RLPD (Ball et al. 2023, arXiv 2302.02948, section 4.1).

    The recorded part is filled once, from the dataset, and is no part of the state, which
    holds what the dataset is known by.
    """

    def __init__(
        self, own: ReplayBuffer, recorded: ReplayBuffer, dataset: Dataset, share: float
    ) -> None:
        self.own = own
        self.recorded = recorded
        self.share = share
        self._identity = dataset.identity()
        steps = dataset.transitions()
        if recorded.frames is None:
            recorded.add(steps)
            return
        for i in range(len(dataset)):  # each stack goes on from the one before
            recorded.add(steps.take(slice(i, i + 1)))

    @property
    def empty(self) -> bool:
        """Whether there are no own steps to sample."""
        return self.own.empty

    def add(self, step: Transition) -> None:
        self.own.add(step)

    def end_episodes(self, which: NDArray[np.bool_] | None = None) -> None:
        self.own.end_episodes(which)

    def latest(self, count: int) -> Rows:
        """The newest `count` own observations, fewer where there are not as many."""
        return self.own.latest(count)

    def sample(self, count: int, rng: np.random.Generator) -> Sample:
        """`count` transitions, drawn with replacement; the own ones stand first."""
        recorded = round(self.share * count)
        own = self.own.sample(count - recorded, rng)
        other = self.recorded.sample(recorded, rng)
        joined: Any = (
            None if a is None or b is None else np.concatenate((a, b))
            for a, b in zip(own, other, strict=True)
        )
        return Sample(*joined)

    def state_dict(self) -> dict[str, Any]:
        return {"own": self.own.state_dict(), "dataset": self._identity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises a UserError where the dataset is not what it was."""
        check_identity(self._identity, state["dataset"])
        self.own.load_state_dict(state["own"])


def with_dataset(
    dataset: Dataset | None,
    share: float,
    make: Callable[[int, int], ReplayBuffer],
    capacity: int,
    num_envs: int,
) -> ReplayBuffer | MixedReplay:
    """Replay as `make(capacity, num_envs)` makes it, and with a dataset a second one for it.

    Raises:
        UserError: one of them would not fit into this machine's memory.
    """
    own = make(capacity, num_envs)
    if dataset is None:
        return own
    try:
        recorded = make(len(dataset), 1)
    except UserError as error:
        raise UserError(
            f"dataset={dataset.id}: its {len(dataset):,} steps do not fit into this machine's"
            " memory."
        ) from error
    return MixedReplay(own, recorded, dataset, share)


def uniform_replay(
    capacity: int,
    observation_space: Space,
    action_space: Space,
    dataset: Dataset | None = None,
    share: float = 0.5,
) -> ReplayBuffer | MixedReplay:
    """Replay of single steps, and with a dataset a second one for it."""

    def make(capacity: int, num_envs: int) -> ReplayBuffer:
        return ReplayBuffer(capacity, observation_space, action_space)

    return with_dataset(dataset, share, make, capacity, num_envs=1)
