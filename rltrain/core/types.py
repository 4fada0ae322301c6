"""What the rooms of the house hand to each other."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rltrain.core.state import Stateful

Rows = NDArray[Any]


def any_of(flags: NDArray[np.bool_]) -> bool:
    """Whether one of the flags is set: `flags.any()` in a tenth of its time, if they are few."""
    return 1 in flags.tobytes()


class Transition(NamedTuple):  # made every step, and a fifth of a frozen dataclass's cost
    """One step of B environments; every array is `[B, ...]`.

    `successor` is the true successor: the final observation where an episode ended.
    `extras` is what the policy returned beside the action. Rows that are not `valid` carry
    no transition: their agent was gone; None where all are.
    """

    obs: Rows
    action: Rows
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    successor: Rows
    extras: dict[str, Rows]
    valid: NDArray[np.bool_] | None = None

    def cut_off(self, t: int) -> list[tuple[int, int, Rows]]:
        """`t`, the environment, and the final observation of each episode that was truncated
        and did not terminate."""
        cut = self.truncated & ~self.terminated
        return [(t, int(b), self.successor[b].copy()) for b in np.flatnonzero(cut)]

    def take(self, rows: Any) -> Transition:
        """The rows that a slice, an index or a mask picks."""
        return Transition(
            self.obs[rows],
            self.action[rows],
            self.reward[rows],
            self.terminated[rows],
            self.truncated[rows],
            self.successor[rows],
            {name: values[rows] for name, values in self.extras.items()},
            None if self.valid is None else self.valid[rows],
        )


def remember(memory: Any, step: Transition) -> None:
    """Write a step into a memory; where a row is not valid, its episode ended with the row before.

    That one is truncated: its agent is gone, or its environment raised.
    """
    if step.valid is not None and not step.valid.all():
        memory.end_episodes(~step.valid)
    memory.add(step)


class Progress(Stateful):
    """How far a run is, in environment steps.

    Schedules follow `fraction`, which is of `schedule_total`: the total that the run was
    started with, or to which its schedules were extended when it was resumed for longer.
    """

    _state = ("steps", "updates", "seen", "schedule_total")

    def __init__(self, total: int) -> None:
        self.total = total
        self.schedule_total = total
        self.steps = 0
        self.updates = 0
        self.seen = 0  # steps at the last look of the loop's events

    @property
    def fraction(self) -> float:
        return self.fraction_at(self.steps)

    def fraction_at(self, steps: int) -> float:
        """How far `steps` is on the way to the end of schedules, within 0 and 1."""
        return min(max(steps / self.schedule_total, 0.0), 1.0)

    def crossed(self, every: int) -> bool:
        """Whether a multiple of `every` steps was reached since the last look; never for 0."""
        return every > 0 and self.steps // every > self.seen // every
