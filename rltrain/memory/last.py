"""The memory of methods that learn from each step as it comes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rltrain.core.state import Stateful
from rltrain.core.types import Transition


class LastTransition(Stateful):
    """Holds the newest step until it is learned from; empty between updates."""

    def __init__(self) -> None:
        self.step: Transition | None = None

    def add(self, step: Transition) -> None:
        self.step = step if step.valid is None else step.take(step.valid)

    def end_episodes(self, which: NDArray[np.bool_] | None = None) -> None:
        """Nothing to do: the step was learned from with its own successor."""
