"""Exploration by chance.

Legend: B environments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def epsilon_greedy(
    greedy: NDArray[Any], num_actions: int, epsilon: float, rng: np.random.Generator
) -> NDArray[Any]:
    """The greedy actions `[B]`, each with probability ε replaced by one drawn uniformly."""
    explore = rng.random(len(greedy)) < epsilon
    return np.where(explore, rng.integers(num_actions, size=len(greedy)), greedy)
