"""`rltrain record`: what was played, as others read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from rltrain import cli
from rltrain.core.errors import UserError
from rltrain.envs.make import make_env
from rltrain.memory.dataset import read
from rltrain.reports import record, score
from rltrain.training import session
from tests.conftest import small

pytest.importorskip("minari")


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))


def trained(compose: Any, *more: str) -> Path:
    overrides = ("eval.every=0", "run_name=a", *more)
    folder: Path = session.start(compose(*small("ppo", *overrides))).folder
    return folder


def episodes(dataset_id: str) -> list[Any]:
    import minari

    return list(minari.load_dataset(dataset_id))


def test_the_episodes_are_those_of_eval(
    compose: Any, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(compose)
    assert cli.run(["eval", "latest", "episodes=5", "seed=3"]) == 0
    evaluated = capsys.readouterr().out
    assert cli.run(["record", "latest", "dataset=xx/y-v0", "episodes=5", "seed=3"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(evaluated)
    assert str(in_tmp / "datasets/xx/y-v0") in printed
    found = episodes("xx/y-v0")
    assert len(found) == 5
    mean = np.mean([e.rewards.sum() for e in found])
    assert f"return    {mean:.2f} ±" in printed
    assert f"dataset   xx/y-v0, 5 episodes, {sum(len(e.rewards) for e in found)} steps" in printed


def test_the_environment_plays_what_was_recorded(compose: Any, in_tmp: Path) -> None:
    """Each recorded action, from each recorded state, leads to the next one."""
    import minari

    trained(compose)
    record.record("latest", {"dataset": "xx/y-v0", "episodes": 3})
    data = minari.load_dataset("xx/y-v0")
    env: Any = data.recover_environment()
    assert env.spec.id == "CartPole-v1"
    env.reset(seed=0)
    for episode in data:
        assert len(episode.observations) == len(episode.actions) + 1
        for t, action in enumerate(episode.actions):
            env.reset()
            env.unwrapped.state = episode.observations[t].astype(np.float64)
            obs, reward, terminated, _, _ = env.step(action)
            assert obs == pytest.approx(episode.observations[t + 1], abs=1e-5)
            assert reward == episode.rewards[t]
            assert terminated == episode.terminations[t]
    assert len(read("xx/y-v0", data.observation_space, data.action_space)) == data.total_steps


def test_it_is_the_same_again_and_other_with_another_seed(compose: Any, in_tmp: Path) -> None:
    trained(compose)
    for name, seed in (("a-v0", 0), ("b-v0", 0), ("c-v0", 1)):
        record.record("latest", {"dataset": name, "episodes": 2, "seed": seed})
    env = gym.make("CartPole-v1")
    a, b, c = (
        read(f"{n}-v0", env.observation_space, env.action_space).sha256 for n in ("a", "b", "c")
    )
    assert a == b != c


def test_what_the_evaluation_cuts_is_truncated(compose: Any, in_tmp: Path) -> None:
    pendulum = ("env=Pendulum-v1", "env.max_episode_steps=7")
    trained(compose, *pendulum)
    record.record("latest", {"dataset": "p-v0", "episodes": 2, "deterministic": False})
    for episode in episodes("p-v0"):
        assert episode.truncations.tolist() == [False] * 6 + [True]
        assert not episode.terminations.any()
        assert np.abs(episode.actions).max() <= 2
        assert episode.actions.dtype == np.float32


def test_an_environment_held_by_its_class_is_named_in_the_file(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import minari

    (in_tmp / "held.py").write_text(
        "import gymnasium as gym\n"
        "from gymnasium.envs.classic_control import CartPoleEnv\n"
        "class Held(CartPoleEnv): pass\n"
        "gym.register('Held-v0', entry_point=Held, max_episode_steps=9)\n"
    )
    monkeypatch.syspath_prepend(str(in_tmp))
    trained(compose, "env=held:Held-v0")
    record.record("latest", {"dataset": "h-v0", "episodes": 2})
    env: Any = minari.load_dataset("h-v0").recover_environment()
    assert type(env.unwrapped).__name__ == "Held"
    assert env.spec.max_episode_steps == 9


def test_observations_of_several_parts(compose: Any, in_tmp: Path) -> None:
    import minari

    every = ("env=rltrain.envs.sights:rltrain/EverySight-v0", "env.kwargs.length=3")
    trained(compose, *every, "env.drop_keys=[inner]")
    record.record("latest", {"dataset": "e-v0", "episodes": 3})
    data = minari.load_dataset("e-v0")
    found = [e.observations["camera"] for e in data]
    assert [pictures.shape for pictures in found] == [(4, 10, 10, 3)] * 3
    assert {255} == {pictures.max() for pictures in found}  # as they were seen, without loss
    env: Any = data.recover_environment()
    assert env.observation_space == data.observation_space
    assert list(env.reset()[0]) == ["camera"]
    assert env.unwrapped.length == 3
    trained(compose, *every, "run_name=b")
    record.record("latest", {"dataset": "f-v0", "episodes": 2})
    texts = minari.load_dataset("f-v0")[0].observations["inner"][0]
    assert len(texts) == 4
    assert {t.split()[-1] for t in texts} <= {"left", "right"}


def test_texts_from_end_to_end(
    compose: Any, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The clone of what was recorded plays what it saw; by the commands of a user."""
    words = ("env=rltrain.envs.sights:rltrain/Sight-v0", "env.kwargs.sees=Text")
    trained(compose, *words, "total_timesteps=1440", "algo.learning_rate=0.005")
    assert cli.run(["record", "latest", "dataset=ww/y-v0", "episodes=60"]) == 0
    assert "return    1.00 ± 0.00" in capsys.readouterr().out
    few = ("total_timesteps=1600", "algo.batch_size=32", "algo.learning_rate=0.005")
    quiet = ("tuned=none", "eval.every=0", "logger.console=off", "run_name=clone")
    assert cli.run(["algo=bc", *words, "dataset=ww/y-v0", *few, *quiet]) == 0
    assert cli.run(["eval", "outputs/clone", "episodes=20", "seed=5"]) == 0
    assert "return    1.00 ± 0.00" in capsys.readouterr().out


