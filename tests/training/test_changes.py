"""What a resumed run may change, and what it may not."""

from __future__ import annotations

import copy
from dataclasses import fields
from typing import Any

import pytest

from rltrain.core.errors import USAGE, UserError
from rltrain.settings.run import RunSettings
from rltrain.training.changes import RESUMABLE, check_changes, check_same, merged

FREE = {
    "compile": "on",
    "total_timesteps": 2000,
    "schedules": "keep",
    "device": "cuda",
    "num_threads": 2,
    "sampler": "processes",
    "num_workers": 2,
    "profile": True,
    "logger.console": "off",
    "checkpoint.every": 5,
    "eval.episodes": 3,
    "eval.stop_at": 475.0,
}
FIXED = {
    "seed": 4,
    "algo.gamma": 0.5,
    "env.id": "Pendulum-v1",
    "env.num_envs": 9,
    "env.kwargs.size": 3,
    "network.hidden_sizes": [8],
    "exploration.final_eps": 0.3,
    "augment.name": "shift",
    "intrinsic.name": "rnd",
    "optimizer.eps": 1e-3,
    "plugins": ["mine"],
    "precision": "bf16",
    "ema": 0.99,
    "dataset": "mine-v0",
    "dataset_share": 0.9,
    "init_from": "another",
    "init_freeze": ["encoder"],
    "kernels": "torch",
}
NEUTRAL = {
    "output_dir": "elsewhere",
    "run_name": "other",
    "tuned": "ppo/CartPole-v1",
    "choices": {"algo": "ppo"},
}


@pytest.fixture
def saved() -> dict[str, Any]:
    return {
        "total_timesteps": 1000,
        "schedules": "auto",
        "device": "auto",
        "num_threads": "auto",
        "sampler": "auto",
        "num_workers": "auto",
        "profile": False,
        "logger": {"console": "auto"},
        "checkpoint": {"every": 10},
        "eval": {"episodes": 10, "stop_at": None},
        "seed": 3,
        "algo": {"name": "ppo", "gamma": 0.99},
        "env": {"id": "CartPole-v1", "num_envs": 8, "kwargs": {}},
        "augment": {"name": "none"},
        "intrinsic": {"name": "none"},
        "exploration": {"name": "epsilon_greedy", "final_eps": 0.1},
        "network": {"name": "mlp", "hidden_sizes": [64, 64]},
        "optimizer": {"name": "adam", "eps": 1e-5},
        "kernels": "auto",
        "plugins": [],
        "precision": "fp32",
        "compile": "off",
        "ema": None,
        "dataset": None,
        "dataset_share": 0.5,
        "init_from": None,
        "init_freeze": [],
        "output_dir": "outputs",
        "run_name": None,
        "tuned": None,
        "choices": {},
    }


def test_every_key_is_known_here() -> None:
    """A new part of the settings must be put on one side or the other."""
    parts = {key.split(".")[0] for key in {**FREE, **FIXED, **NEUTRAL}}
    assert parts == {field.name for field in fields(RunSettings)}


@pytest.mark.parametrize("key", FREE)
def test_what_does_not_decide_the_numbers_can_change(saved: dict[str, Any], key: str) -> None:
    check_changes(saved, {key: FREE[key]})
    check_same(saved, merged(saved, {key: FREE[key]}))


@pytest.mark.parametrize("key", FIXED)
def test_what_decides_the_numbers_cannot_change(saved: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError) as error:
        check_changes(saved, {key: FIXED[key], "total_timesteps": 2000})
    text = str(error.value)
    assert key in text
    assert f"{FIXED[key]!r} asked for" in text
    assert "total_timesteps:" not in text
    assert error.value.exit_code == USAGE
    assert all(name in text for name in RESUMABLE)


@pytest.mark.parametrize("key", NEUTRAL)
def test_where_a_run_is_cannot_be_changed_but_does_not_tell_runs_apart(
    saved: dict[str, Any], key: str
) -> None:
    with pytest.raises(UserError, match=key):
        check_changes(saved, {key: NEUTRAL[key]})
    check_same(saved, merged(saved, {key: NEUTRAL[key]}))


def test_a_refusal_shows_every_key_with_both_values(saved: dict[str, Any]) -> None:
    with pytest.raises(UserError) as error:
        check_changes(saved, {"algo.gamma": 0.5, "seed": 4, "env.kwargs.size": 3})
    text = str(error.value)
    assert "\n" not in text
    assert "algo.gamma: 0.99 in the run, 0.5 asked for" in text
    assert "seed: 3 in the run, 4 asked for" in text
    assert "env.kwargs.size: None in the run, 3 asked for" in text


@pytest.mark.parametrize("key", FIXED)
def test_configurations_of_different_runs_are_told_apart(saved: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match=key):
        check_same(saved, merged(copy.deepcopy(saved), {key: FIXED[key]}))


def test_the_difference_of_two_runs_is_shown_with_both_values(saved: dict[str, Any]) -> None:
    other = merged(saved, {"algo.gamma": 0.5, "network.hidden_sizes": [8], "eval.episodes": 1})
    with pytest.raises(UserError) as error:
        check_same(saved, other)
    assert "algo.gamma: 0.99 in the run, 0.5 asked for" in str(error.value)
    assert "network.hidden_sizes: [64, 64] in the run, [8] asked for" in str(error.value)
    assert "eval.episodes" not in str(error.value)


def test_a_key_that_only_one_of_two_runs_has_is_a_difference(saved: dict[str, Any]) -> None:
    other = copy.deepcopy(saved)
    del other["algo"]["gamma"]
    for a, b in ((saved, other), (other, saved)):
        with pytest.raises(UserError, match=r"algo\.gamma: .*None"):
            check_same(a, b)


def test_a_list_and_a_tuple_of_the_same_are_no_difference(saved: dict[str, Any]) -> None:
    check_same(saved, merged(saved, {"network.hidden_sizes": (64, 64)}))


def test_merging_changes_dotted_keys_only(saved: dict[str, Any]) -> None:
    expected = copy.deepcopy(saved)
    expected["algo"]["gamma"] = 0.5
    expected["seed"] = 4
    assert merged(saved, {"algo.gamma": 0.5, "seed": 4}) == expected


def test_merging_leaves_what_it_was_given(saved: dict[str, Any]) -> None:
    before = copy.deepcopy(saved)
    merged(saved, {"algo.gamma": 0.5, "seed": 4})
    assert saved == before


def test_merging_leaves_the_arguments_of_the_environment_it_was_given(
    saved: dict[str, Any],
) -> None:
    before = copy.deepcopy(saved)
    merged(saved, {"env.kwargs.size": 3})
    assert saved == before


def test_merging_takes_new_arguments_of_the_environment(saved: dict[str, Any]) -> None:
    assert merged(saved, {"env.kwargs.size": 3})["env"]["kwargs"] == {"size": 3}


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("eval.episods", "eval.episodes"),
        ("total_timestep", "total_timesteps"),
        ("evil.episodes", "eval.episodes"),
    ],
)
def test_merging_an_unknown_key_names_the_nearest(
    saved: dict[str, Any], key: str, near: str
) -> None:
    with pytest.raises(UserError, match=rf"Unknown key {key}\. Did you mean .*{near}"):
        merged(saved, {key: 1})


@pytest.mark.parametrize("key", ["seed.deeper", "nothing.at.all"])
def test_merging_a_key_below_no_mapping_is_a_mistake(saved: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match=f"Unknown key {key}"):
        merged(saved, {key: 1})
