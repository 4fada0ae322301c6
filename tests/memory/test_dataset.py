import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.errors import UserError
from rltrain.memory.dataset import read
from tests import datasets

LINE, TWO = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2, start=1)


class Spaces:
    """As much of an environment as a dataset needs."""

    def __init__(self, observation_space: gym.Space, action_space: gym.Space) -> None:
        self.observation_space, self.action_space = observation_space, action_space


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))


def rows(*numbers: float) -> np.ndarray:
    return np.array([[n, -n] for n in numbers], np.float32)


def two_episodes(reward: float = 3.0, name: str = "aa/b-v0") -> Any:
    """Three steps that terminate, and two that whoever recorded them cut off."""
    episodes = [
        (rows(0.1, 0.2, 0.3, 0.4), [1, 2, 2], [1.0, 2.0, reward], True),
        (rows(0.5, 0.6, 0.7), [2, 1], [4.0, 5.0], False),
    ]
    datasets.write(name, Spaces(LINE, TWO), episodes)  # type: ignore[arg-type]
    return read(name, LINE, TWO)


def test_rows_are_steps_with_their_true_successors() -> None:
    data = two_episodes()
    assert len(data) == 5
    assert data.obs[:, 0].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.5, 0.6])
    assert data.successor[:, 0].tolist() == pytest.approx([0.2, 0.3, 0.4, 0.6, 0.7])
    assert data.action.tolist() == [0, 1, 1, 1, 0]  # counted from 0
    assert data.reward.tolist() == [1, 2, 3, 4, 5]
    assert data.terminated.tolist() == [False, False, True, False, False]
    assert data.truncated.tolist() == [False, False, False, False, True]
    assert data.ends.tolist() == [2, 4]
    kinds = (data.obs, data.successor, data.action, data.reward)
    assert [a.dtype.str for a in kinds] == ["<f4", "<f4", "<i8", "<f4"]


def test_what_it_is_known_by_is_every_bit_of_it() -> None:
    one, same, other = (two_episodes(r, f"{n}-v0") for r, n in ((3, "a"), (3, "b"), (3.5, "c")))
    assert one.sha256 == same.sha256 != other.sha256
    one.check(same.identity())
    with pytest.raises(UserError, match=r"dataset=c-v0 is not what it was .* SHA-256"):
        other.check(one.identity())


@pytest.mark.parametrize(
    ("observations", "actions", "what"),
    [
        (spaces.Box(-1, 1, (3,), np.float32), TWO, "observations Box"),
        (spaces.Discrete(2), TWO, "observations Box"),
        (LINE, spaces.Discrete(3), "actions Discrete"),
        (LINE, spaces.Box(-1, 1, (2,), np.float32), "actions Discrete"),
    ],
)
def test_other_spaces_are_refused(observations: Any, actions: Any, what: str) -> None:
    two_episodes()
    with pytest.raises(UserError, match=f"^dataset=aa/b-v0 has {what}"):
        read("aa/b-v0", observations, actions)


def test_other_bounds_are_no_other_space() -> None:
    two_episodes()
    assert len(read("aa/b-v0", spaces.Box(-np.inf, np.inf, (2,), np.float64), TWO)) == 5


def test_actions_that_rows_cannot_hold_are_named() -> None:
    two_episodes()
    with pytest.raises(UserError, match="actions of Dict cannot be read or recorded"):
        read("aa/b-v0", LINE, spaces.Dict({"a": TWO}))


def test_values_that_are_none_of_the_space_are_named() -> None:
    episodes = [(rows(0.1, 0.2), [1], [1.0], True), (rows(0.1, 0.2), [3], [1.0], True)]
    datasets.write("aa/b-v0", Spaces(LINE, TWO), episodes)  # type: ignore[arg-type]
    message = r"^dataset=aa/b-v0: episode 1 holds numbers from 3 to 3, where Discrete\(2, start=1\)"
    with pytest.raises(UserError, match=message):
        read("aa/b-v0", LINE, TWO)


def test_an_episode_without_its_end_is_named() -> None:
    datasets.write("aa/b-v0", Spaces(LINE, TWO), [(rows(1, 2), [1, 2], [1.0, 2.0], True)])  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"episode 0 has 2 observations and 2 actions for 2 steps"):
        read("aa/b-v0", LINE, TWO)


def test_one_that_is_not_there_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"dataset=aa/c-v0: there is no .* There is none yet"):
        read("aa/c-v0", LINE, TWO)
    two_episodes()
    with pytest.raises(UserError, match=r"dataset=aa/c-v0: .* Did you mean aa/b-v0\?"):
        read("aa/c-v0", LINE, TWO)


def test_a_damaged_one_is_named(tmp_path: Path) -> None:
    two_episodes()
    (tmp_path / "aa/b-v0/data/main_data.hdf5").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"^dataset=aa/b-v0 cannot be read"):
        read("aa/b-v0", LINE, TWO)


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(UserError, match="no numbers"):
        two_episodes(reward=float("nan"))


@pytest.mark.parametrize("package", ["minari", "h5py"])
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf'{package}.*pip install "rltrain\[data\]"'):
        read("aa/b-v0", LINE, TWO)
