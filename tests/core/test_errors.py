import pytest

from rltrain.core.errors import (
    CheckpointError,
    EnvError,
    RltrainError,
    TrainingError,
    UserError,
    did_you_mean,
    nearest,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RltrainError, 1),
        (UserError, 2),
        (TrainingError, 1),
        (EnvError, 1),
        (CheckpointError, 1),
    ],
)
def test_exit_codes(error: type[RltrainError], code: int) -> None:
    assert error.exit_code == code
    assert issubclass(error, RltrainError)


def test_nearest_puts_the_best_first() -> None:
    found = nearest("learning_rat", ["batch_size", "learning_starts", "learning_rate"])
    assert found == ["learning_rate", "learning_starts"]


def test_nearest_puts_what_was_begun_before_what_is_like_it() -> None:
    assert nearest("ppo/Cart", ["ppo/atari", "ppo/CartPole-v1"])[0] == "ppo/CartPole-v1"


def test_nearest_ignores_case_and_returns_the_original() -> None:
    assert nearest("cartpole-V1", ["CartPole-v1", "Ant-v5"]) == ["CartPole-v1"]


def test_nearest_returns_at_most_count() -> None:
    assert nearest("aaaa", ["aaab", "aaac", "aaad"], count=1) == ["aaad"]


def test_nearest_may_be_empty() -> None:
    assert nearest("zzz", ["adam", "sgd"]) == []


def test_did_you_mean_joins_the_near_ones() -> None:
    assert did_you_mean("ada", ["sgd", "adamw", "adam"]) == " Did you mean adam or adamw?"


def test_did_you_mean_lists_few_choices_sorted_where_none_is_near() -> None:
    assert did_you_mean("zzz", ["sgd", "adam", "sgd"]) == " Choose from: adam, sgd."


@pytest.mark.parametrize(("count", "listed"), [(0, False), (20, True), (21, False)])
def test_did_you_mean_lists_no_more_than_twenty(count: int, listed: bool) -> None:
    said = did_you_mean("zzz", [f"{i:02}" for i in range(count)])
    assert said.startswith(" Choose from: 00, 01") if listed else said == ""
