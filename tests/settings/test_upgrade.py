"""What has come since a run was made is filled in with what the run did; the rest is left."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from rltrain.core.errors import UserError
from rltrain.settings.run import build_run
from rltrain.settings.schema import by_path, show
from rltrain.settings.upgrade import BEFORE, upgraded


@pytest.fixture
def ppo(compose: Any) -> dict[str, Any]:
    values: dict[str, Any] = compose("algo=ppo", "env=CartPole-v1", "tuned=none")
    return values


def without(values: dict[str, Any], *paths: str) -> dict[str, Any]:
    """A copy of values that lacks dotted keys, or whole groups."""
    left = copy.deepcopy(values)
    for path in paths:
        *parents, name = path.split(".")
        node = left
        for parent in parents:
            node = node[parent]
        del node[name]
    return left


def test_a_configuration_of_today_stays_as_it_is(ppo: dict[str, Any]) -> None:
    before = copy.deepcopy(ppo)
    assert upgraded(ppo) == (before, "")
    assert ppo == before


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["ema"], "ema=null"),
        (["algo.objective"], "algo.objective=clip"),
        (["network.shared", "optimizer.warmup"], "network.shared=false, optimizer.warmup=0.0"),
        (["env.frame_stack", "env.batched"], "env.batched=true, env.frame_stack=1"),
        (["eval.stop_at"], "eval.stop_at=null"),
        (["augment", "intrinsic"], "augment.name=none, intrinsic.name=none"),
        (["exploration"], "exploration.name=none"),
        (["logger.csv"], "logger.csv=true"),
    ],
)
def test_what_is_missing_has_the_default_and_is_named(
    ppo: dict[str, Any], paths: list[str], said: str
) -> None:
    new, words = upgraded(without(ppo, *paths))
    assert new == ppo
    assert words == said


def test_values_of_the_run_are_left(compose: Any) -> None:
    values = compose("algo=ppo", "env=CartPole-v1", "algo.gamma=0.5", "network.hidden_sizes=[7]")
    new, _ = upgraded(without(values, "algo.objective", "network.shared"))
    assert new == values


def test_defaults_are_of_the_choices_that_the_run_made(compose: Any) -> None:
    values = compose("algo=rainbow", "env=CartPole-v1", "network=simba", "optimizer=sgd")
    new, words = upgraded(without(values, "algo.n_atoms", "network.blocks", "optimizer.momentum"))
    assert new == values
    filled = ["algo.n_atoms=51", "network.blocks=2", "optimizer.momentum=0.0"]
    assert sorted(words.split(", ")) == filled


@pytest.mark.parametrize(("path", "value"), BEFORE.items())
def test_what_a_default_does_not_do_has_the_value_of_before(
    ppo: dict[str, Any], path: str, value: Any
) -> None:
    new, words = upgraded(without(ppo, path))
    assert by_path(ppo)[path] != by_path(new)[path] == value
    assert words == f"{path}={show(value)}"
    build_run(new)


def test_a_file_of_the_working_directory_is_no_default_of_an_earlier_run(
    ppo: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs" / "network").mkdir(parents=True)
    (tmp_path / "configs" / "network" / "mlp.yaml").write_text("name: mlp\nlayer_norm: true\n")
    assert upgraded(without(ppo, "network.layer_norm"))[0] == ppo


@pytest.mark.parametrize("algo", ["ppo", "a2c", "reinforce"])
def test_the_weight_of_the_entropy_bonus_moves(compose: Any, algo: str) -> None:
    values = compose(
        f"algo={algo}",
        "env=CartPole-v1",
        "tuned=none",
        "exploration=entropy",
        "exploration.ent_coef=0.02",
        "exploration.final_ent_coef=0.02",
    )
    old = values | {
        "algo": values["algo"] | {"ent_coef": 0.02},
        "exploration": {"name": "none"},
    }
    new, words = upgraded(old)
    assert new == values
    assert "exploration.name=entropy, exploration.ent_coef=0.02" in words
    assert words.endswith(", no algo.ent_coef")
    assert upgraded(without(old, "exploration"))[0] == values


def test_no_weight_of_the_entropy_bonus_is_no_exploration(ppo: dict[str, Any]) -> None:
    old = ppo | {"algo": ppo["algo"] | {"ent_coef": 0.0}}
    assert upgraded(old) == (ppo, "no algo.ent_coef")
    assert upgraded(without(old, "exploration"))[0] == ppo


def test_the_temperature_of_sac_stays(compose: Any) -> None:
    values = compose("algo=sac", "env=Pendulum-v1", "tuned=none", "algo.ent_coef=0.2")
    assert upgraded(values) == (values, "")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("algo.gama", r"Unknown key algo\.gama\. Did you mean algo\.gamma"),
        ("total_timestep", r"Unknown key total_timestep\. Did you mean total_timesteps"),
    ],
)
def test_what_is_not_known_is_refused_as_ever(ppo: dict[str, Any], path: str, message: str) -> None:
    group, _, name = path.rpartition(".")
    old = without(ppo, "ema")
    (old[group] if group else old)[name] = 1
    with pytest.raises(UserError, match=message):
        build_run(upgraded(old)[0])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("env.id", "env: choose an environment"),
        ("algo", "algo: nothing is chosen"),
        ("network.name", "network: nothing is chosen"),
        ("env.num_envs", r"Missing key env\.num_envs"),
    ],
)
def test_what_has_no_default_is_missing_as_ever(
    ppo: dict[str, Any], path: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build_run(upgraded(without(ppo, path))[0])


def test_an_emulator_that_skipped_frames_itself_is_not_what_it_was(ppo: dict[str, Any]) -> None:
    old = without(ppo, "env.frame_skip", "env.noop_max")
    old["env"]["id"] = "ALE/Pong-v5"
    new, words = upgraded(old)
    assert words == "env.noop_max=0"
    with pytest.raises(UserError, match=r"Missing key env\.frame_skip"):
        build_run(new)


def test_a_choice_that_there_is_not_names_the_nearest(ppo: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"network=mpl is not known\. Did you mean mlp"):
        upgraded(ppo | {"network": {"name": "mpl"}})
