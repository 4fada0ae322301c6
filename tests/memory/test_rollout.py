from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.errors import StateError
from rltrain.core.state import digest
from rltrain.core.types import Transition
from rltrain.functional.returns import gae
from rltrain.memory.rollout import Rollout
from tests.files import through_file

BOX = spaces.Box(-100, 100, (2,))
F, T = False, True


def rollout(num_steps: int = 3, num_envs: int = 2) -> Rollout:
    return Rollout(num_steps, num_envs, BOX, spaces.Discrete(4), {"value": ()})


def step(t: int, terminated: tuple[bool, ...] = (F, F), truncated: tuple = (F, F)) -> Transition:
    """Step t of two environments: obs t and t + 50, successors a quarter further."""
    obs = np.array([[t, t], [t + 50, t + 50]], np.float32)
    return Transition(
        obs=obs,
        action=np.array([t % 4, (t + 1) % 4]),
        reward=np.array([t, -t], np.float32),
        terminated=np.array(terminated),
        truncated=np.array(truncated),
        successor=obs + 0.25,
        extras={"value": np.array([10 * t, 20 * t], np.float32), "unused": np.zeros(2)},
    )


def filled(*steps: Transition) -> Rollout:
    memory = rollout()
    for row in steps:
        memory.add(row)
    return memory


def bootstraps(memory: Rollout) -> list[tuple[int, int, list[float]]]:
    """Each bootstrap as (time, environment, observation)."""
    obs, (times, envs) = memory.bootstraps()
    return list(zip(times.tolist(), envs.tolist(), obs.tolist(), strict=True))


LAST = [(2, 0, [2.25, 2.25]), (2, 1, [52.25, 52.25])]


def test_rows_are_written_in_order() -> None:
    memory = filled(step(0), step(1, terminated=(T, F)), step(2, truncated=(F, T)))
    assert memory.position == 3
    assert memory.obs[:, :, 0].tolist() == [[0, 50], [1, 51], [2, 52]]
    assert memory.action.tolist() == [[0, 1], [1, 2], [2, 3]]
    assert memory.reward.tolist() == [[0, 0], [1, -1], [2, -2]]
    assert memory.terminated.tolist() == [[F, F], [T, F], [F, F]]
    assert memory.truncated.tolist() == [[F, F], [F, F], [F, T]]
    assert {name: column.tolist() for name, column in memory.extras.items()} == {
        "value": [[0, 0], [10, 20], [20, 40]]
    }
    assert memory.successor.tolist() == [[2.25, 2.25], [52.25, 52.25]]


@pytest.mark.parametrize(
    ("observations", "actions", "obs", "action"),
    [
        (BOX, spaces.Discrete(4), ((3, 5, 2), np.float32), ((3, 5), np.int64)),
        (BOX, spaces.Box(-1, 1, (6,)), ((3, 5, 2), np.float32), ((3, 5, 6), np.float32)),
        (spaces.Discrete(9), spaces.Discrete(4), ((3, 5), np.int64), ((3, 5), np.int64)),
        (
            spaces.Box(0, 255, (4, 4), np.uint8),
            spaces.Box(-1, 1, (1,), np.float64),
            ((3, 5, 4, 4), np.uint8),
            ((3, 5, 1), np.float32),
        ),
    ],
)
def test_arrays_have_the_shapes_and_types_of_the_spaces(
    observations: Any, actions: Any, obs: tuple, action: tuple
) -> None:
    memory = Rollout(3, 5, observations, actions, {})
    assert (memory.obs.shape, memory.obs.dtype) == obs
    assert (memory.action.shape, memory.action.dtype) == action
    assert memory.successor.shape == obs[0][1:]


def test_a_continuous_action_is_kept_unclipped() -> None:
    memory = Rollout(1, 1, BOX, spaces.Box(-1, 1, (1,)), {})
    one, no = np.ones(1, np.float32), np.array([F])
    obs = np.zeros((1, 2), np.float32)
    memory.add(Transition(obs, np.array([[7.5]]), one, no, no, obs, {}))
    assert memory.action.tolist() == [[[7.5]]]


