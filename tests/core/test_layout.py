"""Where the parts of an observation lie, and what they are taken for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import Space, spaces

from rltrain.core.errors import UserError
from rltrain.core.layout import (
    ROOT,
    TEXT_LENGTH,
    channel_axis,
    describe_picture,
    is_picture,
    layout_of,
    parts_of,
)
from rltrain.core.spaces import dtype_of, kind_of, shape_of

UNIT = spaces.Box(0, 1, (2,))
BYTES = np.uint8


class Mission(Space[str]):
    """A space of strings of somebody else's, without bounds."""

    def __init__(self) -> None:
        super().__init__(dtype=str)


NESTED = spaces.Dict(
    {
        "word": spaces.Text(5, charset="ab"),  # 5 bytes at 0
        "robot": spaces.Dict(
            {
                "joints": spaces.Box(-1, 1, (2,)),  # 8 bytes, aligned to 4
                "mode": spaces.Discrete(3, start=1),  # 8 bytes, aligned to 8
            }
        ),
        "both": spaces.Tuple([spaces.MultiBinary(3), spaces.MultiDiscrete([2, 4])]),
        "camera": spaces.Box(0, 255, (8, 8, 3), BYTES),
    }
)


def test_parts_have_a_name_and_an_aligned_place_in_the_space_s_order() -> None:
    layout = layout_of(NESTED)
    assert layout.packed
    assert not layout.flat
    places = [(leaf.name, leaf.kind, leaf.offset, leaf.nbytes) for leaf in layout.leaves]
    assert places == [
        ("both.0", "numbers", 0, 3),
        ("both.1", "choices", 8, 16),
        ("camera", "picture", 24, 192),
        ("robot.joints", "numbers", 216, 8),
        ("robot.mode", "discrete", 224, 8),
        ("word", "text", 232, 5),
    ]
    assert layout.row == ((240,), np.dtype(BYTES))  # 237, made a multiple of 8
    assert [leaf.size for leaf in layout.leaves] == [3, 6, 192, 2, 3, 5]
    assert (shape_of(NESTED), dtype_of(NESTED)) == layout.row


def test_a_packed_row_is_viewed_without_a_copy() -> None:
    layout = layout_of(spaces.Dict({"a": UNIT, "b": spaces.Discrete(9)}))
    rows = np.zeros((2, 3, *layout.row[0]), BYTES)
    layout.view(rows)["b"][1, 2] = 7
    layout.view(rows)["a"][1, 2] = 0.5, 0.25
    assert rows[1, 2].view(np.float32)[:2].tolist() == [0.5, 0.25]
    assert rows[1, 2, 8:].view(np.int64).tolist() == [7]
    assert not rows[0].any()
    assert not rows[1, :2].any()


@pytest.mark.parametrize(
    ("space", "shape", "dtype", "kind", "size"),
    [
        (UNIT, (2,), np.float32, "numbers", 2),
        (spaces.Discrete(4), (), np.int64, "discrete", 4),
        (spaces.MultiDiscrete([[2, 3], [4, 5]]), (2, 2), np.int64, "choices", 14),
        (spaces.MultiBinary([2, 3]), (2, 3), np.int8, "numbers", 6),
        (spaces.Box(0, 255, (84, 84, 1), BYTES), (84, 84, 1), BYTES, "picture", 7056),
        (spaces.Text(7), (7,), BYTES, "text", 7),
        (spaces.Text(7, charset="".join(map(chr, range(300)))), (7,), np.int32, "text", 7),
        (Mission(), (TEXT_LENGTH,), BYTES, "text", TEXT_LENGTH),
    ],
)
def test_one_part_is_a_row_as_its_space_says(
    space: Space[Any], shape: tuple[int, ...], dtype: Any, kind: str, size: int
) -> None:
    layout = layout_of(space)
    (leaf,) = layout.leaves
    assert not layout.packed
    assert layout.row == (shape, np.dtype(dtype)) == (shape_of(space), dtype_of(space))
    assert (leaf.kind, leaf.size, leaf.name) == (kind, size, ROOT)
    assert layout.flat == (kind in ("numbers", "discrete", "choices"))
    assert layout.size == size


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        (np.float16, np.float32),
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.int16, np.float32),
        (np.int64, np.float64),
        (np.uint8, np.uint8),
        (np.bool_, np.uint8),
    ],
)
def test_numbers_of_a_packed_row_are_of_few_types(dtype: Any, stored: Any) -> None:
    high = 1 if dtype is np.bool_ else 100
    box = spaces.Box(0, high, (2,), dtype)
    (leaf,) = layout_of(spaces.Tuple([box])).leaves
    assert leaf.dtype == np.dtype(stored)


def test_bytes_are_scaled_by_the_highest_that_the_space_has() -> None:
    scales = [layout_of(spaces.Box(0, high, (3,), BYTES)).leaves[0].scale for high in (255, 10, 0)]
    assert scales == [255, 10, 1]


def test_the_alphabet_is_in_the_same_order_in_every_process() -> None:
    assert layout_of(spaces.Text(3, charset="cab")).leaves[0].alphabet == "abc"
    assert layout_of(spaces.Text(3, charset=frozenset("bca"))).leaves[0].alphabet == "abc"


