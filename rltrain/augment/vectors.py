"""Augmentations of numbers, in pictures and in vectors (RAD: Laskin et al. 2020, arXiv 2004.14990).

Legend: N samples.
"""

from __future__ import annotations

from torch import Tensor

from rltrain.augment.base import Augmentation


class Noise(Augmentation):
    """Gaussian noise on every number."""

    vectors = True

    def __call__(self, x: Tensor, white: float) -> Tensor:
        x = x.float()
        noise = self.normal(x) * float(self.settings.std * white)
        return x + noise


class Scale(Augmentation):
    """Random amplitude scaling: one factor for all numbers of a sample."""

    vectors = True

    def __call__(self, x: Tensor, white: float) -> Tensor:
        s = self.settings
        factor = self.uniform(s.low, max(s.low, s.high), len(x), x.device)
        return x.float() * factor.reshape(-1, *[1] * (x.dim() - 1))
