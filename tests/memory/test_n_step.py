from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.state import digest
from rltrain.core.types import Transition
from rltrain.memory.n_step import NStepReplay
from rltrain.memory.prioritized import PrioritizedReplay
from rltrain.memory.replay import ReplayBuffer
from tests.memory.test_replay import through_file

BOX, ACTIONS = spaces.Box(-1000, 1000, (1,)), spaces.Discrete(1000)
GAMMA = 0.5


def memory(capacity: int = 12, num_envs: int = 2, n_steps: int = 3) -> NStepReplay:
    return NStepReplay(capacity, BOX, ACTIONS, num_envs, n_steps, GAMMA)


def add(
    replay: ReplayBuffer, steps: range, num_envs: int = 2, **ends: dict[tuple[int, int], bool]
) -> None:
    """Step t of environment b: observation and action t + 100 b, reward the same, and the
    observation after it half a step on."""
    for t in steps:
        number = np.array([t + 100 * b for b in range(num_envs)])
        flags = {
            kind: np.array([(t, b) in ends.get(kind, {}) for b in range(num_envs)])
            for kind in ("terminated", "truncated")
        }
        obs = number[:, None].astype(np.float32)
        reward = number.astype(np.float32)
        replay.add(Transition(obs, number, reward, successor=obs + 0.5, extras={}, **flags))


def at(replay: NStepReplay, t: int, b: int) -> dict[str, Any]:
    """The transition that begins with step t of environment b."""
    (row,) = np.flatnonzero(replay.columns["action"][: replay.size] == t + 100 * b)
    sample = replay.gather(np.array([row]))
    assert sample.obs[0, 0] == sample.action[0] == t + 100 * b
    assert sample.discount is not None
    return {
        "reward": float(sample.reward[0]),
        "discount": float(sample.discount[0]),
        "successor": float(sample.successor[0, 0]),
        "terminated": float(sample.terminated[0]),
    }


def test_rewards_of_three_steps_by_hand() -> None:
    replay = memory()
    add(replay, range(1, 6))
    assert at(replay, 1, 0) == {
        "reward": 1 + 0.5 * 2 + 0.25 * 3,
        "discount": 0.125,
        "successor": 3.5,
        "terminated": 0.0,
    }
    assert at(replay, 2, 1) == {  # of the other environment, rows in between
        "reward": 102 + 0.5 * 103 + 0.25 * 104,
        "discount": 0.125,
        "successor": 104.5,
        "terminated": 0.0,
    }


@pytest.mark.parametrize("kind", ["terminated", "truncated"])
def test_an_end_stops_the_sum_and_the_discount_is_of_the_steps_there_were(kind: str) -> None:
    replay = memory()
    ends: Any = {kind: {(3, 0): True}}
    add(replay, range(1, 6), **ends)
    found = at(replay, 2, 0)
    assert found == {
        "reward": 2 + 0.5 * 3,
        "discount": 0.25,
        "successor": 3.5,  # the final observation of that episode
        "terminated": float(kind == "terminated"),
    }
    assert at(replay, 3, 0)["discount"] == 0.5
    assert at(replay, 2, 1)["discount"] == 0.125  # the other environment went on


def test_where_both_flags_are_set_termination_wins() -> None:
    replay = memory()
    both: Any = {"terminated": {(2, 0): True}, "truncated": {(2, 0): True}}
    add(replay, range(1, 6), **both)
    assert at(replay, 1, 0)["terminated"] == 1.0


def test_an_end_before_the_first_step_does_not_matter() -> None:
    replay = memory()
    ends: Any = {"terminated": {(2, 0): True}}
    add(replay, range(1, 7), **ends)
    assert at(replay, 3, 0)["discount"] == 0.125
    assert at(replay, 3, 0)["terminated"] == 0.0


@pytest.mark.parametrize(("capacity", "last"), [(12, 5), (6, 7), (7, 9), (5, 6)])
def test_the_newest_reach_as_far_as_there_are_steps(capacity: int, last: int) -> None:
    """Also across the wrap, and where a step's two rows stand on either side of it."""
    replay = memory(capacity)
    add(replay, range(1, last + 1))
    for b in range(2):
        newest, before = at(replay, last, b), at(replay, last - 1, b)
        first = last + 100 * b
        assert newest == {
            "reward": first,
            "discount": 0.5,
            "successor": first + 0.5,
            "terminated": 0.0,
        }
        assert before["reward"] == (first - 1) + 0.5 * first
        assert before["discount"] == 0.25


