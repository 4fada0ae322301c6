from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from rltrain.core.types import Progress
from rltrain.settings.run import build_run
from rltrain.training.build import build_algorithm, build_envs
from rltrain.training.sampler import InlineSampler
from tests.algos.test_sac import KERNELS, say, two_rows
from tests.conftest import small, some
from tests.learning import over_seeds


def build(compose: Any, *overrides: str) -> tuple[Any, InlineSampler]:
    run = build_run(compose(*small("td3", *overrides)))
    envs = build_envs(run)
    algorithm = build_algorithm(run, envs)
    return algorithm, InlineSampler(envs, algorithm, np.random.default_rng(0))


def constant(algorithm: Any, actor: float, critics: list[float]) -> None:
    say(algorithm.policy.actor, actor)
    say(algorithm.target_actor, actor)
    members = [*algorithm.critics.members, *algorithm.targets.members]
    for member, output in zip(members, critics, strict=True):
        say(member, output)


@KERNELS
def test_losses_by_hand(compose: Any, kernels: str) -> None:
    algorithm, _ = build(
        compose, "algo.gamma=0.5", "algo.learning_rate=1e-12", f"kernels={kernels}"
    )
    constant(algorithm, 0.0, [1.0, 2.0, 4.0, 3.0])
    algorithm.learner.begin()
    obs, *rest = two_rows(np.zeros((2, 1), np.float32), np.zeros((2, 1), np.float32))
    loss, value = algorithm.learner.evaluate(obs, *rest)
    # targets 1 + .5 · min(4, 3) = 2.5 and .5, since the second row is terminal
    # errors −1.5 and .5 of Q_1 = 1, −.5 and 1.5 of Q_2 = 2
    assert float(loss) == pytest.approx(0.5 * (1.5**2 + 0.5**2) / 2 + 0.5 * (0.5**2 + 1.5**2) / 2)
    assert float(value) == pytest.approx(1.0)
    assert float(algorithm.learner.improve(obs)) == pytest.approx(-1.0)  # of Q_1, not of the larger


@KERNELS
def test_smoothing_is_clipped_and_stays_within_bounds(compose: Any, kernels: str) -> None:
    overrides = ["algo.target_noise=0.2", "algo.target_noise_clip=0.5", "algo.gamma=1.0"]
    algorithm, _ = build(compose, *overrides, f"kernels={kernels}")
    constant(algorithm, math.atanh(0.8), [0.0, 0.0, 0.0, 0.0])
    with torch.no_grad():  # a target of Q⁻ = a′: one unit that passes a′ + 2 on, less 2
        for member in algorithm.targets.members:
            for layer in (member[0].layers[0], member[0].layers[2], member[1]):
                layer.weight.zero_()
                layer.bias.zero_()
                layer.weight[0, -1 if layer is member[0].layers[0] else 0] = 1.0
            member[0].layers[0].bias[0] = 2.0
            member[1].bias[0] = -2.0
    algorithm.learner.begin()
    noise = np.array([[0.5], [10.0], [-1.0], [-10.0]], np.float32)
    expected = np.array([0.9, 1.0, 0.6, 0.3])  # 0.8 + (.1, .5, −.2, −.5), held below 1
    zeros = np.zeros((4, 3), np.float32)
    none = np.zeros(4, np.float32)
    loss, _ = algorithm.learner.evaluate(zeros, noise * 0, none, none, zeros, noise)
    assert float(loss) == pytest.approx(2 * 0.5 * np.square(expected).mean(), rel=1e-5)


@KERNELS
def test_actor_and_targets_move_with_every_second_step(compose: Any, kernels: str) -> None:
    algorithm, sampler = build(
        compose,
        "env.num_envs=1",
        "algo.train_freq=1",
        "algo.gradient_steps=1",
        f"kernels={kernels}",
    )
    watched = (algorithm.policy.actor, algorithm.targets, algorithm.target_actor)
    progress, moved = Progress(1000), []
    while progress.steps < 26:
        before = [next(m.parameters()).clone() for m in (*watched, algorithm.critics)]
        sampler.collect(1, progress, lambda: False)
        metrics = algorithm.update(progress)
        after = [next(m.parameters()) for m in (*watched, algorithm.critics)]
        changes = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        if progress.steps > 20:
            *others, critics = changes
            assert critics
            assert len(set(others)) == 1
            moved.append(others[0])
            assert ("train/actor_loss" in metrics) is others[0]
    assert moved == [False, True] * 3


@pytest.mark.parametrize("algo", ["td3", "ddpg"])
@pytest.mark.parametrize("noise", ["gaussian", "ornstein_uhlenbeck"])
def test_noise_is_within_bounds(compose: Any, algo: str, noise: str) -> None:
    run = build_run(
        compose(*small(algo), f"exploration={noise}", "exploration.std=5.0", "env.num_envs=50")
    )
    algorithm = build_algorithm(run, build_envs(run))
    policy = algorithm.policy
    policy.warming_up = False
    obs, rng = np.zeros((50, 3), np.float32), np.random.default_rng(0)
    calm, _, _ = policy.act(obs, policy.initial_state(50), False, rng)
    assert np.ptp(calm) == 0
    state = policy.initial_state(50)
    for _ in range(20):
        action, state, _ = policy.act(obs, state, True, rng)
    assert np.abs(action).max() == 2  # Pendulum's
    assert np.ptp(action) > 2
    if noise == "gaussian":
        assert state is None
        return
    ended = np.arange(50) < 25
    assert not policy.restart(state, ended)[:25].any()
    assert policy.restart(state, ended)[25:].all()


@pytest.mark.parametrize("algo", some(["sac", "td3", "ddpg"]))
@over_seeds
def test_bounds_may_differ_by_dimension(
    compose: Any, monkeypatch: pytest.MonkeyPatch, algo: str, seed: int
) -> None:
    """The best action of [0, 8] × [−4, −2] is (6, −3.5)."""
    from gymnasium import spaces

    from rltrain.envs.probes import BestAction

    def step(self: Any, action: Any) -> Any:
        off = (action - np.array([6.0, -3.5])) / np.array([4.0, 1.0])
        return self.observe(), 1 - float(np.square(off).sum()), True, False, {}

    original = BestAction.__init__

    def init(self: Any) -> None:
        original(self, continuous=True)
        self.action_space = spaces.Box(np.array([0, -4], np.float32), np.array([8, -2], np.float32))

    monkeypatch.setattr(BestAction, "step", step)
    monkeypatch.setattr(BestAction, "__init__", init)
    run = build_run(
        compose(
            *small(algo, "algo.learning_rate=0.005", "algo.batch_size=32", "env.num_envs=1"),
            "algo.train_freq=1",
            "algo.gradient_steps=1",
            "algo.buffer_size=2000",
            "algo.learning_starts=200",
            "env=rltrain.envs.probes:rltrain/BestAction-v0",
            f"seed={seed}",
        )
    )
    envs = build_envs(run)
    algorithm = build_algorithm(run, envs)
    sampler = InlineSampler(envs, algorithm, np.random.default_rng(seed))
    progress = Progress(1200)
    while progress.steps < 1200:
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
    action, _, _ = algorithm.policy.act(np.array([[-1]], np.float32), None, False, sampler.rng)
    assert action[0, 0] == pytest.approx(6.0, abs=0.6)
    assert action[0, 1] == pytest.approx(-3.5, abs=0.15)
