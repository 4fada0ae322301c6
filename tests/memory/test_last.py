import numpy as np

from rltrain.core.types import Transition
from rltrain.memory.last import LastTransition


def step() -> Transition:
    rows, flags = np.zeros(1, np.float32), np.zeros(1, np.bool_)
    return Transition(rows, rows, rows, flags, flags, rows, {})


def test_it_starts_empty() -> None:
    assert LastTransition().step is None


def test_it_holds_the_newest_step() -> None:
    memory, newest = LastTransition(), step()
    memory.add(step())
    memory.add(newest)
    assert memory.step is newest


def test_ending_episodes_keeps_the_step() -> None:
    memory, newest = LastTransition(), step()
    memory.add(newest)
    memory.end_episodes()
    assert memory.step is newest


def test_it_has_no_state() -> None:
    memory = LastTransition()
    memory.add(step())
    assert memory.state_dict() == {}
    memory.load_state_dict({})
