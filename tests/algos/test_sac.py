from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from rltrain.core.types import Progress
from rltrain.settings.run import build_run
from rltrain.training import session
from rltrain.training.build import build_algorithm, build_envs
from rltrain.training.sampler import InlineSampler
from tests.conftest import small
from tests.training.test_resume import newest, same

KERNELS = pytest.mark.parametrize("kernels", ["torch", "numpy"])
HALF_LOG_2PI = 0.9189385


def build(compose: Any, *overrides: str) -> tuple[Any, InlineSampler]:
    run = build_run(compose(*small("sac", *overrides)))
    envs = build_envs(run)
    algorithm = build_algorithm(run, envs)
    return algorithm, InlineSampler(envs, algorithm, np.random.default_rng(0))


def say(module: Any, *outputs: float) -> None:
    """Makes a network say the same of everything."""
    with torch.no_grad():
        module[-1].weight.zero_()
        module[-1].bias.copy_(torch.tensor(outputs))


def constant(algorithm: Any, actor: list[float], critics: list[list[float]]) -> None:
    """An actor and two critics, then their two targets, that say the same of everything."""
    say(algorithm.policy.actor, *actor)
    members = [*algorithm.critics.members, *algorithm.targets.members]
    for member, outputs in zip(members, critics, strict=True):
        say(member, *outputs)


def two_rows(action: np.ndarray, noise: np.ndarray, size: int = 3) -> tuple[np.ndarray, ...]:
    return (
        np.zeros((2, size), np.float32),
        action,
        np.array([1.0, 0.5], np.float32),
        np.array([0.0, 1.0], np.float32),
        np.zeros((2, size), np.float32),
        noise,
    )


@KERNELS
def test_losses_by_hand(compose: Any, kernels: str) -> None:
    algorithm, _ = build(
        compose, "algo.gamma=0.5", "algo.learning_rate=1e-12", f"kernels={kernels}"
    )
    constant(algorithm, [0.5, 0.0], [[1.0], [2.0], [3.0], [4.0]])
    with torch.no_grad():
        algorithm.log_ent_coef.fill_(math.log(0.2))
    algorithm.learner.begin()
    # u = 0.5 − 0.5 = 0: tanh is 0 with slope 1, so log π is the Gaussian's: −0.125 − ½ log 2π
    noise = np.full((2, 2, 1), -0.5, np.float32)
    figures = algorithm.learner.step(*two_rows(np.zeros((2, 1), np.float32), noise))
    critic_loss, actor_loss, ent_coef, ent_coef_loss, entropy = map(float, figures)
    assert entropy == pytest.approx(0.125 + HALF_LOG_2PI)
    assert ent_coef == pytest.approx(0.2)
    soft = 3 + 0.2 * (0.125 + HALF_LOG_2PI)  # of the smaller target
    targets = (1 + 0.5 * soft, 0.5)  # the second row is terminal
    by_hand = sum(0.5 * ((q - targets[0]) ** 2 + (q - targets[1]) ** 2) / 2 for q in (1.0, 2.0))
    assert critic_loss == pytest.approx(by_hand)
    assert actor_loss == pytest.approx(-0.2 * entropy - 1.0)  # of the smaller critic
    assert ent_coef_loss == pytest.approx(math.log(0.2) * (entropy + 1))  # H̄ = −1


@KERNELS
def test_discrete_losses_by_hand(compose: Any, kernels: str) -> None:
    overrides = ["env=CartPole-v1", "algo.gamma=0.5", "algo.learning_rate=1e-12"]
    algorithm, _ = build(compose, *overrides, "algo.ent_coef=0.2", f"kernels={kernels}")
    # π = (¼, ¾); smaller targets (3, 1), smaller critics (1, 2)
    constant(algorithm, [0.0, math.log(3)], [[1.0, 4.0], [5.0, 2.0], [3.0, 6.0], [7.0, 1.0]])
    algorithm.learner.begin()
    columns = two_rows(np.array([0, 1]), np.zeros((2, 2, 0), np.float32), 4)
    critic_loss, actor_loss, ent_coef, _, entropy = map(float, algorithm.learner.step(*columns))
    by_hand = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    assert entropy == pytest.approx(by_hand)
    assert ent_coef == pytest.approx(0.2)
    targets = (1 + 0.5 * (0.25 * 3 + 0.75 * 1 + 0.2 * by_hand), 0.5)
    values = ((1.0, 4.0), (5.0, 2.0))  # of the action taken in each row
    loss = sum(0.5 * sum((q - y) ** 2 for q, y in zip(v, targets, strict=True)) / 2 for v in values)
    assert critic_loss == pytest.approx(loss)
    assert actor_loss == pytest.approx(-0.2 * by_hand - (0.25 * 1 + 0.75 * 2))


