"""What exploration is: chance beside that of the policy, with a schedule.

Legend: B environments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rltrain.core.state import Stateful
from rltrain.functional.schedules import decayed

Rows = NDArray[Any]


class Exploration(Stateful):
    """No exploration; the others choose among actions, or perturb them.

    It belongs to a policy, whose state its own is part of. What goes on from step to step
    is a value that whoever acts holds.
    """

    ent_coef = 0.0  # c_H: weight of a stochastic policy's entropy in its loss

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def advance(self, fraction: float) -> dict[str, float]:
        """Follows its schedule to this share of training; returns metrics."""
        return {}

    def initial_state(self, num_envs: int) -> Rows | None:
        """State at the start of an episode `[B, ...]`; None where there is none."""
        return None

    def restart(self, state: Rows | None, ended: NDArray[np.bool_]) -> Rows | None:
        """The state with that of the environments whose episode `ended` `[B]` set back."""
        return state


def level(settings: Any, first: float, last: float, fraction: float) -> float:
    """A value on its way from `first` to `last`, at this share of training."""
    return decayed(settings.schedule, first, last, fraction / settings.fraction)
