"""Every optimizer trains every algorithm that has a NumPy learner, as it does with torch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rltrain.algos.averaged import parameters_of
from rltrain.core.types import Progress
from rltrain.settings import registry
from tests.algos.test_base import build

OPTIMIZERS = sorted(set(registry.entries("optimizer")) - {"none"})


def trained(compose: Any, algo: str, *overrides: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the policy's parameters before and after two updates that learned."""
    algorithm, sampler = build(compose, algo, *overrides, "algo.learning_rate=0.001")
    first = torch.cat([p.detach().flatten() for p in parameters_of(algorithm.policy)])
    progress, learned = Progress(1000), 0
    while learned < 2:
        sampler.collect(algorithm.horizon, progress, lambda: False)
        before = progress.updates
        algorithm.update(progress)
        learned += progress.updates > before
    return first, torch.cat([p.detach().flatten() for p in parameters_of(algorithm.policy)])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("algo", ["ppo", "a2c", "dqn", "sac", "td3"])
def test_every_optimizer_trains_with_numpy_as_with_torch(
    compose: Any, algo: str, optimizer: str
) -> None:
    """Both ends are far closer to each other than to where they began."""
    (first, reference), (same, found) = (
        trained(compose, algo, f"optimizer={optimizer}", f"kernels={kernels}")
        for kernels in ("torch", "numpy")
    )
    assert torch.equal(first, same)
    assert (reference - first).norm() > 0
    assert (found - reference).norm() < 0.05 * (reference - first).norm()
