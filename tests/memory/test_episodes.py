"""Whole episodes are handed out, the beginnings of others stay."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.state import digest
from rltrain.core.types import Transition
from rltrain.memory.episodes import Episodes
from tests.memory.test_rollout import step, through_file

BOX = spaces.Box(-100, 100, (2,))
F, T = False, True


def episodes(*steps: Transition) -> Episodes:
    memory = Episodes(2, BOX, spaces.Discrete(4))
    for row in steps:
        memory.add(row)
    return memory


def rewards(memory: Episodes) -> list[float]:
    return memory["reward"][memory.complete()].tolist()


def test_rows_before_an_end_are_complete() -> None:
    memory = episodes(step(0), step(1, terminated=(T, F)), step(2, truncated=(F, T)), step(3))
    assert memory.count == 2
    assert memory.complete().tolist() == [[T, T], [T, T], [F, T], [F, F]]
    assert rewards(memory) == [0, -0, 1, -1, -2]
    assert memory["action"][memory.complete()].tolist() == [0, 1, 1, 2, 3]


def test_two_episodes_of_one_environment() -> None:
    memory = episodes(step(0, terminated=(T, F)), step(1), step(2, terminated=(T, F)))
    assert memory.count == 2
    assert memory.complete().tolist() == [[T, F], [T, F], [T, F]]


def test_nothing_is_complete_at_first() -> None:
    memory = episodes(step(0), step(1))
    assert memory.count == 0
    assert not memory.complete().any()


def test_open_episodes_stay_with_their_rows() -> None:
    memory = episodes(step(0), step(1, terminated=(T, F)), step(2))
    memory.drop()  # of environment 0 row 2 is left, of environment 1 all three
    assert memory.count == 0
    assert memory.position == 3
    for row in (step(3, terminated=(F, T)), step(4, terminated=(T, F))):
        memory.add(row)
    assert memory.count == 2
    assert memory.complete().tolist() == [[F, T], [F, T], [T, T], [T, T], [T, F]]
    assert memory["obs"][memory.complete()][:, 0].tolist() == [50, 51, 2, 52, 3, 53, 4]


def test_rows_that_nobody_needs_are_given_back() -> None:
    memory = episodes(step(0, terminated=(T, F)), step(1, terminated=(F, T)), step(2))
    memory.drop()
    assert memory.position == 2  # rows 1 and 2: environment 0 began its second episode in row 1
    assert memory.first.tolist() == [0, 1]
    assert memory["obs"][:, 0, 0].tolist() == [1, 2]


def test_final_observations_of_truncated_rows_follow_them() -> None:
    memory = episodes(step(0, truncated=(T, F)), step(1, truncated=(T, T), terminated=(T, F)))
    obs, (times, envs) = memory.bootstraps()
    assert obs.tolist() == [[0.25, 0.25], [51.25, 51.25]]  # where both are set, it terminated
    assert (times.tolist(), envs.tolist()) == ([0, 1], [0, 1])
    memory.drop()
    assert len(memory.bootstraps()[0]) == 0
    memory.add(step(7, truncated=(F, T)))
    memory.drop()
    memory.add(step(8, truncated=(T, F)))
    assert [(t, b) for t, b, _ in memory.final_obs] == [(1, 0)]


def test_end_episodes_truncates_what_is_open() -> None:
    memory = episodes(step(0), step(1, terminated=(T, F)))
    for _ in range(2):  # the second time changes nothing
        memory.end_episodes()
        assert memory["truncated"].tolist() == [[F, F], [F, T]]
        assert memory.count == 2
        assert memory.bootstraps()[0].tolist() == [[51.25, 51.25]]
    memory.drop()
    memory.end_episodes()
    assert memory.position == memory.count == 0


def test_it_grows_with_the_longest_episode() -> None:
    memory = episodes(*(step(t) for t in range(600)))
    assert memory["obs"][:, 1, 0].tolist() == [t + 50 for t in range(600)]
    assert digest(through_file(memory.state_dict())) == digest(memory.state_dict())
    copy = episodes()
    copy.load_state_dict(through_file(memory.state_dict()))
    for one in (memory, copy):
        one.add(step(600, terminated=(T, T)))
    assert digest(copy.state_dict()) == digest(memory.state_dict())
    assert copy.complete().all()


def test_state_round_trip_goes_on_alike() -> None:
    source = episodes(step(0, truncated=(T, F)), step(1), step(2, terminated=(T, F)), step(3))
    source.drop()
    copy = episodes(step(9), step(9), step(9, truncated=(T, T)))  # all of it is overwritten
    copy.load_state_dict(through_file(source.state_dict()))
    for memory in (source, copy):
        memory.end_episodes()
        memory.add(step(4, terminated=(F, T)))
    assert digest(copy.state_dict()) == digest(source.state_dict())
    assert rewards(copy) == rewards(source)


def test_state_of_another_number_of_environments_is_refused() -> None:
    with pytest.raises(ValueError, match="saved with shape"):
        Episodes(3, BOX, spaces.Discrete(4)).load_state_dict(episodes().state_dict())


def test_continuous_actions_are_kept_as_they_were_drawn() -> None:
    memory = Episodes(1, BOX, spaces.Box(-1, 1, (2,)))
    action = np.array([[5.5, -7.25]], np.float32)
    flags = np.array([F])
    obs = np.zeros((1, 2), np.float32)
    memory.add(Transition(obs, action, np.ones(1, np.float32), flags, flags, obs, {}))
    assert memory["action"].tolist() == [[[5.5, -7.25]]]