def test_a_space_of_strings_is_a_text() -> None:
    assert kind_of(Mission()) == "Text"


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((84, 84, 3), "last"),
        ((3, 84, 84), "first"),
        ((4, 84, 84), "first"),
        ((210, 160, 3), "last"),
        ((3, 210, 160), "first"),
        ((84, 84, 1), "last"),
        ((10, 10, 4), "last"),
        ((10, 10, 10), "last"),  # equal: the last
        ((10, 10, 16), "last"),  # both may be, and one leaves a square
        ((16, 10, 10), "first"),
        ((7, 7, 3), "last"),
        ((3, 10, 12), "first"),  # no square: the smaller
        ((12, 10, 3), "last"),
        ((32, 32, 32), "last"),
        ((64, 64, 64), None),
    ],
)
def test_channels_are_found(shape: tuple[int, ...], axis: str | None) -> None:
    assert channel_axis(shape) == axis


@pytest.mark.parametrize(
    ("space", "picture"),
    [
        (spaces.Box(0, 255, (84, 84, 3), BYTES), True),
        (spaces.Box(-np.inf, np.inf, (3, 9, 9)), True),
        (spaces.Box(0, 1, (10, 10, 4), np.bool_), True),
        (spaces.Box(0, 255, (4, 84, 84, 3), BYTES), True),
        (spaces.Box(0, 255, (84, 84), BYTES), True),
        (spaces.Box(0, 1, (84, 84)), True),
        (spaces.Box(0, 255, (84, 84)), True),
        (spaces.Box(0, 255, (84, 84), np.int32), True),
        (spaces.Box(-1, 1, (84, 84)), False),  # a table of numbers
        (spaces.Box(0, 9, (84, 84)), False),
        (spaces.Box(0, 255, (2, 2), BYTES), False),
        (spaces.Box(0, 255, (6, 7, 2), BYTES), False),
        (spaces.Box(0, 255, (128,), BYTES), False),
        (spaces.Box(0, 1, (64, 64, 64)), False),
        (spaces.Box(0, 1, ()), False),
    ],
)
def test_pictures_are_told_by_their_shape(space: spaces.Box, picture: bool) -> None:
    assert is_picture(space) is picture


@pytest.mark.parametrize(
    ("shape", "channels", "expected"),
    [
        ((84, 80, 3), "auto", (3, 84, 80)),
        ((3, 84, 80), "auto", (3, 84, 80)),
        ((10, 12, 9), "auto", (9, 10, 12)),
        ((10, 12, 9), "first", (10, 12, 9)),
        ((4, 84, 80, 3), "auto", (12, 84, 80)),
        ((4, 3, 84, 80), "auto", (12, 84, 80)),
    ],
)
def test_the_measures_of_a_picture(
    shape: tuple[int, ...], channels: str, expected: tuple[int, int, int]
) -> None:
    leaf = layout_of(spaces.Box(0, 255, shape, BYTES)).leaves[0]
    assert describe_picture(leaf, channels) == expected


def test_two_axes_are_one_channel() -> None:
    leaf = layout_of(spaces.Box(0, 255, (84, 80), BYTES)).leaves[0]
    assert describe_picture(leaf, "auto") == (1, 84, 80)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Dict({"a": spaces.Sequence(UNIT)}), "of a, a Sequence, are not supported"),
        (
            spaces.Dict({"a": spaces.Tuple([UNIT, spaces.Graph(UNIT, None)])}),
            r"of a.1, a Graph, are not supported.*env.drop_keys=\[a.1\]",
        ),
        (spaces.OneOf([UNIT]), "of a OneOf, are not supported"),
        (spaces.Dict({}), "nothing in it"),
        (
            spaces.Dict({"a.b": UNIT, "a": spaces.Dict({"b": UNIT})}),
            "two parts are both called a.b",
        ),
    ],
)
def test_what_no_network_takes_is_named(space: Space[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        layout_of(space)


def test_parts_are_listed_with_the_way_to_each() -> None:
    paths = [path for path, _ in parts_of(NESTED)]
    assert paths == [
        ("both", 0),
        ("both", 1),
        ("camera",),
        ("robot", "joints"),
        ("robot", "mode"),
        ("word",),
    ]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("dtype", "high", "stored", "scale"),
    [
        (np.uint8, 255, np.uint8, 255),
        (np.int16, 255, np.uint8, 255),
        (np.int32, 255, np.uint8, 255),
        (np.int64, 10, np.uint8, 10),
        (np.float32, 255, np.float32, 255),
        (np.float32, 1, np.float32, 1),
        (np.uint16, 65535, np.uint16, 65535),
        (np.float32, np.inf, np.float32, 1),
        (np.bool_, 1, np.bool_, 1),
    ],
)
def test_a_picture_is_scaled_by_its_highest_pixel_whatever_its_dtype(
    packed: bool, dtype: Any, high: float, stored: Any, scale: float
) -> None:
    """And integers that fit into bytes are stored as such."""
    picture = spaces.Box(0, high, (8, 8, 3), dtype)
    leaf = layout_of(spaces.Dict({"camera": picture}) if packed else picture).leaves[0]
    assert leaf.scale == scale
    if not packed:
        assert leaf.dtype == dtype_of(picture) == stored
    elif np.dtype(stored) == np.uint8:
        assert leaf.dtype == np.uint8


def test_numbers_below_zero_are_not_scaled() -> None:
    leaf = layout_of(spaces.Box(-128, 127, (8, 8, 3), np.int8)).leaves[0]
    assert (leaf.scale, leaf.dtype) == (1, np.int8)
