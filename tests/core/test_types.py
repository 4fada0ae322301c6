import numpy as np
import pytest

from rltrain.core.types import Progress, Transition


def test_a_transition_cannot_be_changed() -> None:
    flags = np.zeros(1, np.bool_)
    rows = np.zeros(1, np.float32)
    step = Transition(rows, rows, rows, flags, flags, rows, {})
    with pytest.raises(AttributeError):
        step.reward = rows  # type: ignore[misc] # that is the point


def test_what_was_cut_off_is_truncated_and_not_terminated() -> None:
    rows = np.arange(4, dtype=np.float32)
    terminated, truncated = np.array([0, 1, 0, 1], bool), np.array([0, 0, 1, 1], bool)
    successor = np.array([[0, 1], [2, 3], [4, 5], [6, 7]], np.float32)
    step = Transition(successor, rows, rows, terminated, truncated, successor, {})
    ((t, env, final),) = step.cut_off(7)
    successor[2] = 9  # the next step is written there
    assert (t, env, final.tolist()) == (7, 2, [4.0, 5.0])


@pytest.mark.parametrize(("steps", "fraction"), [(0, 0.0), (50, 0.25), (200, 1.0), (300, 1.0)])
def test_fraction_of_the_total_never_passes_one(steps: int, fraction: float) -> None:
    progress = Progress(200)
    progress.steps = steps
    assert progress.fraction == fraction


def test_a_longer_total_leaves_the_schedule_as_it_was() -> None:
    source = Progress(100)
    source.steps = 50
    resumed = Progress(400)
    resumed.load_state_dict(source.state_dict())
    assert resumed.total == 400
    assert resumed.fraction == 0.5


@pytest.mark.parametrize(
    ("seen", "steps", "every", "crossed"),
    [
        (0, 9, 10, False),
        (0, 10, 10, True),
        (10, 10, 10, False),
        (10, 19, 10, False),
        (9, 35, 10, True),
        (10, 11, 1, True),
        (0, 1000, 0, False),
    ],
)
def test_crossed_asks_for_a_multiple_since_the_last_look(
    seen: int, steps: int, every: int, crossed: bool
) -> None:
    progress = Progress(1000)
    progress.seen, progress.steps = seen, steps
    assert progress.crossed(every) is crossed


def test_state_round_trip() -> None:
    source = Progress(100)
    source.steps, source.updates, source.seen = 30, 4, 20
    copy = Progress(100)
    copy.load_state_dict(source.state_dict())
    assert (copy.steps, copy.updates, copy.seen, copy.schedule_total) == (30, 4, 20, 100)
