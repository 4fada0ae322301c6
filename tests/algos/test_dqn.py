from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rltrain.core.types import Progress
from rltrain.settings.run import build_run
from rltrain.training.build import build_algorithm, build_envs
from rltrain.training.sampler import InlineSampler
from tests.conftest import small


def build(compose: Any, *overrides: str) -> tuple[Any, InlineSampler]:
    run = build_run(compose(*small("dqn", *overrides)))
    envs = build_envs(run)
    algorithm = build_algorithm(run, envs)
    return algorithm, InlineSampler(envs, algorithm, np.random.default_rng(0))


def collect(algorithm: Any, sampler: InlineSampler, progress: Progress, steps: int) -> list[int]:
    """Updates done by each call until `steps` environment steps were taken."""
    done = []
    while progress.steps < steps:
        before = progress.updates
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
        done.append(progress.updates - before)
    return done


@pytest.mark.parametrize("num_envs", [1, 2, 4, 3])
def test_trainings_are_counted_in_environment_steps(compose: Any, num_envs: int) -> None:
    algorithm, sampler = build(
        compose, f"env.num_envs={num_envs}", "algo.train_freq=8", "algo.gradient_steps=3"
    )
    progress = Progress(10_000)
    collect(algorithm, sampler, progress, 240)
    due = progress.steps // 8 - 20 // 8  # none in the warm-up of 20 steps
    assert progress.updates == 3 * due


def test_warm_up_is_not_made_up_for(compose: Any) -> None:
    algorithm, sampler = build(compose, "algo.learning_starts=100", "algo.train_freq=8")
    done = collect(algorithm, sampler, Progress(10_000), 160)
    assert done == [0] * 12 + [1] * 8


def test_target_is_copied_every_interval_of_environment_steps(compose: Any) -> None:
    algorithm, sampler = build(compose, "algo.target_update_interval=48", "env.num_envs=4")
    progress = Progress(10_000)
    changes = []
    for _ in range(30):
        before = next(algorithm.target.parameters()).clone()
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
        if not torch.equal(before, next(algorithm.target.parameters())):
            changes.append(progress.steps)
    # The copy at 24 is the first after the warm-up, of a network that had not learned yet.
    assert changes == [48, 96, 144, 192, 240]


@pytest.mark.parametrize("kernels", ["torch", "numpy"])
def test_tau_mixes(compose: Any, kernels: str) -> None:
    algorithm, _ = build(compose, "algo.tau=0.25", f"kernels={kernels}")
    with torch.no_grad():
        for slow, fast in zip(
            algorithm.target.parameters(), algorithm.policy.network.parameters(), strict=True
        ):
            slow.fill_(4.0)
            fast.fill_(8.0)
    algorithm.learner.update_target()
    assert all((p == 5.0).all() for p in algorithm.target.parameters())


@pytest.mark.parametrize("kernels", ["torch", "numpy"])
def test_loss_by_hand(compose: Any, kernels: str) -> None:
    algorithm, _ = build(compose, "algo.gamma=0.5", f"kernels={kernels}")
    online, target = algorithm.policy.network, algorithm.target
    with torch.no_grad():
        for module, bias in ((online, [1.0, 2.0]), (target, [3.0, 4.0])):
            module[-1].weight.zero_()
            module[-1].bias.copy_(torch.tensor(bias))
    algorithm.learner.begin()
    loss, value = algorithm.learner.step(
        np.zeros((3, 4), np.float32),
        np.array([0, 1, 1]),
        np.array([1.0, 0.5, -1.0], np.float32),
        np.array([0.0, 1.0, 0.0], np.float32),
        np.zeros((3, 4), np.float32),
    )
    # targets 1 + .5·4 = 3, .5, −1 + .5·4 = 1; values 1, 2, 2; errors 2, 1.5, 1
    # Huber: 2 − .5, 1.5 − .5, 1 − .5
    assert float(loss) == pytest.approx((1.5 + 1.0 + 0.5) / 3)
    assert float(value) == pytest.approx(5 / 3)


def test_epsilon_falls_over_its_fraction(compose: Any) -> None:
    algorithm, sampler = build(compose, "exploration.fraction=0.5")
    progress = Progress(64)
    assert algorithm.policy.exploration.epsilon == 1.0
    collect(algorithm, sampler, progress, 16)
    assert algorithm.policy.exploration.epsilon == pytest.approx(0.5 * 1.0 + 0.5 * 0.05)
    collect(algorithm, sampler, progress, 40)
    assert algorithm.policy.exploration.epsilon == 0.05
