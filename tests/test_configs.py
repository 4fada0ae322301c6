"""Every YAML composes and builds, and the trees mirror each other."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from rltrain.core.paths import config_dir
from rltrain.envs.make import check_env
from rltrain.settings import registry
from rltrain.settings.defaults import defaults, example_of
from rltrain.settings.run import build_run
from rltrain.training.build import build_algorithm, build_envs
from tests.conftest import algo_entry, data_for, fitting_env

CONFIGS = config_dir()


def names(group: str) -> list[str]:
    folder = CONFIGS / group
    found = {str(p.relative_to(folder).with_suffix("")) for p in folder.rglob("*.yaml")}
    return sorted(found - {"base"})


@pytest.mark.parametrize("algo", names("algo"))
def test_every_algorithm_builds_from_its_defaults(compose: Any, algo: str) -> None:
    env = fitting_env(algo)
    run = build_run(compose(f"algo={algo}", f"env={env}", "tuned=none", *data_for(algo, env)))
    assert run.tuned is None
    build_algorithm(run, build_envs(run))


@pytest.mark.parametrize("pair", [n for n in names("tuned") if n != "none"])
def test_every_tuned_preset_is_applied_and_builds(compose: Any, pair: str) -> None:
    algo, _, env = pair.partition("/")
    if env.startswith(("HalfCheetah", "InvertedPendulum")):
        pytest.importorskip("mujoco")
    for start, package in (("MinAtar", "minatar"), ("MiniGrid", "minigrid"), ("atari", "ale_py")):
        if env.startswith(start):
            pytest.importorskip(package)
    values = compose(f"algo={algo}", f"env={example_of(env)}")
    run = build_run(values)
    assert run.tuned == pair
    check_env(run)
    build_algorithm(run, build_envs(run))


def test_the_command_line_outranks_a_preset_and_none_switches_it_off(compose: Any) -> None:
    tuned = build_run(compose("env=CartPole-v1"))
    plain = build_run(compose("env=CartPole-v1", "tuned=none"))
    assert tuned.algo.n_steps != plain.algo.n_steps
    assert build_run(compose("env=CartPole-v1", "algo.n_steps=7")).algo.n_steps == 7


def test_a_family_has_a_preset_for_all_its_ids_that_have_none_of_their_own(
    compose: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    pytest.importorskip("ale_py")
    run = build_run(compose("algo=dqn", "env=ALE/Breakout-v5"))
    assert (run.env.id, run.tuned) == ("ALE/Breakout-v5", "dqn/atari")
    assert run.algo.learning_rate == 1e-4
    assert build_run(compose("algo=dqn", "env=ALE/Breakout-v5", "tuned=none")).tuned is None
    own = tmp_path / "configs" / "tuned" / "dqn" / "ALE" / "Breakout-v5.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("# @package _global_\ntotal_timesteps: 77\n")
    monkeypatch.chdir(tmp_path)
    run = build_run(compose("algo=dqn", "env=ALE/Breakout-v5"))
    assert (run.tuned, run.total_timesteps) == ("dqn/ALE/Breakout-v5", 77)
    assert run.algo.learning_rate != 1e-4


def test_what_a_preset_has_for_another_part_is_left_out(compose: Any) -> None:
    pytest.importorskip("ale_py")
    atari = "env=ALE/Pong-v5"
    assert build_run(compose("algo=ppo", atari)).exploration.ent_coef == 0.01
    plain = build_run(compose("algo=ppo", atari, "exploration=none"))
    assert asdict(plain.exploration) == {"name": "none"}
    typed = build_run(compose("algo=ppo", atari, "exploration=entropy", "exploration.ent_coef=0.2"))
    assert typed.exploration.ent_coef == 0.2
    other = build_run(compose("algo=ppo", atari, "network=impala"))
    assert (other.network.pictures, other.network.hidden_sizes) == ("impala", (512,))


def test_a_preset_can_be_used_elsewhere(compose: Any) -> None:
    run = build_run(compose("env=Acrobot-v1", "tuned=ppo/CartPole-v1"))
    assert (run.env.id, run.tuned) == ("Acrobot-v1", "ppo/CartPole-v1")


@pytest.mark.parametrize("network", [n for n in names("network") if n != "none"])
def test_every_network_builds(compose: Any, network: str) -> None:
    run = build_run(compose("env=CartPole-v1", f"network={network}", "tuned=none"))
    build_algorithm(run, build_envs(run))


@pytest.mark.parametrize("optimizer", [n for n in names("optimizer") if n != "none"])
def test_every_optimizer_builds(compose: Any, optimizer: str) -> None:
    run = build_run(compose("env=CartPole-v1", f"optimizer={optimizer}"))
    algorithm = build_algorithm(run, build_envs(run))
    assert type(algorithm.optimizer).__name__.lower() == run.optimizer.name


@pytest.mark.parametrize("group", registry.GROUPS)
def test_every_entry_has_a_yaml_of_its_name(group: str) -> None:
    assert set(registry.entries(group)) <= set(names(group))


@pytest.mark.parametrize("algo", names("algo"))
def test_a_yaml_is_named_like_its_file_or_another_algorithm_s_values(algo: str) -> None:
    e = algo_entry(algo)
    assert e.target.startswith(f"rltrain.algos.{e.name}:")
    assert (defaults("algo", algo) == defaults("algo", e.name)) == (algo == e.name)


def test_every_folder_is_a_group() -> None:
    folders = {p.name for p in CONFIGS.iterdir() if p.is_dir()}
    assert folders == {*registry.GROUPS, "env", "eval", "checkpoint", "logger", "tuned"}


def test_configs_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config_dir() == CONFIGS
