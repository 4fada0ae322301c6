from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rltrain.core.types import Progress
from rltrain.settings.run import build_run
from rltrain.training.build import build_algorithm, build_envs
from rltrain.training.sampler import InlineSampler, SampleCounter
from tests.conftest import ALGOS, algo_entry, small

LEARNING = [a for a in ALGOS if algo_entry(a).networks]


def build(compose: Any, algo: str, *overrides: str) -> tuple[Any, Any]:
    run = build_run(compose(*small(algo, *overrides)))
    envs = build_envs(run)
    algorithm = build_algorithm(run, envs)
    if algo_entry(algo.partition("+")[0]).data == "only":
        return algorithm, SampleCounter()
    return algorithm, InlineSampler(envs, algorithm, np.random.default_rng(0))


@pytest.mark.parametrize("algo", LEARNING)
def test_rates_rise_for_their_share_of_training(compose: Any, algo: str) -> None:
    """96 of 192 steps are the warm-up; each rate is the one at the end of what was collected."""
    algorithm, sampler = build(
        compose, algo, "optimizer.warmup=0.5", "algo.learning_rate_schedule=constant"
    )
    first = getattr(algorithm, "learners", [algorithm])[0]
    progress, rates = Progress(192), {}
    while progress.steps < progress.total:
        sampler.collect(algorithm.horizon, progress, lambda: False)
        rates[progress.steps] = algorithm.update(progress).get("train/learning_rate")
    own = first.settings.learning_rate
    rates = {steps: rate for steps, rate in rates.items() if rate is not None}
    assert len(rates) > 3
    assert min(rates) < 96 < max(rates)
    for steps, rate in rates.items():
        assert rate == pytest.approx(own * min(steps / 96, 1))
    for name, optimizer in vars(first).items():
        if name.endswith("optimizer") and optimizer is not None:
            assert optimizer.param_groups[0]["lr"] == pytest.approx(own)
