from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rltrain import config, overrides
from rltrain.core.errors import UserError
from rltrain.settings.run import build_run
from rltrain.sweeps import slug


@pytest.mark.parametrize("env_id", ["Acrobot-v1", "my_package:MyEnv-v0", "FrozenLake8x8-v1"])
def test_any_id_is_a_choice_without_a_yaml(compose: Any, env_id: str) -> None:
    run = build_run(compose(f"env={env_id}", "env.kwargs.gravity=5", "env.num_envs=3"))
    assert (run.env.id, run.env.kwargs, run.env.num_envs) == (env_id, {"gravity": 5}, 3)


def test_a_namespace_is_no_obstacle(compose: Any) -> None:
    pytest.importorskip("ale_py")
    assert build_run(compose("env=ALE/Pong-v5")).env.id == "ALE/Pong-v5"


def yaml_env(folder: Path, name: str, num_envs: int) -> None:
    (folder / "env").mkdir(parents=True)
    text = f"defaults: [base]\nid: CartPole-v1\nnum_envs: {num_envs}\n"
    (folder / "env" / f"{name}.yaml").write_text(text)


def test_a_yaml_of_the_same_name_wins_in_the_working_directory(in_tmp: Path, compose: Any) -> None:
    yaml_env(in_tmp / "configs", "CartPole-v1", 3)
    assert build_run(compose("env=CartPole-v1", "tuned=none")).env.num_envs == 3


def run_cli(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setattr("sys.argv", ["rltrain"])
    return config.run_hydra(list(arguments), lambda values, folder: None).values


def test_a_yaml_of_the_same_name_wins_in_config_dir(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yaml_env(in_tmp / "mine", "CartPole-v1", 5)
    values = run_cli(monkeypatch, "--config-dir", "mine", "env=CartPole-v1", "tuned=none")
    assert values["env"]["num_envs"] == 5


def test_a_yaml_of_the_same_name_wins_in_the_search_path(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yaml_env(in_tmp / "mine", "CartPole-v1", 6)
    values = run_cli(
        monkeypatch, f"hydra.searchpath=[file://{in_tmp}/mine]", "env=CartPole-v1", "tuned=none"
    )
    assert values["env"]["num_envs"] == 6


def test_a_folder_of_ones_own_adds_choices(in_tmp: Path, compose: Any) -> None:
    (in_tmp / "configs" / "network").mkdir(parents=True)
    text = "defaults: [mlp, _self_]\nhidden_sizes: [7]\n"
    (in_tmp / "configs" / "network" / "tiny.yaml").write_text(text)
    (in_tmp / "configs" / "tuned" / "ppo").mkdir(parents=True)
    preset = "# @package _global_\nalgo:\n  gamma: 0.5\n"
    (in_tmp / "configs" / "tuned" / "ppo" / "MountainCar-v0.yaml").write_text(preset)
    run = build_run(compose("env=MountainCar-v0", "network=tiny"))
    assert (run.network.hidden_sizes, run.algo.gamma, run.tuned) == (
        (7,),
        0.5,
        "ppo/MountainCar-v0",
    )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["env=CartPol-v1"], r"env=CartPol-v1: there is no such environment\. Did you mean Cart"),
        (["env=CartPole"], r"Did you mean CartPole-v0 or CartPole-v1\?"),
        (["algo=pppo", "env=CartPole-v1"], r"algo=pppo is not known\. Did you mean ppo or ippo\?"),
        (["env=CartPole-v1", "algo.gama=1"], r"Unknown key algo\.gama\. Did you mean algo\.gamma"),
        (["env=CartPole-v1", "seeed=1"], r"Unknown key seeed\. Did you mean seed\?"),
        (["env=CartPole-v1", "algoo=ppo"], r"Unknown key algoo\. Did you mean algo\?"),
        (["env=CartPole-v1", "~algo.gama"], r"Unknown key algo\.gama"),
        (["env=[a"], r"env=\[a cannot be read\. As a list: 'env=\[a\]'"),
        (["env=CartPole-v1", "tuned=foo"], r"tuned=foo is not known"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_explained(compose: Any, overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        compose(*overrides)
    assert "+" not in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_a_plus_does_not_hide_a_typo(compose: Any) -> None:
    with pytest.raises(UserError, match=r"Unknown key algo\.gama\. Did you mean algo\.gamma"):
        build_run(compose("env=CartPole-v1", "+algo.gama=0.9"))


def test_no_environment_is_asked_for(compose: Any) -> None:
    with pytest.raises(UserError, match="choose an environment, for example env=CartPole-v1"):
        build_run(compose("algo=ppo"))


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("1e-3", 1e-3), ("true", True), ("[1,2]", [1, 2]), ("a", "a")]
)
def test_values_are_read_as_overrides_are(text: str, value: Any) -> None:
    assert overrides.read_pair(f"env.kwargs.x={text}") == ("env.kwargs.x", value)


@pytest.mark.parametrize("text", ["1,2", "[a", "range(3)"])
def test_values_that_are_none(text: str) -> None:
    with pytest.raises(UserError):
        overrides.read_pair(f"seed={text}")


def test_folder_names_are_readable_and_safe() -> None:
    assert slug(["algo=ppo", "env=CartPole-v1"]) == "algo=ppo,env=CartPole-v1"
    odd = slug(["env=ALE/Pong-v5"])
    assert odd.startswith("env=ALE-Pong-v5-")
    assert odd != slug(["env=ALE:Pong-v5"])
    assert len(slug(["x" * 500])) <= 100


def test_a_key_of_another_group_is_pointed_out() -> None:
    with pytest.raises(UserError) as error:
        config.compose(["algo=ppo", "env=CartPole-v1", "algo.ent_coef=0.1"])
    assert str(error.value) == (
        "Unknown key algo.ent_coef. It exists with exploration=entropy: exploration.ent_coef."
    )
