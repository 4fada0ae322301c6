from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.state import digest
from rltrain.core.types import Transition
from rltrain.memory.sequences import SequenceReplay
from tests.memory.test_replay import through_file

BOX, ACTIONS = spaces.Box(-1000, 1000, (1,)), spaces.Discrete(1000)
GAMMA = 0.5


def memory(capacity: int = 24, length: int = 3, burn_in: int = 2, n: int = 1) -> SequenceReplay:
    return SequenceReplay(capacity, BOX, ACTIONS, 2, n, GAMMA, length, burn_in, (1, 1))


def add(replay: SequenceReplay, steps: range, **ends: set[tuple[int, int]]) -> None:
    """Step t of environment b: observation, action, reward and state are t + 100 b, and the
    observation after it half a step on."""
    for t in steps:
        number = np.array([t, t + 100])
        flags = {
            kind: np.array([(t, b) in ends.get(kind, set()) for b in range(2)])
            for kind in ("terminated", "truncated")
        }
        obs, state = number[:, None].astype(np.float32), number.astype(np.float32)
        extras = {"state": state.reshape(2, 1, 1)}
        replay.add(
            Transition(
                obs, number, number.astype(np.float32), successor=obs + 0.5, extras=extras, **flags
            )
        )


def starting(replay: SequenceReplay, *actions: int) -> Any:
    rows = [int(np.flatnonzero(replay.columns["action"][: replay.size] == a)[0]) for a in actions]
    return replay.gather(np.array(rows))


def test_a_sequence_by_hand() -> None:
    replay = memory()
    add(replay, range(10))
    sample = starting(replay, 4, 105)
    # Two steps of burn-in, three to learn from, and what was seen after them.
    assert sample.obs.x[:, 0].tolist() == [2, 3, 4, 5, 6, 6.5, 103, 104, 105, 106, 107, 107.5]
    assert sample.obs.begins.tolist() == [1, 0, 0, 0, 0, 0] * 2
    assert sample.obs.burn_in.tolist() == [1, 1, 0, 0, 0, 0] * 2
    assert sample.obs.state[[0, 6], 0, 0].tolist() == [2, 103]
    assert sample.obs.x[sample.obs.pick, 0].tolist() == [4, 5, 6, 105, 106, 107]
    assert sample.successor.x[sample.successor.pick, 0].tolist() == [5, 6, 6.5, 106, 107, 107.5]
    assert sample.action.tolist() == [4, 5, 6, 105, 106, 107]
    assert sample.reward.tolist() == [4, 5, 6, 105, 106, 107]
    assert sample.discount.tolist() == [GAMMA] * 6


def test_nothing_crosses_the_end_of_an_episode() -> None:
    replay = memory()
    add(replay, range(10), terminated={(5, 0)}, truncated={(5, 1)})
    sample = starting(replay, 4, 104, 6, 107)
    x, begins = sample.obs.x[:, 0].tolist(), np.flatnonzero(sample.obs.begins).tolist()
    lines = [x[a:b] for a, b in zip(begins, [*begins[1:], None], strict=True)]
    assert lines == [
        [2, 3, 4, 5, 5.5],
        [102, 103, 104, 105, 105.5],
        [6, 7, 8, 8.5],  # the first step of an episode has nothing before it
        [106, 107, 108, 109, 109.5],
    ]
    assert sample.terminated.tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert sample.action.tolist() == [4, 5, 104, 105, 6, 7, 8, 107, 108, 109]


def test_returns_of_several_steps_reach_past_the_sequence() -> None:
    replay = memory(length=2, burn_in=0, n=3)
    add(replay, range(10), truncated={(7, 0)})
    sample = starting(replay, 2, 6)
    assert sample.action.tolist() == [2, 3, 6, 7]
    # 2 + 3/2 + 4/4; 3 + 4/2 + 5/4; 6 + 7/2 and 7 as the episode is cut
    assert sample.reward.tolist() == [4.5, 6.25, 9.5, 7]
    assert sample.discount.tolist() == [0.125, 0.125, 0.25, 0.5]
    assert sample.successor.x[sample.successor.pick, 0].tolist() == [5, 5.5, 7.5, 7.5]


def test_the_ring_s_oldest_row_is_where_burn_in_stops() -> None:
    replay = memory(capacity=8)  # steps 6 to 9
    add(replay, range(10))
    sample = starting(replay, 7, 9)
    assert sample.obs.x[:, 0].tolist() == [6, 7, 8, 9, 9.5, 7, 8, 9, 9.5]
    assert sample.obs.burn_in.tolist() == [1, 0, 0, 0, 0, 1, 1, 0, 0]
    assert sample.obs.state[[0, 5], 0, 0].tolist() == [6, 7]


