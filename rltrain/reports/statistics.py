"""Scores over runs, as the field trusts them (Agarwal et al. 2021, "Deep RL at the edge")."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def interquartile_mean(scores: Sequence[float]) -> float:
    """The mean without the lowest and the highest quarter (rounded down to whole runs)."""
    ordered = np.sort(np.asarray(scores, np.float64))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def bootstrap_interval(
    scores: Sequence[float], level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the interquartile mean over runs."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(np.asarray(scores, np.float64), (resamples, len(scores)))
    means = [interquartile_mean(sample) for sample in drawn.tolist()]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
