"""How the samples of a rollout reach an update: each alone, or in sequences.

Legend: T steps of a rollout, B environments, N samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rltrain.core.types import Rows
from rltrain.memory.rollout import Rollout
from rltrain.networks.actor_critic import ActorCritic
from rltrain.networks.inputs import Inputs
from rltrain.networks.recurrent import Recurrent, Sequences, recurrent


class Alone:
    """Step by step, in minibatches of any of them: for networks without memory."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    def extras(self) -> dict[str, tuple[int, ...]]:
        """What a policy has to say of each of its actions, and in which shape."""
        return {"log_prob": (), "value": ()}

    def column(self, rollout: Rollout, rows: Rows) -> Rows:
        """Rows `[T, B, ...]` as those of samples `[N, ...]`."""
        return rollout.samples(rows)

    def x(self, rollout: Rollout) -> Any:
        """What the networks take of all samples."""
        return self.inputs.array(self.column(rollout, rollout.obs))

    def successors(self, rollout: Rollout) -> tuple[Any, Any]:
        """What the networks take of those that `Rollout.bootstraps` names, and their rows."""
        obs, rows = rollout.bootstraps()
        return self.inputs.array(obs), rows

    def minibatches(self, count: int, size: int, rng: np.random.Generator) -> Iterator[Rows]:
        """All of `count` samples in random order, `size` at a time."""
        order = rng.permutation(count)
        for start in range(0, count, size):
            yield order[start : start + size]


class InSequences(Alone):
    """Environment by environment, in sequences that end with an episode or are cut at a length.

    Each starts from the state that the policy had there as it acted (stored state,
    Kapturowski et al. 2019), and they go into minibatches whole.
    """

    def __init__(self, inputs: Inputs, network: Recurrent, bodies: int) -> None:
        super().__init__(inputs)
        self.length = network.sequence_length
        self.state_shape = (bodies, network.state_size)
        self._starts = np.zeros(0, np.intp)  # of the sequences among the samples, and the end

    def extras(self) -> dict[str, tuple[int, ...]]:
        return super().extras() | {"state": self.state_shape}

    def column(self, rollout: Rollout, rows: Rows) -> Rows:
        flat = rows.swapaxes(0, 1).reshape(-1, *rows.shape[2:])
        return flat if rollout.valid.all() else flat[rollout.valid.T.reshape(-1)]

    def x(self, rollout: Rollout) -> Sequences:
        begins = np.zeros(rollout.reward.shape, np.bool_)
        begins[:: self.length] = True
        begins[1:] |= (rollout.terminated | rollout.truncated | ~rollout.valid)[:-1]
        first = self.column(rollout, begins)
        self._starts = np.append(np.flatnonzero(first), len(first))
        return Sequences(super().x(rollout), self.column(rollout, rollout.extras["state"]), first)

    def successors(self, rollout: Rollout) -> tuple[Any, Any]:
        obs, rows = rollout.bootstraps()
        before, state = rollout.obs[rows], rollout.extras["state"][rows]
        begins = np.zeros(2 * len(obs), np.bool_)
        begins[::2] = True
        x = self.inputs.array(np.stack([before, obs], 1).reshape(-1, *obs.shape[1:]))
        pick = np.arange(1, 2 * len(obs), 2)
        return Sequences(x, np.repeat(state, 2, 0), begins, pick=pick), rows

    def minibatches(self, count: int, size: int, rng: np.random.Generator) -> Iterator[Rows]:
        """All samples, in sequences in random order: as many as make `size` samples or more."""
        starts, taken = self._starts, []
        for i in rng.permutation(len(starts) - 1).tolist():
            taken.append(np.arange(starts[i], starts[i + 1]))
            if sum(map(len, taken)) >= size:
                yield np.concatenate(taken)
                taken = []
        if taken:
            yield np.concatenate(taken)


def order_of(networks: ActorCritic, inputs: Inputs) -> Alone:
    """How samples reach these networks."""
    network = recurrent(networks)
    return Alone(inputs) if network is None else InSequences(inputs, network, networks.num_bodies)
