"""Exploration by chance.

Legend: B environments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
    explore = rng.random(count) < epsilon
    drawn = rng.integers(num_actions, size=count)
    return drawn if explore.all() else np.where(explore, drawn, greedy())
