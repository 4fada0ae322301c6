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
        ({"bits": [1, 2, 0]}, "bits", "list [1, 2, 0]"),
        ({"bits": 1}, "bits", "int 1"),
        ({"bits": np.array([1, 0])}, "bits", "shape"),
        ({"dials": np.array([1, 9])}, "dials", "shape"),
        ({"dials": np.array([1.0, 8.0])}, "dials", "float64"),
        ({"dials": [1, 9]}, "dials", "list [1, 9]"),
        ({"dials": [1, [8, 8]]}, "dials", "list [1, [8, 8]]"),
        ({"dials": "18"}, "dials", "str '18'"),
        ({"mode": 0}, "mode", "int 0"),
        ({"mode": 1.0}, "mode", "float 1.0"),
        ({"mode": np.array([1, 2])}, "mode", "int64 of shape (2,)"),
        ({"mode": None}, "mode", "NoneType None"),
        ({"pair": (np.zeros(3), np.array(1))}, "pair.0", "float64 of shape (3,)"),
        ({"pair": (np.zeros(2, complex), np.array(1))}, "pair.0", "complex128 of shape"),
        ({"pair": ([0.5, 1e300], np.array(1))}, "pair.0", "list [0.5, 1e+300]"),
        ({"pair": (["a", "b"], np.array(1))}, "pair.0", "list ['a', 'b']"),
        ({"pair": ([0.5, None], np.array(1))}, "pair.0", "list [0.5, None]"),
        ({"pair": (np.zeros(2), np.array(1.5))}, "pair.1", "float64"),
        ({"pair": (np.zeros(2), np.nan)}, "pair.1", "float nan"),
        ({"pair": (np.zeros(2, np.float32),)}, "pair", "nothing called 1"),
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
    assert "nothing called word" in caught.value.got


BOX = spaces.Box(-1e9, 1e9, (2,))


@pytest.mark.parametrize(
    ("space", "obs", "row"),
    [
        (BOX, [0.5, -1], [0.5, -1]),
        (BOX, (0.5, -1), [0.5, -1]),
        (BOX, np.array([0.5, -1]), [0.5, -1]),
        (BOX, np.array([0.5, -1], np.float16), [0.5, -1]),
        (BOX, np.array([3, -1]), [3, -1]),
        (BOX, np.array([True, False]), [1, 0]),
        (spaces.Box(-1, 1, (2,), np.float64), np.array([0.5, -1], np.float32), [0.5, -1]),
        (spaces.Box(0, 255, (2,), np.uint8), np.array([255, 0]), [255, 0]),
        (spaces.Box(0, 255, (2,), np.uint8), [255, 0], [255, 0]),
        (spaces.Box(-9, 9, (2,), np.int64), [3.0, -1.0], [3, -1]),
        (spaces.Box(0, 1, ()), 0.5, 0.5),
        (spaces.Box(0, 1, ()), np.float64(0.5), 0.5),
        (spaces.Box(0, 1, ()), np.array([0.5]), 0.5),
        (spaces.Box(0, 1, (1,)), 0.5, [0.5]),
        (spaces.Discrete(3, start=1), np.int8(2), 1),
        (spaces.Discrete(3, start=1), np.array([2]), 1),
        (spaces.Discrete(2), True, 1),
        (spaces.Discrete(2), np.bool_(True), 1),
        (spaces.MultiDiscrete([3, 4]), [1, 2], [1, 2]),
        (spaces.MultiDiscrete([3, 4]), (1, 2), [1, 2]),
        (spaces.MultiDiscrete([3, 4]), np.array([1, 2], np.int8), [1, 2]),
        (spaces.MultiBinary(3), [1, 0, 1], [1, 0, 1]),
        (spaces.MultiBinary(3), (True, False, True), [1, 0, 1]),
        (spaces.MultiBinary(3), np.array([1.0, 0.0, 1.0]), [1, 0, 1]),
    ],
    ids=str,
)
def test_values_of_another_form_become_what_the_space_declares(
    space: Any, obs: Any, row: Any
) -> None:
    pack = Packer(layout_of(space))
    shape, dtype = pack.layout.row
    rows = np.zeros((1, *shape), dtype)
    rows[0] = pack(obs)
    assert rows[0].tolist() == row
    inside = Packer(layout_of(spaces.Dict(a=spaces.Tuple([space]))))
    for nested in ({"a": (obs,)}, {"a": [obs]}):
        fields = inside.layout.view(inside(nested))
        assert fields["a.0"].tolist() == row
    assert not pack.rounded


@pytest.mark.parametrize(
    ("space", "obs"),
    [
        (BOX, np.array([2**24 + 1, 0])),
        (BOX, [2**24 + 1, 0]),
        (spaces.Box(-(2.0**60), 2.0**60, (2,), np.float64), np.array([2**53 + 1, 0])),
        (spaces.Box(0, 255, (2,), np.uint8), np.array([256, 0])),
        (spaces.Box(0, 255, (2,), np.uint8), [-1, 0]),
        (spaces.Box(-9, 9, (2,), np.int64), [0.5, 0]),
        (spaces.Box(-9, 9, (2,), np.int64), np.array([2**63, 0], np.uint64)),
        (BOX, [1e39, 0]),
    ],
    ids=str,
)
def test_values_that_would_change_are_refused(space: Any, obs: Any) -> None:
    with pytest.raises(MismatchError):
        Packer(layout_of(space))(obs)


def test_arrays_of_floats_that_lose_digits_are_rounded_and_named() -> None:
    pack = Packer(layout_of(spaces.Dict(a=BOX, b=BOX)))
    row = pack({"a": np.array([0.1, 1.0]), "b": [0.1, 1.0]})
    fields = pack.layout.view(row)
    for name in "ab":
        assert fields[name].tolist() == np.array([0.1, 1.0], np.float32).tolist()
    assert pack.rounded == {"a": "float64 for float32"}


def test_a_tuple_of_numbers_may_be_an_array() -> None:
    pack = Packer(layout_of(spaces.Tuple([spaces.Discrete(3), spaces.Discrete(4)])))
    fields = pack.layout.view(pack(np.array([2, 3])))
    assert [fields["0"].tolist(), fields["1"].tolist()] == [2, 3]


def test_rows_that_hold_no_number_are_found_in_any_part() -> None:
    pack = Packer(layout_of(SPACE))
    bad = observation(pair=(np.array([0, np.nan], np.float32), np.array(7)))
    rows = np.stack([pack(observation()).copy(), pack(bad).copy()])
    assert pack.not_finite(rows).tolist() == [False, True]


def test_a_text_alone_is_a_row_of_codes() -> None:
    pack = Packer(layout_of(spaces.Text(4, min_length=0, charset="xyz")))
    assert pack("zx").tolist() == [3, 1, 0, 0]
    assert pack("").tolist() == [0, 0, 0, 0]