def test_without_episode_ends_only_the_last_row_bootstraps() -> None:
    assert bootstraps(filled(step(0), step(1), step(2))) == LAST


def test_a_truncated_row_in_the_middle_bootstraps_from_its_final_observation() -> None:
    memory = filled(step(0), step(1, truncated=(F, T)), step(2))
    assert bootstraps(memory) == [(1, 1, [51.25, 51.25]), *LAST]


def test_a_truncated_last_row_is_not_counted_twice() -> None:
    assert bootstraps(filled(step(0), step(1), step(2, truncated=(T, F)))) == LAST


def test_a_terminated_row_in_the_middle_does_not_bootstrap() -> None:
    assert bootstraps(filled(step(0), step(1, terminated=(T, T)), step(2))) == LAST


def test_with_both_flags_termination_wins() -> None:
    memory = filled(step(0, (T, F), (T, T)), step(1), step(2, (F, T), (F, T)))
    assert bootstraps(memory) == [(0, 1, [50.25, 50.25]), *LAST]


def test_final_observations_are_copies() -> None:
    cut = step(0, truncated=(T, F))
    memory = filled(cut, step(1), step(2))
    cut.successor[:] = 99
    assert bootstraps(memory) == [(0, 0, [0.25, 0.25]), *LAST]


def test_bootstraps_of_discrete_observations_are_indices() -> None:
    memory = Rollout(2, 2, spaces.Discrete(9), spaces.Discrete(2), {})
    zero, no = np.zeros(2, np.float32), np.array([F, F])
    for obs, truncated, after in (([1, 2], [T, F], [3, 4]), ([0, 4], [F, F], [5, 6])):
        memory.add(
            Transition(
                np.array(obs), np.array([0, 1]), zero, no, np.array(truncated), np.array(after), {}
            )
        )
    obs, (times, envs) = memory.bootstraps()
    assert obs.dtype == np.int64
    assert (obs.tolist(), times.tolist(), envs.tolist()) == ([3, 5, 6], [0, 1, 1], [0, 0, 1])


def test_end_episodes_in_mid_rollout_truncates_what_is_running() -> None:
    memory = filled(step(0), step(1, terminated=(F, T)))
    memory.end_episodes()
    memory.add(step(2))
    assert memory.truncated.tolist() == [[F, F], [T, F], [F, F]]
    assert memory.terminated.tolist() == [[F, F], [F, T], [F, F]]
    assert bootstraps(memory) == [(1, 0, [1.25, 1.25]), *LAST]


def test_end_episodes_leaves_what_was_truncated_already() -> None:
    memory = filled(step(0, truncated=(T, F)))
    memory.end_episodes()
    memory.add(step(1))
    memory.add(step(2))
    assert bootstraps(memory) == [(0, 0, [0.25, 0.25]), (0, 1, [50.25, 50.25]), *LAST]


def test_end_episodes_twice_is_as_once() -> None:
    memory = filled(step(0))
    memory.end_episodes()
    memory.end_episodes()
    assert len(memory.final_obs) == 2


def test_end_episodes_after_the_last_row_adds_no_bootstrap() -> None:
    memory = filled(step(0), step(1), step(2))
    memory.end_episodes()
    assert memory.truncated[2].tolist() == [T, T]
    assert bootstraps(memory) == LAST


def test_end_episodes_of_an_empty_rollout_does_nothing() -> None:
    memory = filled(step(0), step(1), step(2))
    memory.rewind()
    memory.end_episodes()
    assert not memory.truncated.any()
    assert memory.final_obs == []


def test_rewind_starts_over() -> None:
    memory = filled(step(0, truncated=(T, T)), step(1, terminated=(T, F)), step(2))
    memory.rewind()
    assert memory.position == 0
    for t in (10, 11, 12):
        memory.add(step(t))
    assert memory.obs[:, 0, 0].tolist() == [10, 11, 12]
    assert not memory.truncated.any()
    assert not memory.terminated.any()
    assert bootstraps(memory) == [(2, 0, [12.25, 12.25]), (2, 1, [62.25, 62.25])]


