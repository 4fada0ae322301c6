"""Observations become rows, or are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.layout import layout_of
from rltrain.envs.packing import MismatchError, Packer

SPACE = spaces.Dict(
    {
        "bits": spaces.MultiBinary(3),
        "dials": spaces.MultiDiscrete([2, 4], start=[0, 5]),
        "mode": spaces.Discrete(3, start=1),
        "pair": spaces.Tuple([spaces.Box(-1, 1, (2,)), spaces.Box(0, 9, (), np.int64)]),
        "word": spaces.Text(4, charset="abc"),
    }
)


def observation(**changes: Any) -> dict[str, Any]:
    return {
        "bits": np.array([1, 0, 1], np.int8),
        "dials": np.array([1, 8]),
        "mode": np.int64(2),
        "pair": (np.array([0.5, -0.5], np.float32), np.array(7)),
        "word": "cab",
        **changes,
    }


def test_every_part_is_in_its_place_counted_from_0() -> None:
    pack = Packer(layout_of(SPACE))
    row = pack(observation())
    fields = pack.layout.view(row)
    assert fields["bits"].tolist() == [1, 0, 1]
    assert fields["dials"].tolist() == [1, 3]
    assert fields["mode"].tolist() == 1
    assert fields["pair.0"].tolist() == [0.5, -0.5]
    assert fields["pair.1"].tolist() == 7
    assert fields["word"].tolist() == [3, 1, 2, 0]


def test_a_shorter_text_leaves_nothing_of_the_longer_one() -> None:
    pack = Packer(layout_of(SPACE))
    pack(observation(word="cccc"))
    row = pack(observation(word="a")).copy()
    assert pack.layout.view(row)["word"].tolist() == [1, 0, 0, 0]
    assert (row == Packer(pack.layout)(observation(word="a"))).all()  # padding included


def test_samples_of_the_space_are_taken() -> None:
    SPACE.seed(0)
    pack = Packer(layout_of(SPACE))
    for _ in range(20):
        assert pack(SPACE.sample()).shape == pack.layout.row[0]


@pytest.mark.parametrize(
    ("changes", "where", "got"),
    [
        ({"bits": np.array([1, 2, 0])}, "bits", "int64 of shape"),
        ({"bits": np.array([1, 0])}, "bits", "shape"),
        ({"dials": np.array([1, 9])}, "dials", "shape"),
        ({"dials": np.array([1.0, 8.0])}, "dials", "float64"),
        ({"mode": 0}, "mode", "int 0"),
        ({"mode": 1.0}, "mode", "float 1.0"),
        ({"pair": (np.zeros(2), np.array(1))}, "pair.0", "float64 of shape"),
        ({"pair": (np.zeros(2, np.float32),)}, "pair", "nothing of that name"),
        ({"word": "abcab"}, "word", "str 'abcab'"),
        ({"word": ""}, "word", "str ''"),
        ({"word": "abd"}, "word", "str 'abd'"),
        ({"word": 3}, "word", "int 3"),
    ],
)
def test_what_breaks_its_space_is_named(changes: dict[str, Any], where: str, got: str) -> None:
    with pytest.raises(MismatchError) as caught:
        Packer(layout_of(SPACE))(observation(**changes))
    assert caught.value.where == where
    assert got in caught.value.got


def test_a_part_that_is_missing_is_told() -> None:
    obs = observation()
    del obs["word"]
    with pytest.raises(MismatchError) as caught:
        Packer(layout_of(SPACE))(obs)
    assert "nothing of that name" in caught.value.got


def test_rows_that_hold_no_number_are_found_in_any_part() -> None:
    pack = Packer(layout_of(SPACE))
    bad = observation(pair=(np.array([0, np.nan], np.float32), np.array(7)))
    rows = np.stack([pack(observation()).copy(), pack(bad).copy()])
    assert pack.not_finite(rows).tolist() == [False, True]


def test_a_text_alone_is_a_row_of_codes() -> None:
    pack = Packer(layout_of(spaces.Text(4, min_length=0, charset="xyz")))
    assert pack("zx").tolist() == [3, 1, 0, 0]
    assert pack("").tolist() == [0, 0, 0, 0]
