from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rltrain.core.types import Progress, Transition
from rltrain.settings.run import build_run
from rltrain.training.build import build_algorithm, build_envs
from rltrain.training.sampler import InlineSampler
from tests.conftest import small

F, T = False, True


def build(compose: Any, *overrides: str) -> tuple[Any, InlineSampler]:
    run = build_run(compose(*small("reinforce", *overrides)))
    envs = build_envs(run)
    algorithm = build_algorithm(run, envs)
    return algorithm, InlineSampler(envs, algorithm, np.random.default_rng(0))


def row(reward: float, terminated: bool = F, truncated: bool = F, obs: float = 0.0) -> Transition:
    x = np.full((1, 4), obs, np.float32)
    flags = np.array([terminated]), np.array([truncated])
    return Transition(x, np.array([1]), np.array([reward], np.float32), *flags, x + 1, {})


def constant(networks: Any, logits: list[float], value: float | None = None) -> None:
    """Makes π and V the same everywhere."""
    nets = [(networks.actor, logits)] + ([] if value is None else [(networks.critic, [value])])
    with torch.no_grad():
        for net, bias in nets:
            net[-1].weight.zero_()
            net[-1].bias.copy_(torch.tensor(bias))


ONE = ["env.num_envs=1", "algo.gamma=0.5", "algo.normalize_obs=false", "algo.n_episodes=1"]


@pytest.mark.parametrize("kernels", ["torch", "numpy"])
@pytest.mark.parametrize("baseline", [True, False])
@pytest.mark.parametrize(
    ("how", "kept"),
    # G = 1 + ½(2 + ½·4) = 3, 2 + ½·4 = 4, 4; their mean 11/3, their deviation 1/√3
    [
        ("none", [3.0, 4.0, 4.0]),
        ("center", [-2 / 3, 1 / 3, 1 / 3]),
        ("standardize", [-2 / 3 * 3**0.5, 3**0.5 / 3, 3**0.5 / 3]),
    ],
)
def test_one_update_by_hand(
    compose: Any, how: str, kept: list[float], baseline: bool, kernels: str
) -> None:
    overrides = [f"algo.baseline={baseline}".lower(), f"algo.normalize_returns={how}"]
    algorithm, _ = build(compose, *ONE, *overrides, f"kernels={kernels}", "algo.vf_coef=1")
    constant(algorithm.policy.networks, [0.0, 0.0], 2.0 if baseline else None)
    taken: list[Any] = []
    step = algorithm.learner.step
    algorithm.learner.step = lambda *columns: taken.append(columns) or step(*columns)
    for r in (row(1.0), row(2.0), row(4.0, terminated=T), row(100.0)):
        algorithm.memory.add(r)
    metrics = algorithm.update(Progress(100))
    ((x, action, advantage, target),) = taken
    assert x.shape == (3, 4)
    assert action.tolist() == [1, 1, 1]
    away = 2.0 if baseline and how == "none" else 0.0
    np.testing.assert_allclose(advantage, np.array(kept) - away, rtol=1e-5, atol=1e-6)
    assert target.tolist() == ([3.0, 4.0, 4.0] if baseline else [0.0, 0.0, 0.0])
    policy_loss = np.log(2) * np.mean(np.array(kept) - away)
    assert float(metrics["train/policy_loss"]) == pytest.approx(policy_loss, abs=1e-6)
    # ((2 − 3)² + 2 (2 − 4)²)/3
    assert float(metrics["train/value_loss"]) == pytest.approx(3.0 if baseline else 0.0)


@pytest.mark.parametrize(("baseline", "expected"), [(True, [3.5, 5.0]), (False, [2.0, 2.0])])
def test_a_time_limit_goes_on_with_the_baseline_and_ends_without(
    compose: Any, baseline: bool, expected: list[float]
) -> None:
    algorithm, _ = build(compose, *ONE, f"algo.baseline={baseline}".lower())
    constant(algorithm.policy.networks, [0.0, 0.0], 6.0 if baseline else None)
    algorithm.memory.add(row(1.0))
    algorithm.memory.add(row(2.0, truncated=T))
    # 2 + ½·6 = 5 and 1 + ½·5 = 3.5, or 2 and 1 + ½·2
    np.testing.assert_allclose(algorithm._returns()[:, 0], expected)


def test_the_final_observation_is_that_of_its_own_episode(compose: Any) -> None:
    algorithm, _ = build(compose, *ONE)
    algorithm.memory.add(row(0.0, truncated=T, obs=3.0))
    algorithm.memory.add(row(0.0, truncated=T, obs=-2.0))
    value = algorithm.policy.actor.value(np.array([[4.0] * 4, [-1.0] * 4], np.float32))
    np.testing.assert_allclose(algorithm._returns()[:, 0], 0.5 * value, rtol=1e-5)


def test_an_open_episode_is_learned_from_once_it_is_over(compose: Any) -> None:
    algorithm, _ = build(compose, *ONE, "algo.normalize_returns=none", "algo.baseline=false")
    taken: list[Any] = []
    step = algorithm.learner.step
    algorithm.learner.step = lambda *columns: taken.append(columns) or step(*columns)
    progress = Progress(100)
    algorithm.memory.add(row(1.0, terminated=T))
    algorithm.memory.add(row(2.0))
    assert "train/loss" in algorithm.update(progress)
    algorithm.memory.add(row(3.0))
    assert "train/loss" not in algorithm.update(progress)
    algorithm.memory.add(row(4.0, terminated=T))
    algorithm.update(progress)
    assert [c[2].tolist() for c in taken] == [[1.0], [2 + 0.5 * 3 + 0.25 * 4, 3 + 0.5 * 4, 4.0]]
    assert progress.updates == 2
    assert algorithm.memory.position == 0


def test_an_update_waits_for_its_episodes(compose: Any) -> None:
    algorithm, _ = build(compose, *ONE, "algo.n_episodes=3")
    progress = Progress(100)
    for updates in (0, 0, 1):
        algorithm.memory.add(row(1.0, terminated=T))
        algorithm.update(progress)
        assert progress.updates == updates


def test_without_a_baseline_there_is_no_critic(compose: Any) -> None:
    algorithm, sampler = build(compose, "algo.baseline=false", "env.max_episode_steps=5")
    names = [name for name, _ in algorithm.policy.networks.named_parameters()]
    assert names
    assert not [n for n in names if "critic" in n]
    sampler.collect(algorithm.horizon, Progress(1000), lambda: False)
    metrics = algorithm.update(Progress(1000))
    assert "train/explained_variance" not in metrics
    assert float(metrics["train/value_loss"]) == 0


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("baseline", ["true", "false"])
def test_kernels_agree(compose: Any, env: str, baseline: str) -> None:
    found = []
    for kernels in ("torch", "numpy"):
        overrides = [f"env={env}", f"algo.baseline={baseline}", "env.max_episode_steps=9"]
        algorithm, sampler = build(
            compose,
            *overrides,
            f"kernels={kernels}",
            "exploration=entropy",
            "exploration.ent_coef=0.01",
        )
        progress = Progress(10_000)
        for _ in range(4):
            sampler.collect(algorithm.horizon, progress, lambda: False)
            algorithm.update(progress)
        assert progress.updates == 4
        parameters = algorithm.policy.networks.parameters()
        found.append(torch.cat([p.detach().flatten() for p in parameters]).numpy())
    np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-4)
