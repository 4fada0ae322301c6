"""An algorithm that learns from intrinsic rewards beside those of the environment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rltrain.algos.base import Algorithm, Memory, Metrics
from rltrain.core.types import Progress, Transition
from rltrain.intrinsic.rnd import RandomNetworkDistillation


class _CuriousMemory:
    """Adds the intrinsic reward to what is written."""

    def __init__(self, memory: Memory, intrinsic: RandomNetworkDistillation) -> None:
        self.memory = memory
        self.intrinsic = intrinsic

    def add(self, step: Transition) -> None:
        bonus = self.intrinsic.reward(step.successor)
        self.memory.add(step._replace(reward=step.reward + bonus))

    def end_episodes(self, which: NDArray[np.bool_] | None = None) -> None:
        self.memory.end_episodes(which)


class Curious(Algorithm):
    """Any algorithm, whose memory sees both rewards; it knows nothing of it.

    Episode returns, evaluation and scores are of the environment's reward alone.
    """

    def __init__(self, inner: Algorithm, intrinsic: RandomNetworkDistillation) -> None:
        self.inner = inner
        self.intrinsic = intrinsic
        self.policy = inner.policy
        self.horizon = inner.horizon
        self.memory = _CuriousMemory(inner.memory, intrinsic)

    @property
    def num_parameters(self) -> int:
        return self.inner.num_parameters

    def update(self, progress: Progress) -> Metrics:
        return {**self.inner.update(progress), **self.intrinsic.update()}

    def end_episodes(self) -> None:
        self.inner.end_episodes()

    def state_dict(self) -> dict[str, Any]:
        return self.inner.state_dict() | {"intrinsic": self.intrinsic.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.intrinsic.load_state_dict(state["intrinsic"])
        self.inner.load_state_dict({k: v for k, v in state.items() if k != "intrinsic"})
