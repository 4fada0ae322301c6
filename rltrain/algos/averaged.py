"""An exponential moving average of the policy, which is evaluated in its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rltrain.algos.base import Algorithm, Metrics, Policy
from rltrain.core.state import put as put_array
from rltrain.core.types import Progress


class Averaged(Algorithm):
    """Any algorithm, and the mean of its policy's parameters after each update.

    After n steps the parameters after step i have the weight dⁿ⁻ⁱ (1 − d) / (1 − dⁿ): the
    first ones count no more than their share (Kingma & Ba 2015, section 3). An update of k
    steps counts as k times its last. Acting in training stays with the newest parameters;
    normalisers and exploration are the policy's.
    """

    def __init__(self, inner: Algorithm, decay: float) -> None:
        self.inner = inner
        self.decay = decay
        self.policy = inner.policy
        self.memory = inner.memory
        self.horizon = inner.horizon
        self.steps = 0  # n
        self.average = [p.detach().clone() for p in parameters_of(self.policy)]

    @property
    def num_parameters(self) -> int:
        return self.inner.num_parameters

    def update(self, progress: Progress) -> Metrics:
        before = progress.updates
        metrics = self.inner.update(progress)
        taken = progress.updates - before
        if taken:
            self.steps += taken
            weight = (1 - self.decay**taken) / (1 - self.decay**self.steps)
            with torch.no_grad():
                torch._foreach_lerp_(self.average, parameters_of(self.policy), weight)
        return metrics

    @contextmanager
    def evaluated(self) -> Iterator[Policy]:
        """Yield the policy with the average in it; the newest parameters are back afterwards.

        Before the first step there is nothing to average, and the policy is as it is: its
        parameters may have been taken over from another run since the average was made.
        """
        if not self.steps:
            yield self.policy
            return
        kept = [p.detach().clone() for p in parameters_of(self.policy)]
        put(self.policy, self.average)
        try:
            yield self.policy
        finally:
            put(self.policy, kept)

    def end_episodes(self) -> None:
        self.inner.end_episodes()

    def state_dict(self) -> dict[str, Any]:
        average = self.average if self.steps else [p.detach() for p in parameters_of(self.policy)]
        own = {"average": [p.clone() for p in average], "average_steps": self.steps}
        return self.inner.state_dict() | own

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for i, (own, saved) in enumerate(zip(self.average, state["average"], strict=True)):
            put_array(f"average.{i}", own, saved)
        self.steps = state["average_steps"]
        self.inner.load_state_dict(
            {k: v for k, v in state.items() if k not in ("average", "average_steps")}
        )


def parameters_of(policy: Policy) -> list[Tensor]:
    """All parameters of a policy's networks, those of every agent."""
    policies = getattr(policy, "policies", [policy])
    modules = [m for p in policies for m in vars(p).values() if isinstance(m, nn.Module)]
    return [p for module in modules for p in module.parameters()]


@torch.no_grad()
def put(policy: Policy, values: list[Tensor]) -> None:
    """Writes the parameters in place, since others hold views of them."""
    for i, (parameter, value) in enumerate(zip(parameters_of(policy), values, strict=True)):
        put_array(f"average.{i}", parameter, value)