def test_of_stacks_each_observation_is_recorded_once(compose: Any, in_tmp: Path) -> None:
    import minari

    trained(compose, "env.frame_stack=3")
    record.record("latest", {"dataset": "s-v0", "episodes": 2})
    data = minari.load_dataset("s-v0")
    env: Any = data.recover_environment()
    assert env.observation_space == data.observation_space
    settings, _, _ = score.chosen("latest", {})
    seen: list[Any] = []
    _, _ = score.play(
        settings,
        in_tmp / "outputs/a",
        watch=lambda obs, action, step, ended: seen.append(obs.copy()),
    )
    stacks = read("s-v0", make_env(settings.env).observation_space, data.action_space)
    assert stacks.obs.shape == (data.total_steps, 3, 4)
    first = np.stack([obs[0] for obs in seen])
    length = len(data[0].rewards)
    assert stacks.obs[:length].tolist() == first[:length].tolist()
    assert data[0].observations[:length].tolist() == first[:length, -1].tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Say what to call it"),
        ({"dataset": "xx/y"}, "dataset=xx/y is no id of Minari's"),
        ({"dataset": "xx/y-v0"}, r"dataset=xx/y-v0 is there already .* dataset=xx/y-v1"),
        ({"dataset": "xx/z-v0", "episode": 3}, "Unknown option episode. Did you mean episodes"),
    ],
)
def test_mistakes(compose: Any, in_tmp: Path, options: dict[str, Any], message: str) -> None:
    trained(compose)
    record.record("latest", {"dataset": "xx/y-v0", "episodes": 1})
    with pytest.raises(UserError, match=message):
        record.record("latest", options)


def test_several_agents_are_refused(compose: Any, in_tmp: Path) -> None:
    session.start(compose(*small("iql", "eval.every=0")))
    with pytest.raises(UserError, match="Episodes of several agents cannot be recorded"):
        record.record("latest", {"dataset": "xx/y-v0"})


def test_what_cannot_be_written_leaves_nothing(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import minari

    trained(compose)
    settings, _, _ = score.chosen("latest", {})
    monkeypatch.setattr(
        minari.dataset.minari_storage.MinariStorage,
        "update_metadata",
        lambda *_: (_ for _ in ()).throw(OSError("full")),
    )
    with pytest.raises(UserError, match=r"dataset=xx/y-v0: cannot be written \(full\)"):
        record.write("xx/y-v0", [], settings)
    assert not (in_tmp / "datasets/xx/y-v0").exists()
