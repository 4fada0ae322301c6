import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.state import digest
from rltrain.memory.n_step import NStepReplay
from rltrain.memory.prioritized import PrioritizedReplay
from rltrain.memory.replay import ReplayBuffer
from tests.memory.test_replay import step, through_file

BOX, ACTIONS = spaces.Box(-1000, 1000, (1,)), spaces.Discrete(1000)


def memory(capacity: int = 6, alpha: float = 1.0, steps: int = 0) -> PrioritizedReplay:
    replay = PrioritizedReplay(ReplayBuffer(capacity, BOX, ACTIONS), alpha)
    for i in range(steps):
        replay.add(step(2 * i))
    return replay


def shares(replay: PrioritizedReplay, count: int = 60, times: int = 400) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows = np.concatenate([replay.sample(count, rng).rows for _ in range(times)])
    return np.bincount(rows, minlength=replay.size) / len(rows)


def test_new_rows_have_the_largest_priority_that_was_seen() -> None:
    replay = memory(steps=2)
    assert replay.priorities[:4].tolist() == [1, 1, 1, 1]
    replay.update(np.array([0, 1, 2, 3]), np.array([0.5, 4.0, 0.0, 2.0], np.float32))
    replay.update(np.array([1]), np.array([0.25], np.float32))
    replay.add(step(4))  # 4 is what was largest, and no row has it any more
    np.testing.assert_allclose(replay.priorities[:6], [0.5, 0.25, 0, 2, 4, 4], atol=2e-6)


def test_rows_are_drawn_in_proportion_to_their_priority() -> None:
    replay = memory(alpha=0.5, steps=2)
    replay.update(np.arange(4), np.array([1.0, 4.0, 9.0, 16.0], np.float32))
    # One deviation of a share is at most √(.25/24000) = .0032, and strata lessen it.
    assert shares(replay) == pytest.approx(np.array([1, 2, 3, 4]) / 10, abs=0.01)


def test_errors_of_either_sign_count_alike() -> None:
    replay = memory(steps=2)
    replay.update(np.arange(4), np.array([-3.0, 3.0, -1.0, 1.0], np.float32))
    assert replay.priorities[0] == replay.priorities[1]
    assert replay.priorities[2] == replay.priorities[3]


def test_without_alpha_all_are_drawn_alike() -> None:
    replay = memory(alpha=0.0, steps=2)
    replay.update(np.arange(4), np.array([1.0, 4.0, 9.0, 16.0], np.float32))
    assert shares(replay) == pytest.approx([0.25] * 4, abs=0.01)


def test_what_has_no_error_can_still_be_drawn() -> None:
    replay = memory(steps=2)
    replay.update(np.arange(4), np.zeros(4, np.float32))
    assert (shares(replay) > 0.2).all()


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_weights_by_hand(beta: float) -> None:
    replay = memory(steps=2)
    replay.beta = beta
    replay.update(np.arange(4), np.array([1.0, 2.0, 3.0, 4.0], np.float32))
    sample = replay.sample(200, np.random.default_rng(0))
    assert set(sample.rows.tolist()) == {0, 1, 2, 3}
    # (N P)^−β with N = 4 and P = p/10, over that of the row with P = 1/10
    expected = (4 * (sample.rows + 1) / 10) ** -beta / (4 / 10) ** -beta
    assert sample.weight.dtype == np.float32
    np.testing.assert_allclose(sample.weight, expected, rtol=1e-5)
    assert sample.weight.max() == 1


def test_a_sample_is_what_stands_in_its_rows() -> None:
    replay = memory(steps=3)
    sample = replay.sample(50, np.random.default_rng(0))
    assert sample.action.tolist() == sample.rows.tolist()
    assert sample.reward.tolist() == (2 * sample.rows).tolist()


def test_a_new_row_takes_the_place_and_the_priority_of_an_old_one() -> None:
    replay = memory(capacity=4, steps=2)
    replay.update(np.arange(4), np.array([5.0, 1.0, 1.0, 1.0], np.float32))
    replay.update(np.array([0]), np.array([1.0], np.float32))
    replay.add(step(4))  # over rows 0 and 1
    np.testing.assert_allclose(replay.priorities[:4], [5, 5, 1, 1], atol=2e-6)
    assert set(replay.sample(40, np.random.default_rng(0)).action.tolist()) == {4, 5, 2, 3}


@pytest.mark.parametrize("capacity", [1, 2, 5, 16, 17, 1000])
def test_sums_are_those_of_the_blocks_and_no_empty_row_is_drawn(capacity: int) -> None:
    replay, rng = memory(capacity), np.random.default_rng(0)
    for i in range(40):
        replay.add(step(2 * i))
        rows = replay.sample(16, rng).rows
        assert rows.max() < replay.size
        replay.update(rows, (rng.standard_normal(16) ** 8).astype(np.float32))
    assert replay.sums.sum() == pytest.approx(replay.priorities.sum())
    assert (replay.priorities[: replay.size] > 0).all()
    assert not replay.priorities[replay.size :].any()


class Edge:
    """A generator whose numbers are the largest below 1."""

    def random(self, count: int) -> np.ndarray:
        return np.full(count, np.nextafter(1, 0))


def test_rounding_at_the_end_stays_inside() -> None:
    replay = memory(capacity=50, steps=5)
    replay.update(np.arange(10), np.linspace(0.1, 0.7, 10).astype(np.float32))
    rows = replay.sample(7, Edge()).rows  # type: ignore[arg-type] # all that sampling asks of it
    assert rows[-1] == 9
    assert rows.max() == 9


def test_state_round_trip_goes_on_to_the_bit() -> None:
    source, rng = memory(capacity=50, alpha=0.6, steps=20), np.random.default_rng(0)
    source.update(np.arange(40), rng.standard_normal(40).astype(np.float32))
    copy = memory(capacity=50, alpha=0.6, steps=25)
    copy.update(np.arange(50), np.full(50, 9.0, np.float32))
    copy.load_state_dict(through_file(source.state_dict()))
    for replay in (source, copy):
        own = np.random.default_rng(1)
        for i in range(10):
            replay.add(step(100 + 2 * i))
            rows = replay.sample(8, own).rows
            replay.update(rows, own.standard_normal(8).astype(np.float32))
    assert digest(source.state_dict()) == digest(copy.state_dict())
    draws = [replay.sample(20, np.random.default_rng(2)) for replay in (source, copy)]
    assert draws[0].rows.tolist() == draws[1].rows.tolist()


def test_it_is_a_memory_over_that_of_several_steps_too() -> None:
    inner = NStepReplay(12, BOX, ACTIONS, num_envs=2, n_steps=2, gamma=0.5)
    replay = PrioritizedReplay(inner, 1.0)
    for i in range(3):
        flags = step(2 * i)
        none = np.zeros(2, np.bool_)
        replay.add(flags._replace(terminated=none, truncated=none))
    replay.update(np.arange(6), np.array([1, 0, 0, 0, 0, 0], np.float32))
    sample = replay.sample(10, np.random.default_rng(0))
    assert set(sample.rows.tolist()) == {0}
    assert sample.reward.tolist() == [0 + 0.5 * 4] * 10
    assert sample.discount.tolist() == [0.25] * 10
    replay.end_episodes()
    assert inner.columns["truncated"][4:6].all()
    assert replay.latest(2)[:, 0].tolist() == [4, 5]
