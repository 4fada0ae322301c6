"""What Minari's files hold, there and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.errors import UserError
from rltrain.core.layout import layout_of
from rltrain.core.spaces import Stack
from rltrain.envs.packing import Packer
from rltrain.envs.sights import SIGHTS, EverySight
from rltrain.memory.dataset import read
from rltrain.memory.recorded import (
    NotOfSpaceError,
    as_recorded,
    as_rows,
    as_taken,
    check_space,
    storable,
)
from tests import datasets

LINE, TWO = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2)


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))


class Spaces:
    """As much of an environment as a dataset needs."""

    def __init__(self, observation_space: gym.Space, action_space: gym.Space = TWO) -> None:
        self.observation_space, self.action_space = observation_space, action_space


class Mission(gym.Space[str]):
    """A space of strings that is none of Gymnasium's."""

    def __init__(self) -> None:
        super().__init__(dtype=str)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        return str(self.np_random.choice(["get a ball", "go to the door!", ""]))

    def contains(self, x: Any) -> bool:
        return isinstance(x, str)


GOAL = spaces.Box(-np.inf, np.inf, (3,), np.float64)
ODD = spaces.Dict(
    {
        "bits": spaces.MultiBinary([2, 3]),
        "flag": spaces.Box(0, 1, (2,), np.bool_),
        "half": spaces.Box(-1, 1, (2, 1), np.float16),
        "counts": spaces.Box(-9, 9, (), np.int16),
        "camera": spaces.Box(0, 255, (40, 40, 3), np.uint8),  # one that Minari would take as JPEG
        "unicode": spaces.Text(5, min_length=0, charset="aé→ \n𝄞"),
        "inner": spaces.Tuple([spaces.Dict({"observations": TWO, "_index_0": TWO}), Mission()]),
        "empty": spaces.Dict({}),
    }
)
EVERY: dict[str, gym.Space] = {
    **{name: space() for name, (space, _) in SIGHTS.items()},
    "nested": EverySight().observation_space,
    "goals": spaces.Dict(dict.fromkeys(("observation", "achieved_goal", "desired_goal"), GOAL)),
    "odd": ODD,
    "tuple": spaces.Tuple([spaces.Discrete(3, start=-1)] * 11),
    "mission": Mission(),
}


