from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from rltrain.core.layout import layout_of
from rltrain.core.state import digest
from rltrain.networks.encoders import Encoder
from rltrain.networks.inputs import Inputs
from tests.files import through_file
from tests.networks.settings import encoding

CPU = torch.device("cpu")
BOX = spaces.Box(-100, 100, (2,))
IMAGE = spaces.Box(0, 255, (2, 2), np.uint8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_box_of_floats_is_taken_as_it_is(dtype: type) -> None:
    inputs = Inputs(spaces.Box(-1, 1, (2,), dtype), False, CPU)
    x = inputs(np.array([[0.5, -0.25], [1, 0]], dtype))
    assert x.dtype == torch.float32
    assert x.tolist() == [[0.5, -0.25], [1, 0]]


def test_a_box_is_flattened_row_by_row() -> None:
    inputs = Inputs(spaces.Box(0, 100, (2, 3)), False, CPU)
    obs = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    assert inputs.size == 6
    assert inputs(obs).tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]


def test_a_box_without_dimensions_is_one_number() -> None:
    inputs = Inputs(spaces.Box(0, 9, ()), False, CPU)
    assert inputs(np.array([1.0, 2.0, 3.0], np.float32)).tolist() == [[1], [2], [3]]


@pytest.mark.parametrize("normalize", [False, True])
def test_bytes_are_scaled_to_one(normalize: bool) -> None:
    inputs = Inputs(IMAGE, normalize, CPU)
    inputs.observe(np.full((5, 2, 2), 7, np.uint8))
    x = inputs(np.array([[[0, 255], [51, 102]]], np.uint8))
    assert x.dtype == torch.float32
    assert x.tolist() == [pytest.approx([0.0, 1.0, 0.2, 0.4])]


@pytest.mark.parametrize("normalize", [False, True])
def test_discrete_becomes_one_hot(normalize: bool) -> None:
    inputs = Inputs(spaces.Discrete(3), normalize, CPU)
    inputs.observe(np.array([2, 2]))
    x = inputs(np.array([0, 2, 1]))
    assert x.dtype == torch.float32
    assert x.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_normalising_follows_what_was_observed() -> None:
    inputs = Inputs(BOX, True, CPU)
    obs = np.array([[3.0, 10.0], [5.0, 20.0]], np.float32)
    assert inputs(obs).tolist() == [pytest.approx([3, 10]), pytest.approx([5, 10])]  # cut at ±10
    inputs.observe(np.array([[1.0, 10.0], [5.0, 30.0]], np.float32))
    # Means 3 and 20, deviations 2 and 10
    assert inputs(obs).tolist() == [pytest.approx([0, -1]), pytest.approx([1, 0])]


def test_use_alone_leaves_the_statistics() -> None:
    inputs = Inputs(BOX, True, CPU)
    inputs.observe(np.array([[1.0, 10.0], [5.0, 30.0]], np.float32))
    before = digest(inputs.state_dict())
    inputs(np.full((4, 2), 50, np.float32))
    assert digest(inputs.state_dict()) == before
    inputs.observe(np.full((4, 2), 50, np.float32))
    assert digest(inputs.state_dict()) != before


def test_observations_are_not_written_to() -> None:
    inputs = Inputs(BOX, True, CPU)
    inputs.observe(np.array([[1.0, 10.0], [5.0, 30.0]], np.float32))
    obs = np.ones((1, 2), np.float32)
    inputs(obs)
    assert obs.tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("space", "normalize", "kept"),
    [
        (BOX, True, True),
        (BOX, False, False),
        (IMAGE, True, False),
        (spaces.Discrete(3), True, False),
    ],
)
def test_only_a_box_of_floats_that_is_normalised_has_statistics(
    space: gym.Space, normalize: bool, kept: bool
) -> None:
    assert (Inputs(space, normalize, CPU).moments is not None) is kept


@pytest.mark.parametrize("normalize", [False, True])
def test_state_round_trip_gives_the_same_inputs(normalize: bool) -> None:
    source, copy = Inputs(BOX, normalize, CPU), Inputs(BOX, normalize, CPU)
    source.observe(np.array([[1.0, 10.0], [5.0, 30.0]], np.float32))
    copy.load_state_dict(through_file(source.state_dict()))
    obs = np.array([[7.0, 25.0]], np.float32)
    expected = [2.0, 0.5] if normalize else [7.0, 25.0]  # (7 − 3)/2 and (25 − 20)/10
    assert copy(obs).tolist() == [pytest.approx(expected)]
    assert digest(copy.state_dict()) == digest(source.state_dict())


def test_normalised_numbers_are_cut_where_asked() -> None:
    inputs = Inputs(BOX, True, CPU, clip=0.5)
    inputs.observe(
        np.array([[1.0, 10.0], [5.0, 30.0]], np.float32)
    )  # means 3, 20; deviations 2, 10
    assert inputs(np.array([[2.5, 90.0]], np.float32)).tolist() == [pytest.approx([-0.25, 0.5])]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_every_box_is_normalised_where_asked_pictures_included(packed: bool, dtype: Any) -> None:
    """A network with encoders sees (x − mean) / σ, cut at ±5, and not divided by 255 again."""
    picture = spaces.Box(0, 255, (8, 8, 3), dtype)
    space = spaces.Dict({"camera": picture, "mode": spaces.Discrete(3)}) if packed else picture
    inputs = Inputs(space, True, CPU, clip=5.0, every_box=True)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (64, 8, 8, 3)).astype(dtype)
    rows, stored = pictures, layout_of(space)
    if packed:
        rows = np.zeros((64, *stored.row[0]), np.uint8)
        stored.view(rows)["camera"], stored.view(rows)["mode"] = pictures, 2
    inputs.observe(rows)
    pixels = pictures.astype(np.float64)
    expected = ((pixels - pixels.mean(0)) / pixels.std(0)).clip(-5, 5)
    encoder = Encoder(encoding(pictures="flat"), inputs.layout)
    found = encoder(inputs(rows)).numpy()
    assert found[:, :192] == pytest.approx(expected.reshape(64, -1), abs=1e-4)
    if packed:
        assert found[:, 192:].tolist() == [[0, 0, 1]] * 64
