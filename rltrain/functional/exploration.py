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
