"""Spaces that are no longer those of a run are named, at a resume, an evaluation and a start."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.errors import CheckpointError, UserError
from rltrain.core.spaces import describe, describe_all
from rltrain.reports import score
from rltrain.training import checkpoint, session
from tests.conftest import small
from tests.training.test_resume import newest

SHAPE: dict[str, Any] = {"size": 3, "actions": 2, "high": 1.0}  # of the environment, as it is now


class Room(gym.Env[Any, Any]):
    """Has the spaces that `SHAPE` says, as an environment whose code has changed."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-1, SHAPE["high"], (SHAPE["size"],), np.float32)
        self.action_space = spaces.Discrete(SHAPE["actions"])
        self.t = 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(SHAPE["size"], np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return np.zeros(SHAPE["size"], np.float32), 1.0, self.t == 10, False, {}


gym.register("RoomOfSpaces-v0", entry_point=f"{__name__}:Room")

BEFORE = "Box(-1.0, 1.0, (3,), float32)"
CHANGES = [
    (
        {"size": 4},
        f"observations were {BEFORE} in the run and are {BEFORE.replace('(3', '(4')} now",
    ),
    ({"actions": 5}, "actions were Discrete(2) in the run and are Discrete(5) now"),
]
BOUNDS = ({"high": 2.0}, f"observations were {BEFORE} in the run and are Box(-1.0, 2.0, ")


@pytest.fixture
def folder(compose: Any, in_tmp: Path) -> Path:
    command = [o for o in small("ppo") if not o.startswith("env=")]
    values = compose(*command, f"env={__name__}:RoomOfSpaces-v0", "run_name=a")
    done: Path = session.start(values).folder
    return done


@pytest.mark.parametrize(("changed", "said"), [*CHANGES, BOUNDS])
def test_a_resume_names_spaces_that_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], said: str
) -> None:
    for name, value in changed.items():
        monkeypatch.setitem(SHAPE, name, value)
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        session.resume(folder, None, {"total_timesteps": 10_000})
    assert "version" not in str(caught.value)


@pytest.mark.parametrize("choice", ["newest", "best"])
@pytest.mark.parametrize(("changed", "said"), CHANGES)
def test_an_evaluation_names_spaces_that_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], said: str, choice: str
) -> None:
    for name, value in changed.items():
        monkeypatch.setitem(SHAPE, name, value)
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        score.evaluate(str(folder), {"episodes": 1, "checkpoint": choice})
    assert "version" not in str(caught.value)


def test_an_evaluation_under_other_bounds_plays_and_names_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    changed, said = BOUNDS
    for name, value in changed.items():
        monkeypatch.setitem(SHAPE, name, value)
    assert score.evaluate(str(folder), {"episodes": 1}) == 0
    assert any(record.message.startswith(said) for record in caplog.records)


def test_networks_to_begin_with_that_do_not_fit_are_named_with_the_spaces(
    folder: Path, compose: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    changed, said = CHANGES[0]
    for name, value in changed.items():
        monkeypatch.setitem(SHAPE, name, value)
    command = [o for o in small("ppo") if not o.startswith("env=")]
    with caplog.at_level("INFO", "rltrain"):
        session.start(
            compose(
                *command, f"env={__name__}:RoomOfSpaces-v0", "run_name=b", f"init_from={folder}"
            )
        )
    assert any(said in record.message for record in caplog.records)


def test_a_checkpoint_that_did_not_keep_its_spaces_says_what_they_are_now(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = newest(folder)
    content = {name: value for name, value in old.content.items() if name != "spaces"}
    checkpoint.write(old.path, content, old.step)
    score.evaluate(str(folder), {"episodes": 1})
    monkeypatch.setitem(SHAPE, "size", 4)
    with pytest.raises(CheckpointError, match="If the environment's spaces were others then: they"):
        score.evaluate(str(folder), {"episodes": 1})


def test_a_text_is_described_alike_whatever_the_order_of_its_characters() -> None:
    text = spaces.Text(5, charset="xyz")
    nested = spaces.Dict(a=text, b=spaces.Tuple([spaces.Discrete(2), text]))
    one = "Text(up to 5 of 3 characters)"
    assert describe(nested) == f"Dict(a: {one}, b: Tuple(Discrete(2), {one}))"


def test_spaces_of_many_bounds_are_one_line() -> None:
    low = np.arange(100, dtype=np.float32)
    text = describe_all(spaces.Box(low, low + 1), spaces.Discrete(2))["observations"]
    assert "\n" not in text
    assert text.endswith("(100,), float32)")


def test_to_describe_a_space_leaves_it_as_it_is() -> None:
    box = spaces.Box(-1, 1, (2,))
    before = dict(vars(box))
    assert describe(spaces.Dict(a=box)) == "Dict(a: Box(-1.0, 1.0, (2,), float32))"
    assert vars(box) == before  # a snapshot of an environment has its spaces in it
