from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.spaces import KINDS, dtype_of, kind_of, size_of, to_box

UNIT = spaces.Box(0, 1, (2,))


class Odd(gym.Space):
    pass


@pytest.mark.parametrize(
    ("space", "kind"),
    [
        (UNIT, "Box"),
        (spaces.Discrete(3), "Discrete"),
        (spaces.MultiDiscrete([2, 3]), "MultiDiscrete"),
        (spaces.MultiBinary(3), "MultiBinary"),
        (spaces.Text(4), "Text"),
        (spaces.Dict({"a": UNIT}), "Dict"),
        (spaces.Tuple([UNIT]), "Tuple"),
        (spaces.Sequence(UNIT), "Sequence"),
        (spaces.Graph(UNIT, None), "Graph"),
        (spaces.OneOf([UNIT]), "OneOf"),
        (Odd(), "Odd"),
    ],
)
def test_kind_of(space: gym.Space, kind: str) -> None:
    assert kind_of(space) == kind


def test_every_kind_names_its_class() -> None:
    assert all(cls.__name__ == name for name, cls in KINDS.items())


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (spaces.Discrete(5), 5),
        (spaces.Discrete(5, start=-2), 5),
        (spaces.Box(0, 1, (3,)), 3),
        (spaces.Box(0, 255, (4, 5, 3), np.uint8), 60),
        (spaces.Box(0, 1, ()), 1),
    ],
)
def test_size_of(space: gym.Space, size: int) -> None:
    assert size_of(space) == size


@pytest.mark.parametrize(
    ("space", "dtype"),
    [
        (spaces.Box(0, 1, (3,), np.float64), np.float64),
        (spaces.Box(0, 255, (3,), np.uint8), np.uint8),
        (spaces.Discrete(5), np.int64),
    ],
)
def test_dtype_of(space: gym.Space, dtype: type) -> None:
    assert dtype_of(space) == np.dtype(dtype)


@pytest.mark.parametrize(
    ("dtype", "low", "high", "given", "expected"),
    [
        (np.int32, -5, 5, [-9.0, -0.6, -0.4, 0.4, 0.6, 4.6, 9.0], [-5, -1, 0, 0, 1, 5, 5]),
        (np.uint8, 0, 255, [-0.4, 0.6, 254.6, 300.0], [0, 1, 255, 255]),
        (np.int64, 0, 5, [4.99, 4.4, 5.0], [5, 4, 5]),
        (np.float32, -1, 1, [-2.0, 0.25, 2.0], [-1.0, 0.25, 1.0]),
    ],
)
def test_actions_as_a_box_takes_them(
    dtype: Any, low: int, high: int, given: list[float], expected: list[float]
) -> None:
    space = spaces.Box(low, high, (len(given),), dtype)
    taken = to_box(np.array([given], np.float32), space)
    assert taken.dtype == dtype
    assert taken.tolist() == [expected]