def test_state_round_trip_in_mid_rollout_goes_on_alike() -> None:
    source = filled(step(0, truncated=(T, F)), step(1, terminated=(F, T)))
    state = through_file(source.state_dict())
    assert digest(state) == digest(source.state_dict())
    copy = rollout()
    copy.load_state_dict(state)
    for memory in (source, copy):
        memory.end_episodes()
        memory.add(step(2))
    assert bootstraps(copy) == [(0, 0, [0.25, 0.25]), (1, 0, [1.25, 1.25]), *LAST]
    assert digest(copy.state_dict()) == digest(source.state_dict())


def test_state_round_trip_of_discrete_observations() -> None:
    source, copy = (Rollout(2, 1, spaces.Discrete(9), spaces.Discrete(2), {}) for _ in range(2))
    one, zero = np.array([1]), np.zeros(1, np.float32)
    source.add(Transition(one, one, zero, np.array([F]), np.array([T]), one + 6, {}))
    state = through_file(source.state_dict())
    assert digest(state) == digest(source.state_dict())
    copy.load_state_dict(state)
    copy.add(Transition(one, one, zero, np.array([F]), np.array([F]), one + 1, {}))
    obs, _ = copy.bootstraps()
    assert obs.dtype == np.int64
    assert obs.tolist() == [7, 2]


def test_state_of_another_number_of_environments_is_refused() -> None:
    with pytest.raises(StateError, match="obs: saved with shape"):
        rollout(num_envs=3).load_state_dict(rollout().state_dict())


def masked() -> Rollout:
    """The second row ends in step 0, is gone in step 1, and is there again in step 2."""
    gone = step(1)._replace(valid=np.array([T, F]), reward=np.array([1, 99], np.float32))
    all_there = np.array([T, T])
    return filled(
        step(0, terminated=(F, T))._replace(valid=all_there),
        gone,
        step(2)._replace(valid=all_there),
    )


def test_rows_that_are_not_valid_are_no_samples_and_are_paid_nothing() -> None:
    memory = masked()
    assert memory.valid.tolist() == [[T, T], [T, F], [T, T]]
    assert memory.samples(memory.obs)[:, 0].tolist() == [0, 50, 1, 2, 52]
    assert memory.samples(memory.reward).tolist() == [0, 0, 1, 2, -2]
    assert memory.reward[1].tolist() == [1, 0]
    memory.rewind()
    for t in range(3):
        memory.add(step(t)._replace(valid=np.array([T, T])))
    assert memory.samples(memory.reward).tolist() == [0, 0, 1, -1, 2, -2]


def test_where_all_are_valid_samples_are_a_view() -> None:
    memory = filled(step(0), step(1), step(2))
    assert memory.samples(memory.obs).base is not None
    assert memory.samples(memory.obs).shape == (6, 2)


def test_what_was_gone_is_not_truncated_by_a_restart() -> None:
    memory = rollout()
    memory.add(step(0, terminated=(F, T))._replace(valid=np.array([T, T])))
    memory.add(step(1)._replace(valid=np.array([T, F])))
    memory.end_episodes()
    assert memory.truncated[1].tolist() == [T, F]
    assert [(t, b) for t, b, _ in memory.final_obs] == [(1, 0)]


def test_advantages_stop_at_an_agents_end_and_begin_anew_after_it_was_gone() -> None:
    """By hand, with γ = λ = 0.5 and V = 10, 20, 0 / 20, 40, 60 of the rows' `value`."""
    memory = masked()
    memory.extras["value"][:] = [[10, 20], [20, 40], [0, 60]]
    next_values = np.array([[20, 7], [0, 7], [8, 100]], np.float32)
    found = gae(
        memory.reward,
        memory.extras["value"],
        next_values,
        memory.terminated,
        memory.truncated,
        0.5,
        0.5,
    )
    # Row 0: δ = 0 + 10 − 10, 1 + 0 − 20, 2 + 4 − 0;  A₂ = 6, A₁ = −19 + 6/4, A₀ = 0 − 17.5/4.
    # Row 1: step 0 ended, A₀ = 0 − 20; step 1 is nobody's; step 2: −2 + 50 − 60.
    assert memory.samples(found).tolist() == [-4.375, -20, -17.5, 6, -12]
