"""Methods with replay learn from a dataset beside their own steps, and resume exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from rltrain.core.errors import UserError
from rltrain.core.state import digest
from rltrain.memory.recorded import as_rows
from rltrain.settings import registry
from rltrain.settings.run import build_run
from rltrain.training import checkpoint, session
from tests import datasets
from tests.algos.test_probes import LEARN, learn, observation, trained, value
from tests.conftest import fitting_env, small, some
from tests.learning import over_seeds
from tests.training.test_resume import newest, resume_in_new_process, same, stop_after
from tests.training.test_workers import same as same_but_for_workers

BESIDE = sorted(e.name for e in registry.entries("algo").values() if e.data == "beside")
CHOICES = [*BESIDE, "rlpd"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))


def test_replay_is_what_takes_one() -> None:
    assert BESIDE == ["ddpg", "dqn", "sac", "td3"]


@pytest.mark.parametrize("algo", some(BESIDE))
@pytest.mark.parametrize(("share", "expected"), [(0.5, 2.0), (1.0, 3.0)])
@over_seeds
def test_values_are_those_of_the_mixture(
    compose: Any, algo: str, share: float, expected: float, seed: int
) -> None:
    """The environment's one step is worth 1, the recorded one 3."""
    continuous = "Box" in registry.entry("algo", algo).actions
    env = gym.make("rltrain.envs.probes:rltrain/OneStep-v0", continuous=continuous)
    env.action_space.seed(0)
    obs = np.tile(env.reset()[0], (100, 1))
    actions = np.stack([env.action_space.sample() for _ in obs])
    datasets.write("three-v0", env, datasets.one_step_episodes(obs, actions, [3.0] * 100))
    more = ["dataset=three-v0", f"dataset_share={share}", "algo.batch_size=32"]
    steps = 0.4 if share == 1 else 1.0  # nothing has to be found out
    algorithm, discrete = learn(compose, algo, "OneStep", more, steps, seed, continuous=continuous)
    found = value(algorithm, observation(0, discrete))
    assert found == pytest.approx(expected, rel=0.25)


EVERY = "rltrain.envs.sights:rltrain/EverySight-v0"


@pytest.mark.parametrize(
    ("algo", "more", "expected"),
    [("dqn", [], 3.0), ("dqn", ["env.clip_reward=true"], 1.0), ("sac", [], 3.0)],
)
@over_seeds
def test_observations_of_several_parts_are_drawn_from_it(
    compose: Any, algo: str, more: list[str], expected: float, seed: int
) -> None:
    """A picture, a text and numbers, in nested parts: a recorded step is worth 3, an own one 1
    at most."""
    env = gym.make(EVERY, continuous=algo == "sac")
    env.action_space.seed(0)
    episodes = datasets.right(env, 50)
    three = [(obs, [env.action_space.sample()], [3.0], True) for obs, *_ in episodes]
    datasets.write("three-v0", env, three)
    _, overrides = LEARN[algo]
    given = [
        "algo.learning_starts=20",
        "dataset=three-v0",
        "dataset_share=1",
        f"env.kwargs.continuous={algo == 'sac'}",
        f"seed={seed}",
    ]
    run = build_run(
        compose(f"algo={algo}", f"env={EVERY}", "tuned=none", *overrides, *given, *more)
    )
    algorithm = trained(run, 120)
    rows = as_rows(datasets.columns(env.observation_space, [env.reset()[0]]), env.observation_space)
    assert value(algorithm, rows) == pytest.approx(expected, rel=0.15)


def tiny(algo: str, *more: str) -> list[str]:
    env = "Pendulum-v1" if algo == "sac" else fitting_env(algo)
    data = [] if algo == "rlpd" else [f"dataset={datasets.random_play(env)}"]
    return small(algo, *data, *more)


@pytest.mark.parametrize("algo", some(CHOICES))
def test_stopped_and_resumed_in_a_new_process(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, algo: str
) -> None:
    whole = session.start(compose(*tiny(algo), "run_name=whole")).folder
    stop_after(110, monkeypatch)
    with pytest.raises(session.Interrupted):
        session.start(compose(*tiny(algo), "run_name=stopped"))
    folder = in_tmp / "outputs" / "stopped"
    resume_in_new_process(folder)
    same(in_tmp / whole, folder)


def test_the_share_of_rlpd_is_a_half(compose: Any, in_tmp: Path) -> None:
    found = []
    for share in ([], ["dataset_share=0.5"], ["dataset_share=0.25"]):
        folder = session.start(compose(*tiny("rlpd", *share))).folder
        found.append(digest(newest(folder).content["policy"]))
    assert found[0] == found[1] != found[2]


def test_worker_processes_give_the_same_numbers(compose: Any, in_tmp: Path) -> None:
    a = session.start(compose(*tiny("dqn"), "run_name=a")).folder
    more = ("sampler=processes", "num_workers=2")
    b = session.start(compose(*tiny("dqn", *more), "run_name=b")).folder
    same_but_for_workers(a, b)


def test_a_checkpoint_holds_no_row_and_refuses_other_data(compose: Any, in_tmp: Path) -> None:
    folder = session.start(compose(*tiny("dqn"))).folder
    memory = newest(folder).content["algorithm"]["memory"]
    assert set(memory) == {"own", "dataset"}
    assert len(memory["own"]["columns"]["obs"]) == 64
    Path("datasets/random").rename("datasets/away")
    env = gym.make("CartPole-v1")
    datasets.write("random/cartpole-v1", env, datasets.play(env, 8, seed=1))
    with pytest.raises(UserError, match=r"dataset=random/cartpole-v1 is not what it was"):
        session.resume(folder, None, {"total_timesteps": 400})


@pytest.mark.parametrize("stack", [1, 3])
def test_n_steps_of_the_recorded_part_too(compose: Any, in_tmp: Path, stack: int) -> None:
    command = tiny("dqn", "algo.n_steps=3", f"env.frame_stack={stack}")
    a = session.start(compose(*command, "run_name=a")).folder
    b = session.start(compose(*command, "run_name=b")).folder
    same(a, b)
    file = sorted((b / "checkpoints").glob("step_*"))[0]
    assert checkpoint.read(file).step < 192
    session.resume(b, file, {})
    same(a, b)


def test_observations_are_scaled_by_the_moments_of_both(compose: Any, in_tmp: Path) -> None:
    folder = session.start(compose(*tiny("dqn", "algo.normalize_obs=true"))).folder
    content = newest(folder).content
    recorded = 174  # steps of the dataset
    assert content["policy"]["inputs"]["moments"]["count"] == recorded + 192


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["algo=d3qn"], r"dataset=a-v0: algo.prioritized=true gives a dataset no priorities"),
        (["algo=dqn", "intrinsic=rnd"], r"intrinsic=rnd: the rewards in dataset=a-v0"),
        (["algo=ppo"], r"dataset=a-v0: algo=ppo learns .* bc, ddpg, dqn, sac, td3"),
    ],
)
def test_what_is_not_supported_is_refused(compose: Any, overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_run(compose("env=CartPole-v1", "tuned=none", "dataset=a-v0", *overrides))


def test_a_network_with_memory_takes_none(compose: Any) -> None:
    with pytest.raises(UserError, match=r"^dataset=random/cartpole-v1: a recurrent network"):
        build_run(compose(*tiny("dqn", "network=lstm")))


def test_rlpd_asks_for_a_dataset(compose: Any) -> None:
    with pytest.raises(UserError, match=r"^dataset: name one to learn from"):
        build_run(compose("algo=rlpd", "env=Pendulum-v1"))
