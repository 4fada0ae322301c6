"""What an algorithm is: something that acts, and something that learns.

Legend: B environments.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import Space
from numpy.typing import NDArray
from torch import Tensor, nn

from rltrain.core.spaces import Agent
from rltrain.core.state import Stateful
from rltrain.core.types import Progress, Rows, Transition
from rltrain.exploration.base import Exploration
from rltrain.functional.schedules import scheduled, warmed
from rltrain.memory.dataset import Dataset
from rltrain.networks.recurrent import Stateless

Metrics = Mapping[str, Any]  # tensors, arrays without dimensions, or numbers
PolicyState = Any  # recurrent state, a value that whoever acts holds; None where there is none


@dataclass(frozen=True)
class Parts:
    """What an algorithm is built from, beside its own settings.

    `network(layout, beside)` makes a body with `out_features`, for observations of a
    `rltrain.core.layout.Layout` and as many numbers beside them, out of another `body` if one
    is given; `optimizer(parameters, learning_rate)` an optimiser. Both are None for tabular
    algorithms. `shared` asks for one body of policy and value. Where several `agents` act,
    observations have a row for each agent of each environment, environment by environment.
    """

    observation_space: Space
    action_space: Space
    num_envs: int
    seed: int
    device: torch.device
    network: Callable[..., nn.Module]
    optimizer: Callable[[Iterable[nn.Parameter], float], torch.optim.Optimizer]
    exploration: Exploration
    dataset: Dataset | None = None  # to learn from
    dataset_share: float = 0.5  # of each minibatch, where there is replay beside it
    kernels: str = "torch"  # or numpy, for what is small enough (rltrain.fast)
    shared: bool = False
    threads: int = 1  # that an update may use beside torch's own
    agents: tuple[Agent, ...] = ()  # none where there is but one
    warmup: float = 0.0  # share of training over which learning rates rise


class Memory(Protocol):
    """Where a sampler writes and an algorithm reads."""

    def add(self, step: Transition) -> None: ...

    def end_episodes(self, which: NDArray[np.bool_] | None = None) -> None:
        """Truncate the episodes that are open in all environments, or in `which` `[B]`."""


class Policy(Stateful, ABC):
    """Acts: all that evaluation, a worker process or an export needs.

    It holds the networks, the exploration and the observation normaliser, and never learns.
    """

    recall: Stateless = Stateless()

    def initial_state(self, num_envs: int) -> PolicyState:
        """Recurrent state at the start of an episode; None for a policy without memory."""
        return self.recall.initial_state(num_envs)

    def restart(self, state: PolicyState, ended: NDArray[np.bool_]) -> PolicyState:
        """The state with that of the environments whose episode `ended` `[B]` set back."""
        return self.recall.restart(state, ended)

    @abstractmethod
    def act(
        self, obs: Rows, state: PolicyState, explore: bool, rng: np.random.Generator
    ) -> tuple[Rows, PolicyState, dict[str, Rows]]:
        """Actions `[B, ...]`, the next state, and what learning needs beside them `[B]`.

        `rng` belongs to whoever acts and is the only source of chance.
        """


class Algorithm(Stateful, ABC):
    """Learns: from what is in `memory`, every `horizon` vector steps."""

    policy: Policy
    memory: Memory
    horizon: int

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [o for o in vars(self).values() if isinstance(o, torch.optim.Optimizer)]

    @property
    def num_parameters(self) -> int:
        """How many numbers the optimisers move; 0 where there is none."""
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        return sum(p.numel() for group in groups for p in group["params"])

    @abstractmethod
    def update(self, progress: Progress) -> Metrics:
        """Learns from the memory, and counts its optimiser steps in `progress.updates`.

        Metrics that are tensors or arrays stay so until a row is logged, which holds their
        mean since the last one; of plain numbers it holds the newest.

        Raises:
            TrainingError: a loss or a gradient is no number; nothing was changed by it.
        """

    def reset_targets(self) -> None:
        """Makes target networks, where there are any, what their networks are."""

    @contextmanager
    def evaluated(self) -> Iterator[Policy]:
        """The policy as evaluations are to see it."""
        yield self.policy

    def end_episodes(self) -> None:
        """Called when the environments are restarted in mid-episode."""
        self.memory.end_episodes()


def means(history: list[Any]) -> list[Any]:
    """The mean of each column of rows of tensors, as tensors, or of numbers, as arrays."""
    if isinstance(history[0][0], Tensor):
        return list(torch.stack([torch.stack(row) for row in history]).mean(0))
    return [np.asarray(mean) for mean in np.mean(history, 0)]


def named(names: tuple[str, ...], values: Any) -> dict[str, Any]:
    """Metrics of training by their names in the log."""
    return {f"train/{name}": value for name, value in zip(names, values, strict=True)}


class LearningRate:
    """The rate of an algorithm's optimisers: it rises while they warm up, and has a schedule."""

    def __init__(self, settings: Any, parts: Parts) -> None:
        self.value, self.schedule = settings.learning_rate, settings.learning_rate_schedule
        self.warmup = parts.warmup

    def set(
        self,
        progress: Progress,
        *optimizers: torch.optim.Optimizer | None,
        at: float | None = None,
    ) -> float:
        """Sets the rate of this moment and returns it.

        `at` is the fraction of training that the schedule goes by, if it is not that of now.
        The warm-up always goes by now: the first update has a rate above 0.
        """
        fraction = progress.fraction
        rate = scheduled(self.value, self.schedule, fraction if at is None else at)
        rate = warmed(rate, self.warmup, fraction)
        for optimizer in optimizers:
            for group in optimizer.param_groups if optimizer is not None else ():
                group["lr"] = rate
        return rate


@torch.no_grad()
def follow(targets: Iterable[nn.Module], networks: Iterable[nn.Module], tau: float) -> None:
    """θ⁻ ← (1 − τ) θ⁻ + τ θ."""
    slow: list[Tensor] = [p for module in targets for p in module.parameters()]
    torch._foreach_lerp_(slow, [p for module in networks for p in module.parameters()], tau)
