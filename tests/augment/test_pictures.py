"""Pictures that are moved, cropped and cut out, by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from rltrain.augment.pictures import Crop, Cutout, Shift, box_of, shifted, window

# 1 2 3
# 4 5 6
# 7 8 9
PICTURE = torch.arange(1, 10, dtype=torch.uint8).reshape(1, 1, 3, 3)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def settings(**values: Any) -> Any:
    return SimpleNamespace(**values)


def test_a_shift_moves_and_repeats_the_edge() -> None:
    down = shifted(PICTURE, torch.tensor([1]), torch.tensor([0]))
    assert down.tolist() == [[[[1, 2, 3], [1, 2, 3], [4, 5, 6]]]]
    left = shifted(PICTURE, torch.tensor([0]), torch.tensor([-1]))
    assert left.tolist() == [[[[2, 3, 3], [5, 6, 6], [8, 9, 9]]]]
    both = shifted(PICTURE, torch.tensor([-2]), torch.tensor([2]))
    assert both.tolist() == [[[[7, 7, 7], [7, 7, 7], [7, 7, 7]]]]


def test_each_picture_moves_by_itself_and_its_channels_together() -> None:
    two = torch.cat([PICTURE, PICTURE]).repeat(1, 2, 1, 1)
    moved = shifted(two, torch.tensor([0, 1]), torch.tensor([0, 0]))
    assert torch.equal(moved[0], two[0])
    assert moved[1, 0].tolist() == moved[1, 1].tolist() == [[1, 2, 3], [1, 2, 3], [4, 5, 6]]


def test_shifts_are_all_that_there_are_and_no_more() -> None:
    spot = torch.zeros(400, 1, 5, 5, dtype=torch.uint8)
    spot[:, :, 2, 2] = 1
    moved = Shift(settings(pixels=1), rng())(spot, 255.0)
    assert moved.dtype == torch.uint8
    places = {tuple(p) for p in moved.nonzero()[:, 2:].tolist()}
    assert places == {(y, x) for y in (1, 2, 3) for x in (1, 2, 3)}


def test_a_window_is_brought_back_to_full_size() -> None:
    picture = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4)
    seen = window(picture, torch.tensor([1]), torch.tensor([2]), 2, 2)
    # 6 7 over 10 11, each twice as large
    assert seen.tolist() == [[[[6, 6, 7, 7], [6, 6, 7, 7], [10, 10, 11, 11], [10, 10, 11, 11]]]]


def test_a_crop_of_the_whole_picture_changes_nothing() -> None:
    assert torch.equal(Crop(settings(share=1.0), rng())(PICTURE, 255.0), PICTURE)


def test_crops_come_from_everywhere() -> None:
    many = PICTURE.repeat(200, 1, 1, 1)
    corners = set(Crop(settings(share=2 / 3), rng())(many, 255.0)[:, 0, 0, 0].tolist())
    assert corners == {1, 2, 4, 5}


def test_a_box_lies_where_it_is_put() -> None:
    top, left = torch.tensor([1]), torch.tensor([0])
    box = box_of(PICTURE, top, left, torch.tensor([2]), torch.tensor([1]))
    assert box.int().tolist() == [[[[0, 0, 0], [1, 0, 0], [1, 0, 0]]]]


def test_a_cutout_blackens_one_box_within_its_bounds() -> None:
    white = torch.full((300, 2, 10, 10), 255, dtype=torch.uint8)
    seen = Cutout(settings(smallest=0.2, largest=0.4), rng())(white, 255.0)
    black = seen == 0
    assert torch.equal(black[:, 0], black[:, 1])
    sides = {(int(b.any(1).sum()), int(b.any(0).sum())) for b in black[:, 0]}
    assert sides == {(2, 2), (3, 3), (4, 4)}
    areas = {int(b.sum()) for b in black[:, 0]}
    assert areas == {4, 9, 16}
    assert black.any(0).any(0).all()  # anywhere
    assert set(seen.unique().tolist()) == {0, 255}
