"""Running mean and variance of a stream of batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rltrain.core.state import Stateful


class RunningMoments(Stateful):
    """Mean and population variance of everything seen, elementwise over `shape`.

    Batches are merged exactly (Chan, Golub & LeVeque 1979). Before the first batch the
    mean is 0 and the variance 1.
    """

    _state = ("mean", "var", "count")

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.mean = np.zeros(shape, np.float64)
        self.var = np.ones(shape, np.float64)
        self.count = 0

    def update(self, batch: NDArray[Any]) -> None:
        """Merges a batch `[N, *shape]`."""
        count = len(batch)
        if count == 0:
            return
        batch = batch.astype(np.float64)
        mean, var = batch.mean(0), batch.var(0)
        total = self.count + count
        delta = mean - self.mean
        squares = self.var * self.count + var * count + delta**2 * self.count * count / total
        self.mean = np.asarray(self.mean + delta * count / total)
        self.var = np.asarray(squares / total)
        self.count = total

    def normalize(self, x: NDArray[Any], clip: float = 10.0) -> NDArray[np.float32]:
        """(x − mean) / σ, clipped to ±`clip`, as float32."""
        z = (x - self.mean) / np.sqrt(self.var + 1e-8)
        scaled: NDArray[np.float32] = np.clip(z, -clip, clip).astype(np.float32)
        return scaled

    def scale(self, x: NDArray[np.floating], clip: float = 10.0) -> NDArray[np.float32]:
        """x / σ, clipped to ±`clip`: for rewards, whose sign and zero must stay."""
        return np.clip(x / np.sqrt(self.var + 1e-8), -clip, clip).astype(np.float32)


def standardized(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """`x` `[N]` with mean 0 and standard deviation 1; one sample alone is left as it is."""
    if len(x) < 2:
        return x
    scaled: NDArray[np.floating] = (x - x.mean()) / (x.std(ddof=1) + 1e-8)
    return scaled
