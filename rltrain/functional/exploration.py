"""Exploration by chance.

Legend: B environments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rltrain.core.types import any_of


def epsilon_greedy(
    greedy: Callable[[], NDArray[Any]],
    count: int,
    num_actions: int,
    epsilon: float,
    rng: np.random.Generator,
) -> NDArray[Any]:
    """Greedy actions `[B]`, each with probability ε replaced by one drawn uniformly.

    `greedy` computes them, and is not asked where none of the `count` = B is wanted; what
    is drawn from `rng` is the same either way.
    """
    chance = rng.random((2, count))
    explore = chance[0] < epsilon
    if not any_of(explore):
        return greedy()
    drawn = (chance[1] * num_actions).astype(np.int64)  # integers() takes several times as long
    return drawn if explore.all() else np.where(explore, drawn, greedy())


def boltzmann(
    q_values: NDArray[Any], temperature: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Actions `[B]` drawn with probability ∝ exp(Q / temperature), of `q_values` `[B, A]`.

    By the largest of Q / temperature plus Gumbel noise (Gumbel 1954), which needs no sum
    and cannot overflow.
    """
    noise = -np.log(-np.log(rng.random(q_values.shape) + np.finfo(np.float64).tiny))
    best: NDArray[np.int64] = (q_values / temperature + noise).argmax(-1)
    return best