def at(columns: Any, space: gym.Space, i: int) -> Any:
    """The observation in row `i`, as an environment returns it."""
    if isinstance(space, spaces.Dict):
        return {key: at(columns[key], part, i) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(at(columns[k], part, i) for k, part in enumerate(space.spaces))
    return columns[i]


def plain(obs: Any) -> Any:
    if isinstance(obs, dict):
        return {key: plain(part) for key, part in obs.items()}
    if isinstance(obs, tuple):
        return [plain(part) for part in obs]
    return obs if isinstance(obs, str) else (np.asarray(obs).dtype.str, np.asarray(obs).tolist())


@pytest.mark.parametrize("name", list(EVERY))
def test_every_kind_is_read_as_it_would_be_seen(name: str) -> None:
    """Written by Minari and read: the very rows that an environment's observations become."""
    space = EVERY[name]
    space.seed(0)
    packer = Packer(layout_of(space))
    episodes = [[space.sample() for _ in range(length + 1)] for length in (4, 1, 6)]
    rows = [np.stack([np.array(packer(obs)) for obs in episode]) for episode in episodes]
    columns = [as_recorded(r, space) for r in rows]
    for episode, column in zip(episodes, columns, strict=True):
        again = [plain(at(column, space, i)) for i in range(len(episode))]
        assert again == [plain(obs) for obs in episode]
    lengths = [len(r) - 1 for r in rows]
    written: Any = [(c, [0] * n, [1.0] * n, True) for c, n in zip(columns, lengths, strict=True)]
    datasets.write("aa/b-v0", Spaces(storable("aa/b-v0", space)), written)  # type: ignore[arg-type]
    data = read("aa/b-v0", space, TWO)
    assert data.obs.dtype == rows[0].dtype
    assert data.obs.tolist() == np.concatenate([r[:-1] for r in rows]).tolist()
    assert data.successor.tolist() == np.concatenate([r[1:] for r in rows]).tolist()


@pytest.mark.parametrize(
    ("space", "policy", "recorded"),
    [
        (spaces.Discrete(3, start=-1), [0, 2], [-1, 1]),
        (spaces.MultiDiscrete([3, 2], start=[5, 0]), [[0, 1]], [[5, 1]]),
        (spaces.MultiBinary(2), [[0, 1]], [[0, 1]]),
        (spaces.Box(-1, 1, (1,), np.float32), [[0.5]], [[0.5]]),
    ],
)
def test_actions_there_and_back(space: Any, policy: Any, recorded: Any) -> None:
    out = as_taken(np.array(policy), space)
    assert out.tolist() == recorded
    assert all(space.contains(row) for row in out)
    assert as_rows(out, space).tolist() == policy


def test_an_action_beyond_the_bounds_is_recorded_as_it_was_taken() -> None:
    taken = as_taken(np.array([[7.0], [-0.5]], np.float32), spaces.Box(-2, 1, (1,), np.float32))
    assert taken.tolist() == [[1.0], [-0.5]]


def test_an_observation_beyond_the_bounds_stays_so() -> None:
    seen = np.array([[7.0, 0.0]], np.float32)
    assert as_recorded(seen, LINE).tolist() == seen.tolist()


@pytest.mark.parametrize("stacked", [False, True])
def test_stacks_are_of_an_episode_s_newest(stacked: bool) -> None:
    space = Stack(spaces.Box(-9, 9, (1,), np.float32), 3)
    recorded = np.array([[1], [2], [3], [4]], np.float32)
    stacks = [[1, 1, 1], [1, 1, 2], [1, 2, 3], [2, 3, 4]]
    values = np.array(stacks, np.float32)[..., None] if stacked else recorded
    check_space("a/b-v0", "observations", space if stacked else space.single, space)
    rows = as_rows(values, space)
    assert rows[..., 0].tolist() == stacks
    assert as_recorded(rows, space).tolist() == recorded.tolist()


PAIR = spaces.Dict({"a": LINE, "b": spaces.Dict({"c": TWO})})


@pytest.mark.parametrize(
    ("found", "wanted", "message"),
    [
        (PAIR, LINE, r"has observations Dict\(.*\), and those of the environment are Box\(-1"),
        (
            spaces.Dict({"a": LINE}),
            PAIR,
            r"other parts: it has no b\.c, which is Discrete\(2\) in the environment\."
            r" Leave out what is missing: env\.drop_keys=\[b\.c\]$",
        ),
        (
            PAIR,
            spaces.Dict({"a": LINE, "d": TWO}),
            r"it has no d, which is Discrete\(2\) in the environment; b\.c, Discrete\(2\), is in"
            r" the dataset alone\.$",
        ),
        (
            PAIR,
            spaces.Dict({"a": LINE, "b": spaces.Dict({"c": spaces.Discrete(3)})}),
            r"observations whose part b\.c is Discrete\(2\), and it is Discrete\(3\) in the",
        ),
        (
            spaces.Dict({"a": spaces.Box(0, 1, (9, 9, 3), np.float32)}),
            spaces.Dict({"a": spaces.Box(0, 255, (9, 9, 3), np.uint8)}),
            r"whose part a is Box\(.*float32\), and it is Box\(.*uint8\) in the environment",
        ),
        (spaces.Tuple([TWO, LINE]), spaces.Tuple([TWO, TWO]), r"whose part 1 is Box\(-1"),
        (spaces.Discrete(2, start=1), TWO, r"observations Discrete\(2, start=1\)"),
        (spaces.Text(4), TWO, r"observations Text\(1, 4"),
        (
            spaces.Box(0, 255, (4, 9, 9), np.uint8),
            spaces.Box(0, 255, (9, 9), np.uint8),
            r"If they are stacks, set env\.frame_stack=4\.$",
        ),
    ],
)
def test_the_part_that_differs_is_named(found: Any, wanted: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"^dataset=a/b-v0 .*{message}"):
        check_space("a/b-v0", "observations", found, wanted)


def test_parts_that_the_environment_leaves_out_are_not_asked_for() -> None:
    kept = spaces.Dict({"a": LINE})
    for dropped in (("b",), ("b.c",)):
        check_space("a/b-v0", "observations", PAIR, kept, dropped)
    with pytest.raises(UserError, match=r"b\.c, Discrete\(2\), is in the dataset alone"):
        check_space("a/b-v0", "observations", PAIR, kept, ("c",))
    values = {"a": np.array([[0.5, -0.5]], np.float32), "b": {"c": [1]}}
    assert as_rows(values, kept).view(np.float32).tolist() == [[0.5, -0.5]]


@pytest.mark.parametrize(
    ("space", "values", "message"),
    [
        (
            spaces.Discrete(2, start=4),
            [4, 6],
            r"^numbers from 4 to 6, where Discrete\(2, start=4\)",
        ),
        (
            spaces.Tuple([spaces.MultiDiscrete([2, 3])]),
            ([[0, 2], [2, 0]],),
            "^numbers from 0 to 2 as 0",
        ),
        (spaces.Dict({"a": LINE}), {"a": [[0.0, np.nan]]}, r"^what is no number as a, where Box"),
        (LINE, [[1.0]], r"^an array of shape \(1, 1\), where Box"),
        (spaces.Box(0, 255, (1,), np.uint8), [[0.5]], "^numbers that are not whole"),
        (spaces.Text(3, charset="ab"), ["ab", "abc"], r"^the text 'abc', where Text\(1, 3"),
        (
            spaces.Dict({"t": spaces.Text(3, charset="ab")}),
            {"t": ["abab"]},
            "^the text 'abab' as t",
        ),
    ],
)
def test_what_is_none_of_the_space_is_named(space: Any, values: Any, message: str) -> None:
    with pytest.raises(NotOfSpaceError, match=message):
        as_rows(values, space)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Dict({"a/b": TWO}), r"a part called 'a/b', and .*env\.drop_keys=\['a/b'\]$"),
        (spaces.Dict({"in": spaces.Dict({".": TWO})}), r"a part called '\.' in in, and"),
        (spaces.Dict({1: TWO}), "a part called 1, and .* a name\\.$"),  # type: ignore[dict-item]
        (spaces.Dict({"t": spaces.Text(3, charset="a\0")}), "^dataset=a/b-v0: texts as t .* NUL"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(space: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        storable("a/b-v0", space)


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_pictures_of_integers_are_bytes_and_come_back(dtype: Any) -> None:
    space = spaces.Box(0, 255, (8, 8, 3), dtype)
    pictures = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(dtype)
    rows = as_rows(pictures, space)
    assert rows.dtype == np.uint8
    back = as_recorded(rows, space)
    assert back.dtype == dtype
    assert (back == pictures).all()
    pictures[2] = 256
    with pytest.raises(NotOfSpaceError, match="numbers from 0 to 256"):
        as_rows(pictures, space)
