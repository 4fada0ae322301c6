"""Runs are one group only where nothing but the seed differs, and labels say what does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rltrain.reports.labels import chosen_name, group_runs, read_facts, typed_keys
from rltrain.training.run import write_config

Compose = Callable[..., dict[str, Any]]
CARTPOLE, PENDULUM = "env=CartPole-v1", "env=Pendulum-v1"


def labels(configs: list[dict[str, Any]], typed: tuple[str, ...] = ()) -> dict[str, list[int]]:
    return {g.label: list(g.runs) for g in group_runs(configs, typed).groups}


@pytest.mark.parametrize(
    ("common", "sweep", "title", "expected"),
    [
        ([CARTPOLE], ["algo=dqn", "algo=d3qn"], "CartPole-v1", ["d3qn", "dqn"]),
        ([CARTPOLE], ["algo=rainbow", "algo=c51"], "CartPole-v1", ["c51", "rainbow"]),
        (
            [PENDULUM],
            ["algo=sac", "algo=redq", "algo=rlpd"],
            "Pendulum-v1",
            ["redq", "rlpd", "sac"],
        ),
        (
            [CARTPOLE],
            ["algo.learning_rate=1e-3", "algo.learning_rate=1e-4", "algo.learning_rate=1e-2"],
            "ppo on CartPole-v1",
            ["learning_rate=0.0001", "learning_rate=0.001", "learning_rate=0.01"],
        ),
        (
            [CARTPOLE],
            ["network.hidden_sizes=[8]", "network.hidden_sizes=[8,8]"],
            "ppo on CartPole-v1",
            ["hidden_sizes=[8,8]", "hidden_sizes=[8]"],
        ),
        ([], [CARTPOLE, "env=Acrobot-v1"], "ppo", ["Acrobot-v1", "CartPole-v1"]),
        (
            [CARTPOLE],
            ["network=mlp", "network=gru"],
            "ppo on CartPole-v1",
            ["network=gru", "network=mlp"],
        ),
        (
            [CARTPOLE],
            ["tuned=none", "tuned=ppo/CartPole-v1"],
            "ppo on CartPole-v1",
            ["tuned=null", "tuned=ppo/CartPole-v1"],
        ),
        (
            [CARTPOLE],
            ["eval.every=100", "eval.every=200"],
            "ppo on CartPole-v1",
            ["eval.every=100", "eval.every=200"],
        ),
        ([PENDULUM], ["env.kwargs.g=5", "seed=1"], "ppo on Pendulum-v1", ["default", "g=5"]),
        (
            [],
            ["algo=ppo env=CartPole-v1", "algo=dqn env=Acrobot-v1"],
            "",
            ["dqn on Acrobot-v1", "ppo on CartPole-v1"],
        ),
        (
            [CARTPOLE],
            ["algo=dqn", "algo=ppo algo.gamma=0.5", "algo=ppo algo.gamma=0.9"],
            "CartPole-v1",
            ["dqn, gamma=0.99", "ppo, gamma=0.5", "ppo, gamma=0.9"],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_each_value_is_a_group_with_all_of_its_seeds(
    common: list[str], sweep: list[str], title: str, expected: list[str], compose: Compose
) -> None:
    configs = [
        compose(*common, *words.split(), *([] if "seed" in words else [f"seed={seed}"]))
        for seed in range(2)
        for words in sweep
    ]
    found = group_runs(configs)
    assert found.title == title
    assert [g.label for g in found.groups] == expected
    assert all(len(g.runs) == 2 for g in found.groups)


@pytest.mark.parametrize(
    "other",
    [
        "seed=3",
        "logger.every=7",
        "output_dir=x",
        "run_name=b",
        "num_threads=2",
        "checkpoint.every=9",
    ],
)
def test_what_decides_no_number_makes_no_group(other: str, compose: Compose) -> None:
    assert labels([compose(CARTPOLE), compose(CARTPOLE, other)]) == {"": [0, 1]}


def test_every_key_that_decides_numbers_makes_a_group(compose: Compose) -> None:
    other = compose(CARTPOLE, "total_timesteps=7")
    assert len(labels([compose(CARTPOLE), other])) == 2
    assert len(labels([compose(CARTPOLE), compose(CARTPOLE, "dataset=a/b-v0")])) == 2


def test_a_number_is_the_same_however_it_is_written(compose: Compose) -> None:
    written = ["total_timesteps=1e5", "total_timesteps=100000", "total_timesteps=100_000"]
    assert list(labels([compose(CARTPOLE, w) for w in written]).values()) == [[0, 1, 2]]


def test_a_key_that_follows_from_a_choice_is_shown_where_it_was_typed(compose: Compose) -> None:
    configs = [compose(CARTPOLE, "algo=dqn"), compose(CARTPOLE, "algo=d3qn", "algo.gamma=0.9")]
    assert set(labels(configs)) == {"dqn", "d3qn"}
    assert set(labels(configs, ("algo.gamma", "algo"))) == {"dqn, gamma=0.99", "d3qn, gamma=0.9"}


def test_many_differences_are_cut_to_those_that_tell_groups_apart(compose: Compose) -> None:
    keys = ["gamma=0.9", "gae_lambda=0.7", "vf_coef=1", "max_grad_norm=1", "n_epochs=3"]
    found = labels([compose(CARTPOLE), compose(CARTPOLE, *(f"algo.{k}" for k in keys))])
    assert list(found) == ["gae_lambda=0.7, …", "gae_lambda=0.8, …"]
    few = labels([compose(CARTPOLE), compose(CARTPOLE, *(f"algo.{k}" for k in keys[:2]))])
    assert list(few) == ["gae_lambda=0.7, gamma=0.9", "gae_lambda=0.8, gamma=0.98"]


def earlier(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration of a version that did not remember choices."""
    return {k: v for k, v in copy.deepcopy(config).items() if k not in ("choices", "ema")}


def test_an_earlier_run_goes_by_the_registrys_names(compose: Compose, tmp_path: Path) -> None:
    rainbow, dqn = compose(CARTPOLE, "algo=rainbow"), compose(CARTPOLE, "algo=dqn")
    assert chosen_name(rainbow, "algo") == "rainbow"
    assert chosen_name(earlier(rainbow), "algo") == "dqn"
    write_config(tmp_path, earlier(rainbow))
    old = dict(read_facts(tmp_path))
    assert labels([old, rainbow, dqn]) == {"dqn": [2], "rainbow": [0, 1]}
    assert labels([rainbow, old, dqn]) == {"rainbow": [0, 1], "dqn": [2]}
    assert sorted(labels([old, dqn]).values()) == [[0], [1]]


def test_reading_a_folder_imports_no_module_that_it_names(compose: Compose, tmp_path: Path) -> None:
    write_config(tmp_path, earlier(compose(CARTPOLE)) | {"plugins": ["no_such_module"]})
    assert read_facts(tmp_path)["plugins"] == ["no_such_module"]


def test_typed_keys_are_those_of_the_command_lines(tmp_path: Path) -> None:
    assert typed_keys(tmp_path) == set()
    (tmp_path / "command.txt").write_text(
        "rltrain -m algo=ppo,dqn +env.kwargs.text='a b'\nrltrain resume=x seed=1  # from step 3\n"
    )
    assert typed_keys(tmp_path) == {"algo", "env.kwargs.text", "resume", "seed"}