@KERNELS
@pytest.mark.parametrize(("target", "sign"), [(-1.0, -1), (3.0, 1)])
def test_temperature_moves_entropy_to_its_target(
    compose: Any, kernels: str, target: float, sign: int
) -> None:
    algorithm, _ = build(compose, f"algo.target_entropy={target}", f"kernels={kernels}")
    constant(algorithm, [0.5, 0.0], [[1.0], [2.0], [3.0], [4.0]])
    algorithm.learner.begin()
    noise = np.full((2, 2, 1), -0.5, np.float32)  # an entropy of 1.04
    algorithm.learner.step(*two_rows(np.zeros((2, 1), np.float32), noise))
    rate = algorithm.settings.learning_rate
    assert float(algorithm.log_ent_coef.detach()) == pytest.approx(sign * rate, rel=1e-3)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["env=Pendulum-v1"], -1.0),
        (["env=CartPole-v1", "algo.target_entropy_share=0.5"], 0.5 * math.log(2)),
        (["env=Pendulum-v1", "algo.target_entropy=-3.5"], -3.5),
    ],
)
def test_target_entropy(compose: Any, overrides: list[str], expected: float) -> None:
    algorithm, _ = build(compose, *overrides)
    assert algorithm.learner.target_entropy == pytest.approx(expected)


@KERNELS
def test_a_fixed_temperature_stays(compose: Any, kernels: str) -> None:
    algorithm, sampler = build(compose, "algo.ent_coef=0.3", f"kernels={kernels}")
    progress = Progress(1000)
    while progress.steps < 48:
        sampler.collect(algorithm.horizon, progress, lambda: False)
        metrics = algorithm.update(progress)
    assert algorithm.ent_coef_optimizer is None
    assert float(metrics["train/ent_coef"]) == pytest.approx(0.3)
    assert "train/ent_coef_loss" not in metrics


@KERNELS
def test_targets_follow(compose: Any, kernels: str) -> None:
    algorithm, _ = build(compose, "algo.tau=0.25", "algo.learning_rate=1e-12", f"kernels={kernels}")
    constant(algorithm, [0.5, 0.0], [[8.0], [8.0], [4.0], [4.0]])
    algorithm.learner.begin()
    noise = np.zeros((2, 2, 1), np.float32)
    algorithm.learner.step(*two_rows(np.zeros((2, 1), np.float32), noise))
    for member in algorithm.targets.members:
        assert member[-1].bias.item() == pytest.approx(5.0)


def test_the_actors_loss_gives_the_critics_no_gradient(compose: Any) -> None:
    algorithm, _ = build(compose, "kernels=torch")
    learner = algorithm.learner
    noise = np.zeros((2, 2, 1), np.float32)
    columns = two_rows(np.zeros((2, 1), np.float32), noise)
    given: dict[int, list[torch.Tensor]] = {}
    for p in algorithm.critics.parameters():
        p.register_hook(lambda g, p=p: given.setdefault(id(p), []).append(g))
    learner.step(*columns)
    assert len(given) == len(list(algorithm.critics.parameters()))
    assert all(len(seen) == 1 for seen in given.values())  # of their own loss


def test_warm_up_is_uniform_within_bounds(compose: Any) -> None:
    algorithm, sampler = build(compose, "env.num_envs=500", "algo.learning_starts=600")
    obs = np.zeros((500, 3), np.float32)
    action, _, _ = algorithm.policy.act(obs, None, True, np.random.default_rng(0))
    assert action.min() < -1.9
    assert action.max() > 1.9
    assert abs(action.mean()) < 0.2
    assert (np.abs(action) <= 2).all()
    progress = Progress(10_000)
    for _ in range(2):
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
    assert not algorithm.policy.warming_up


@pytest.mark.parametrize("num_envs", [1, 2, 3])
def test_trainings_are_counted_in_environment_steps(compose: Any, num_envs: int) -> None:
    algorithm, sampler = build(compose, f"env.num_envs={num_envs}")
    progress = Progress(10_000)
    while progress.steps < 120:
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
    assert progress.updates == 3 * (progress.steps // 8 - 20 // 8)


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_resumed_with_either_kind_of_action(compose: Any, in_tmp: Any, env: str) -> None:
    command = small("sac", f"env={env}", "algo.normalize_obs=true")
    whole = session.start(compose(*command, "run_name=whole")).folder
    other = session.start(compose(*command, "run_name=other")).folder
    session.resume(other, sorted((other / "checkpoints").glob("step_*"))[0], {})
    same(whole, other)
    assert newest(whole).content["progress"]["updates"] > 0
