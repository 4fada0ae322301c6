"""Augmentations that move or hide parts of pictures.

All pictures of a stack are changed alike.

Legend: N pictures, C channels, H rows, W columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rltrain.augment.base import Augmentation


class Shift(Augmentation):
    """Random shift of DrQ (Yarats et al. 2021, arXiv 2004.13649): each picture is padded by
    repeating its edges, and a window of its size cut out anywhere."""

    def __call__(self, x: Tensor, white: float) -> Tensor:
        most, count = self.settings.pixels, len(x)
        down = self.integers(2 * most, count, x.device) - most
        right = self.integers(2 * most, count, x.device) - most
        return shifted(x, down, right)


class Crop(Augmentation):
    """Random crop after RAD (Laskin et al. 2020, arXiv 2004.14990): a window of each picture.

    RAD shows networks the small window; here it is brought back to the picture's size by the
    nearest pixels, so that networks act on whole pictures.
    """

    def __call__(self, x: Tensor, white: float) -> Tensor:
        height, width = x.shape[-2:]
        rows = max(1, round(self.settings.share * height))
        columns = max(1, round(self.settings.share * width))
        top = self.integers(height - rows, len(x), x.device)
        left = self.integers(width - columns, len(x), x.device)
        return window(x, top, left, rows, columns)


class Cutout(Augmentation):
    """Cut-out after RAD: a box of each picture is black."""

    def __call__(self, x: Tensor, white: float) -> Tensor:
        s, (height, width), count = self.settings, x.shape[-2:], len(x)
        side = self.uniform(s.smallest, max(s.smallest, s.largest), count, x.device)
        rows, columns = (side * height).round().long(), (side * width).round().long()
        places = (self.uniform(0, 1, count, x.device) for _ in range(2))
        top, left = (
            (place * (whole - box + 1)).long()
            for place, whole, box in zip(places, (height, width), (rows, columns), strict=True)
        )
        return x.masked_fill(box_of(x, top, left, rows, columns), 0)


def shifted(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Each picture `[N, C, H, W]` moved by `down` and `right` `[N]`, its edges repeated."""
    height, width = x.shape[-2:]
    rows = (torch.arange(height, device=x.device) - down[:, None]).clamp(0, height - 1)
    columns = (torch.arange(width, device=x.device) - right[:, None]).clamp(0, width - 1)
    return _picked(x, rows, columns)


def window(x: Tensor, top: Tensor, left: Tensor, rows: int, columns: int) -> Tensor:
    """Of each picture `[N, C, H, W]` the window from `top`, `left` `[N]` on, in its full size."""
    height, width = x.shape[-2:]
    down = (torch.arange(height, device=x.device) * rows) // height
    right = (torch.arange(width, device=x.device) * columns) // width
    return _picked(x, top[:, None] + down, left[:, None] + right)


def box_of(x: Tensor, top: Tensor, left: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Which pixels of pictures `[N, C, H, W]` lie in a box of each: `[N, 1, H, W]`."""
    y = torch.arange(x.shape[-2], device=x.device)
    z = torch.arange(x.shape[-1], device=x.device)
    tall = (y >= top[:, None]) & (y < (top + rows)[:, None])
    wide = (z >= left[:, None]) & (z < (left + columns)[:, None])
    return (tall[:, :, None] & wide[:, None, :])[:, None]


def _picked(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels at `rows` `[N, H]` and `columns` `[N, W]`."""
    n = torch.arange(len(x), device=x.device)[:, None, None, None]
    c = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
    return x[n, c, rows[:, None, :, None], columns[:, None, None, :]]
