"""What is seldom seen is rewarded; any algorithm can use it, and it resumes exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rltrain.core.types import Progress
from rltrain.intrinsic.curious import Curious
from rltrain.networks.pictures import Picture
from rltrain.settings.run import build_run
from rltrain.training import checkpoint, session
from rltrain.training.build import build_algorithm, build_envs
from tests.algos.test_base import build
from tests.conftest import ALONE, STEPPING, small, some
from tests.training.test_resume import same


def curious(compose: Any, *overrides: str) -> Curious:
    keys = ["intrinsic=rnd", "intrinsic.learning_rate=0.01", "intrinsic.warmup=2"]
    command = small("ppo", *keys, *overrides)
    run = build_run(compose(*command))
    algorithm = build_algorithm(run, build_envs(run))
    assert isinstance(algorithm, Curious)
    return algorithm


def see(rnd: Any, obs: np.ndarray, times: int) -> np.ndarray:
    for _ in range(times):
        rnd.reward(obs)
        rnd.update()
    return rnd.reward(obs)


@pytest.mark.parametrize("kernels", ["numpy", "torch"])
def test_what_was_seen_is_rewarded_less_than_what_was_not(compose: Any, kernels: str) -> None:
    rnd = curious(compose, f"kernels={kernels}").intrinsic
    rng = np.random.default_rng(0)
    here, there = rng.normal(size=(2, 3, 4)).astype(np.float32)
    assert not rnd.reward(np.concatenate([here, there])).any()  # begins the statistics
    rnd.running = np.zeros(6)
    rnd.update()
    rnd.running = np.zeros(3)
    first = rnd.reward(np.concatenate([here, there]))
    assert (first > 0).all()
    rnd.seen, rnd.errors = [], []
    see(rnd, here, 300)
    rnd.seen, rnd.errors = [], []
    known, new = rnd.reward(here), rnd.reward(there)
    assert known.max() < 0.2 * new.min()


def test_rewards_are_divided_by_the_deviation_of_their_discounted_sum(compose: Any) -> None:
    rnd = curious(compose, "intrinsic.coef=0.5").intrinsic
    obs = np.random.default_rng(0).normal(size=(4, 3, 4)).astype(np.float32)
    assert not np.any([rnd.reward(o) for o in obs])  # no statistics yet
    flat = obs.reshape(12, 4).astype(np.float64)
    x = torch.from_numpy((obs - flat.mean(0)) / flat.std(0)).float()
    with torch.no_grad():
        errors = (rnd.predictor(x) - rnd.target(x)).square().mean(-1).numpy()
    sums = [np.zeros(3)]
    for error in errors:
        sums.append(0.99 * sums[-1] + error)
    rnd.update()
    assert float(rnd.moments.var) == pytest.approx(np.var(sums[1:]), rel=1e-4)
    again = rnd.reward(obs[0])
    assert again == pytest.approx(0.5 * rnd.errors[-1] / np.std(sums[1:]), rel=1e-4)


def test_observations_far_off_count_as_five_deviations(compose: Any) -> None:
    rnd = curious(compose).intrinsic
    rnd.reward(np.array([[-1.0] * 4, [1.0] * 4, [0.0] * 4], np.float32))
    rnd.update()
    far = rnd.reward(np.full((3, 4), 5 * np.sqrt(2 / 3), np.float32))  # the deviation is √(2/3)
    assert far == pytest.approx(rnd.reward(np.full((3, 4), 1e6, np.float32)), rel=1e-4)
    assert far != pytest.approx(rnd.reward(np.full((3, 4), 3.0, np.float32)), rel=1e-4)


@pytest.mark.parametrize("algo", some(a for a in ALONE if a in STEPPING))
@pytest.mark.parametrize("num_envs", [1, 4])
def test_no_reward_is_large_however_short_the_horizon(
    compose: Any, algo: str, num_envs: int
) -> None:
    """An error is far below the deviation of its sum over 1 / (1 − γ) = 100 steps."""
    keys = ["intrinsic=rnd", "intrinsic.warmup=100", "total_timesteps=100000"]
    algorithm, sampler = build(compose, algo, *keys, f"env.num_envs={num_envs}")
    rnd, found = algorithm.intrinsic, []
    reward = rnd.reward
    rnd.reward = lambda successor: (found.append(reward(successor)), found[-1])[1]
    progress = Progress(100_000)
    while progress.steps < 300:
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
    bonus = np.concatenate(found)
    assert not bonus[:100].any()
    assert bonus.any()
    assert bonus.max() < 3


def test_a_reward_is_bounded(compose: Any) -> None:
    rnd = curious(compose, "intrinsic.coef=0.5").intrinsic
    rnd.moments.update(np.zeros(100))  # a deviation of 0
    assert rnd.reward(np.ones((3, 4), np.float32)) == pytest.approx(5.0)


def test_the_memory_sees_both_rewards_and_the_target_never_moves(compose: Any) -> None:
    algorithm = curious(compose)
    before = {k: v.clone() for k, v in algorithm.intrinsic.target.state_dict().items()}
    see(algorithm.intrinsic, np.ones((3, 4), np.float32), 5)
    after = algorithm.intrinsic.target.state_dict()
    assert all(bool((before[k] == after[k]).all()) for k in before)


@pytest.mark.parametrize("algo", some(a for a in ALONE if a in STEPPING))
def test_every_algorithm_learns_and_resumes_with_it(compose: Any, in_tmp: Path, algo: str) -> None:
    command = small(algo, "intrinsic=rnd", "intrinsic.warmup=30")
    a = session.start(compose(*command, "run_name=a")).folder
    b = session.start(compose(*command, "run_name=b")).folder
    same(a, b)
    file = sorted((b / "checkpoints").glob("step_*"))[0]
    assert checkpoint.read(file).step < 192
    session.resume(b, file, {})
    same(a, b)
    without = session.start(compose(*small(algo), "run_name=c")).folder
    with pytest.raises(AssertionError):
        same(a, without)


def test_worker_processes_give_the_same_numbers(compose: Any, in_tmp: Path) -> None:
    from tests.training.test_workers import same as same_but_for_workers

    command = small("ppo", "intrinsic=rnd", "intrinsic.warmup=30", "num_workers=2")
    a = session.start(compose(*command, "run_name=a")).folder
    b = session.start(compose(*command, "run_name=b", "sampler=processes")).folder
    same_but_for_workers(a, b)


def test_pictures_are_normalised_for_its_networks(compose: Any) -> None:
    """One that a small change of light sets apart counts as far off, as page and paper say."""
    algorithm, _ = build(
        compose, "ppo", "env=rltrain.envs.sights:rltrain/Sight-v0", "intrinsic=rnd"
    )
    rnd = algorithm.intrinsic
    pictures = np.random.default_rng(0).integers(0, 3, (30, 10, 10, 3)).astype(np.uint8)
    rnd.inputs.observe(pictures)
    x = rnd.inputs.array(pictures)
    assert x.dtype == np.float32
    assert x.std(0) == pytest.approx(1.0, abs=1e-4)
    parts = [m for m in rnd.predictor.modules() if isinstance(m, Picture)]
    assert [part.scale for part in parts] == [1.0]