def test_no_sample_crosses_the_write_position_or_another_environment() -> None:
    """Against a plain walk over what was written, for every row of full rings of any size."""
    for capacity in range(4, 14):
        for num_envs in (1, 2, 3):
            replay = memory(capacity, num_envs, n_steps=4)
            ends: Any = {
                "terminated": {(t, b): True for t in range(2, 30, 5) for b in range(num_envs)},
                "truncated": {(t, 0): True for t in range(4, 30, 7)},
            }
            add(replay, range(1, 21), num_envs, **ends)
            for number in replay.columns["action"].tolist():
                b, t = divmod(number, 100)
                reward, k = 0.0, 0
                for i in range(t, min(t + 4, 21)):
                    reward += GAMMA**k * (i + 100 * b)
                    k += 1
                    if any((i, b) in ends[kind] for kind in ends):
                        break
                found = at(replay, t, b)
                assert found["reward"] == pytest.approx(reward)
                assert found["discount"] == GAMMA**k
                assert found["successor"] == t + 100 * b + k - 1 + 0.5
                assert found["terminated"] == ((t + k - 1, b) in ends["terminated"])


def test_a_restart_of_the_environments_ends_what_goes_on() -> None:
    replay = memory()
    add(replay, range(1, 4))
    replay.end_episodes()
    add(replay, range(4, 6))
    assert at(replay, 2, 0)["discount"] == 0.25
    assert at(replay, 2, 0)["successor"] == 3.5
    assert at(replay, 2, 0)["terminated"] == 0.0
    assert at(replay, 1, 1)["discount"] == 0.125
    assert at(replay, 4, 1)["discount"] == 0.25


@pytest.mark.parametrize("steps", [3, 9])
def test_one_step_equals_plain_replay_to_the_bit(steps: int) -> None:
    plain, one = ReplayBuffer(12, BOX, ACTIONS), memory(n_steps=1)
    ends: Any = {"terminated": {(2, 0): True}, "truncated": {(3, 1): True}}
    for replay in (plain, one):
        add(replay, range(1, steps + 1), **ends)
    expected = plain.sample(100, np.random.default_rng(0))
    found = one.sample(100, np.random.default_rng(0))
    for name in ("obs", "action", "reward", "terminated", "successor"):
        assert digest(getattr(expected, name)) == digest(getattr(found, name)), name
    assert found.discount is not None
    assert (found.discount == np.float32(GAMMA)).all()
    assert expected.discount is None


def test_state_round_trip_goes_on_alike() -> None:
    source, copy = memory(7), memory(7)
    ends: Any = {"truncated": {(4, 0): True}}
    add(source, range(1, 6), **ends)
    copy.load_state_dict(through_file(source.state_dict()))
    for replay in (source, copy):
        add(replay, range(6, 8))
    draws = [replay.sample(50, np.random.default_rng(1)) for replay in (source, copy)]
    assert digest(list(draws[0][:6])) == digest(list(draws[1][:6]))
    assert digest(source.state_dict()) == digest(copy.state_dict())


def gone(replay: ReplayBuffer) -> None:
    """Steps 1 to 4 of two environments; that of b = 0 ends at 2, and its agent is gone at 3."""
    for t in range(1, 5):
        ended = {(2, 0)} if t == 2 else set()
        number = np.array([t, t + 100])
        replay.add(
            Transition(
                number[:, None].astype(np.float32),
                number,
                number.astype(np.float32),
                np.array([(t, b) in ended for b in range(2)]),
                np.zeros(2, np.bool_),
                number[:, None] + np.float32(0.5),
                {},
                np.array([t != 3, True]),
            )
        )


def test_rows_that_are_not_valid_keep_their_place_and_are_not_sampled() -> None:
    replay = memory()
    gone(replay)
    assert replay.size == 8
    assert at(replay, 1, 0)["reward"] == 1 + 0.5 * 2  # the end cuts it, not what comes after
    assert at(replay, 1, 1)["reward"] == 101 + 0.5 * 102 + 0.25 * 103
    sampled = replay.sample(500, np.random.default_rng(0)).action.tolist()
    assert set(sampled) == {1, 2, 4, 101, 102, 103, 104}
    assert replay.latest(4)[:, 0].tolist() == [103, 4, 104]


@pytest.mark.parametrize("capacity", [12, 6])
def test_nor_by_their_priority(capacity: int) -> None:
    replay = PrioritizedReplay(memory(capacity), 1.0)
    gone(replay)
    sampled = {a for i in range(50) for a in replay.sample(8, np.random.default_rng(i)).action}
    assert sampled == ({1, 2, 4, 101, 102, 103, 104} if capacity == 12 else {2, 4, 102, 103, 104})
    assert replay.sums.sum() == len(sampled)
