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

PLAIN = [
    "network.hidden_sizes=[16]",
    "env.num_envs=3",
    "algo.n_steps=8",
    "algo.learning_rate=0.01",
    "algo.learning_rate_schedule=constant",
    "algo.gae_lambda=1.0",
    "exploration=entropy",
    "exploration.ent_coef=0.01",
    "algo.normalize_advantage=false",
]


def build(compose: Any, algo: str, *overrides: str) -> tuple[Any, InlineSampler]:
    run = build_run(compose(*small(algo, *overrides)))
    envs = build_envs(run)
    algorithm = build_algorithm(run, envs)
    return algorithm, InlineSampler(envs, algorithm, np.random.default_rng(0))


def parameters(algorithm: Any) -> np.ndarray:
    return torch.cat([p.detach().flatten() for p in algorithm.policy.networks.parameters()]).numpy()


def train(compose: Any, algo: str, updates: int, *overrides: str) -> np.ndarray:
    algorithm, sampler = build(compose, algo, *overrides)
    progress = Progress(10_000)
    for _ in range(updates):
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
    return parameters(algorithm)


@pytest.mark.parametrize("kernels", ["torch", "numpy"])
@pytest.mark.parametrize("optimizer", ["rmsprop", "adam"])
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_it_is_ppo_with_one_pass_over_one_batch(
    compose: Any, env: str, optimizer: str, kernels: str
) -> None:
    """At ratio 1 the clip holds nothing back ("A2C is a special case of PPO")."""
    both = [*PLAIN, f"env={env}", f"optimizer={optimizer}", f"kernels={kernels}"]
    a2c = train(compose, "a2c", 5, *both)
    ppo = train(compose, "ppo", 5, *both, "algo.n_epochs=1", "algo.batch_size=24")
    start = train(compose, "a2c", 0, *both)
    assert np.abs(a2c - start).max() > 1e-2
    np.testing.assert_allclose(a2c, ppo, rtol=1e-3, atol=1e-4)


def test_kernels_agree(compose: Any) -> None:
    """Over updates of both, normalised advantages included."""
    torch_, numpy = (
        train(compose, "a2c", 4, *PLAIN, "algo.normalize_advantage=true", f"kernels={kernels}")
        for kernels in ("torch", "numpy")
    )
    np.testing.assert_allclose(torch_, numpy, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kernels", ["torch", "numpy"])
def test_the_loss_by_hand(compose: Any, kernels: str) -> None:
    algorithm, _ = build(
        compose,
        "a2c",
        "algo.vf_coef=0.25",
        f"kernels={kernels}",
    )
    networks = algorithm.policy.networks
    with torch.no_grad():
        for net, bias in ((networks.actor, [np.log(3.0), 0.0]), (networks.critic, [2.0])):
            net[-1].weight.zero_()
            net[-1].bias.copy_(torch.tensor(bias))
    algorithm.learner.ent_coef = 0.1
    algorithm.learner.begin()
    terms = algorithm.learner.step(
        np.zeros((2, 4), np.float32),
        np.array([0, 1]),
        np.array([1.0, -2.0], np.float32),
        np.array([3.0, 0.0], np.float32),
    )
    # π = (3/4, 1/4), V = 2: −(1·ln ¾ − 2·ln ¼)/2, ((2 − 3)² + 2²)/2, −H
    policy = -(np.log(0.75) - 2 * np.log(0.25)) / 2
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    expected = (policy - 0.1 * entropy + 0.25 * 2.5, policy, 2.5, -entropy)
    assert [float(t) for t in terms] == pytest.approx(expected, rel=1e-5)


def test_the_advantage_is_the_n_step_return_less_the_value(compose: Any) -> None:
    algorithm, sampler = build(
        compose, "a2c", *PLAIN, "algo.gamma=0.5", "algo.normalize_reward=false"
    )
    sampler.collect(algorithm.horizon, Progress(1000), lambda: False)
    rollout = algorithm.memory
    assert not (rollout.terminated | rollout.truncated)[:, 0].any()
    advantages, returns, values = algorithm.advantages()  # of the first environment first
    last = algorithm.policy.actor.value(algorithm.policy.inputs.array(rollout.successor))[0]
    # CartPole pays 1 a step: 1 + ½ + … + 2⁻⁷, and 2⁻⁸ V
    assert returns[0] == pytest.approx(2 - 2**-7 + 2**-8 * last, rel=1e-5)
    assert advantages[0] == pytest.approx(returns[0] - rollout.extras["value"][0, 0])
    assert values[0] == rollout.extras["value"][0, 0]


def test_one_step_an_update(compose: Any) -> None:
    algorithm, sampler = build(compose, "a2c")
    progress = Progress(1000)
    for _ in range(3):
        sampler.collect(algorithm.horizon, progress, lambda: False)
        metrics = algorithm.update(progress)
    assert progress.updates == 3
    assert metrics["train/learning_rate"] == pytest.approx(7e-4 * (1 - 48 / 1000))