def test_a_restart_ends_what_is_going_on() -> None:
    replay = memory()
    add(replay, range(3))
    replay.end_episodes()
    add(replay, range(3, 6))
    assert starting(replay, 1).action.tolist() == [1, 2]
    assert starting(replay, 3).obs.x[:, 0].tolist() == [3, 4, 5, 5.5]


def lived(length: int, n: int = 1, capacity: int = 400) -> SequenceReplay:
    """Two environments, one with episodes of 3 steps and one of 17, some of them truncated."""
    replay = memory(capacity, length, n=n)
    ends = {(t, 0) for t in range(2, 100, 3)} | {(t, 1) for t in range(16, 100, 17)}
    cut = {(t, b) for t, b in ends if t % 2}
    add(replay, range(100), terminated=ends - cut, truncated=cut)
    return replay


@pytest.mark.parametrize(("length", "n"), [(1, 1), (5, 1), (5, 3), (24, 1)])
@pytest.mark.parametrize("capacity", [400, 150])
def test_every_step_has_its_share(length: int, n: int, capacity: int) -> None:
    """Of 300 minibatches of 100 steps; .05 to .2 of it had an episode's first step once."""
    replay, rng = lived(length, n, capacity), np.random.default_rng(0)
    drawn = np.concatenate([replay.sample(100, rng).action for _ in range(300)])
    actions, counts = np.unique(drawn, return_counts=True)
    assert actions.tolist() == sorted(replay.columns["action"][: replay.size].tolist())
    share = counts / counts.mean()
    # A step is in 150 windows or more; of windows of 24 steps one weighs as much as 24 draws.
    assert np.abs(share - 1).max() < 0.5
    first = np.isin(actions, [t for t in range(100) if t % 3 == 0])
    late = np.isin(actions, [t for t in range(100) if t % 3 == 2])
    assert share[first].mean() == pytest.approx(share[late].mean(), abs=0.06)


@pytest.mark.parametrize("count", [1, 9, 100, 512])
def test_a_minibatch_has_its_size_however_short_episodes_are(count: int) -> None:
    replay, rng = lived(length=24), np.random.default_rng(0)
    for _ in range(20):
        sample = replay.sample(count, rng)
        assert count <= len(sample.action) < count + 24
        assert len(sample.action) == len(sample.obs.pick) == len(sample.successor.pick)


def test_sequences_are_whole_up_to_the_end_of_window_or_episode() -> None:
    """Steps of a sequence follow one another, and never cross into another episode."""
    replay = lived(length=5)
    sample = replay.sample(200, np.random.default_rng(0))
    ends = set(range(2, 100, 3)) | {100 + t for t in range(16, 100, 17)}
    action, number = sample.action.tolist(), sample.obs.begins.cumsum()[sample.obs.pick]
    starts = set(np.flatnonzero(np.diff(number, prepend=0)).tolist())
    for i in range(1, len(action)):
        if i not in starts:
            assert action[i] == action[i - 1] + 1
            assert action[i - 1] not in ends


def test_burn_in_stops_where_an_agent_was_gone() -> None:
    """Its rows are no steps: what comes before them is another episode's, or nothing."""
    replay = memory(burn_in=4)
    for t in range(8):
        number = np.array([t, t + 100])
        gone = np.array([t in (2, 3, 4), False])
        obs, flags = number[:, None].astype(np.float32), np.zeros(2, np.bool_)
        ends = np.array([t == 1, False])
        extras = {"state": number.astype(np.float32).reshape(2, 1, 1)}
        reward = number.astype(np.float32)
        step = Transition(obs, number, reward, ends, flags, obs + 0.5, extras, ~gone)
        replay.add(step)
    sample = starting(replay, 6)
    assert sample.obs.x[:, 0].tolist() == [5, 6, 7, 7.5]
    assert sample.obs.burn_in.tolist() == [1, 0, 0, 0]
    assert sample.obs.state[0, 0, 0] == 5


def test_state_round_trip_goes_on_to_the_bit() -> None:
    one, other = memory(capacity=8), memory(capacity=8)
    add(one, range(7), terminated={(4, 1)})
    other.load_state_dict(through_file(one.state_dict()))
    for replay in (one, other):
        add(replay, range(7, 9))
    assert digest(one.state_dict()) == digest(other.state_dict())
    first, second = (r.sample(6, np.random.default_rng(3)) for r in (one, other))
    assert (first.obs.state == second.obs.state).all()
    assert (first.obs.x == second.obs.x).all()
