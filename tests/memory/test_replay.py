import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.errors import UserError
from rltrain.core.state import digest
from rltrain.core.types import Transition
from rltrain.memory.replay import ReplayBuffer
from tests.files import through_file

BOX = spaces.Box(-1000, 1000, (1,))


def buffer(capacity: int = 5) -> ReplayBuffer:
    return ReplayBuffer(capacity, BOX, spaces.Discrete(100))


def step(first: int, num_envs: int = 2) -> Transition:
    """Transitions numbered from `first`, one of each environment; odd ones terminated."""
    numbers = np.arange(first, first + num_envs)
    obs = numbers[:, None].astype(np.float32)
    return Transition(
        obs=obs,
        action=numbers,
        reward=numbers.astype(np.float32) * 2,
        terminated=numbers % 2 == 1,
        truncated=numbers % 2 == 0,
        successor=obs + 0.5,
        extras={},
    )


def filled(count: int, capacity: int = 5, num_envs: int = 2) -> ReplayBuffer:
    """A buffer that has seen `count` steps, transitions 0, 1, 2, …"""
    memory = buffer(capacity)
    for i in range(count):
        memory.add(step(i * num_envs, num_envs))
    return memory


def test_rows_are_filled_in_order() -> None:
    memory = filled(2)
    assert (memory.position, memory.size) == (4, 4)
    assert memory.columns["obs"][:4, 0].tolist() == [0, 1, 2, 3]
    assert memory.columns["successor"][:4, 0].tolist() == [0.5, 1.5, 2.5, 3.5]
    assert memory.columns["action"][:4].tolist() == [0, 1, 2, 3]
    assert memory.columns["reward"][:4].tolist() == [0, 2, 4, 6]
    assert memory.columns["terminated"][:4].tolist() == [0.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("count", "capacity", "num_envs", "rows", "position"),
    [
        (3, 5, 2, [5, 1, 2, 3, 4], 1),  # the sixth over the first
        (2, 4, 2, [0, 1, 2, 3], 0),  # full to the brim
        (3, 4, 2, [4, 5, 2, 3], 2),
        (5, 5, 2, [5, 6, 7, 8, 9], 0),
        (3, 4, 3, [8, 5, 6, 7], 1),  # 0 … 8 into four rows: 8 is at 8 mod 4
        (7, 1, 1, [6], 0),
    ],
)
def test_the_ring_keeps_the_newest(
    count: int, capacity: int, num_envs: int, rows: list[int], position: int
) -> None:
    memory = filled(count, capacity, num_envs)
    assert memory.columns["obs"][:, 0].tolist() == rows
    assert memory.columns["action"].tolist() == rows
    assert (memory.position, memory.size) == (position, capacity)


def test_more_environments_than_rows_keep_the_last() -> None:
    memory = filled(1, capacity=2, num_envs=3)
    assert memory.latest(2)[:, 0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("count", "latest", "expected"),
    [
        (2, 3, [1, 2, 3]),
        (2, 9, [0, 1, 2, 3]),
        (3, 1, [5]),
        (3, 3, [3, 4, 5]),  # across the wrap: rows 3, 4, 0
        (3, 9, [1, 2, 3, 4, 5]),
        (0, 3, []),
    ],
)
def test_latest_is_the_newest_oldest_first(count: int, latest: int, expected: list[int]) -> None:
    assert filled(count).latest(latest)[:, 0].tolist() == expected


def test_samples_come_from_filled_rows_only_and_from_all_of_them() -> None:
    sample = filled(3, capacity=100, num_envs=1).sample(200, np.random.default_rng(0))
    assert set(sample.action.tolist()) == {0, 1, 2}


def test_a_sampled_row_is_one_transition() -> None:
    sample = filled(4).sample(50, np.random.default_rng(0))
    assert sample.obs.shape == sample.successor.shape == (50, 1)
    assert sample.obs[:, 0].tolist() == sample.action.tolist()
    assert sample.successor.tolist() == (sample.obs + 0.5).tolist()
    assert sample.reward.tolist() == (2 * sample.action).tolist()
    assert sample.terminated.tolist() == (sample.action % 2).tolist()


def test_samples_are_repeatable_and_uniform() -> None:
    memory = filled(2, capacity=4)
    one, other = (memory.sample(4000, np.random.default_rng(3)).action for _ in range(2))
    assert one.tolist() == other.tolist()
    # One deviation of a share is √(0.25 · 0.75/4000) = 0.007.
    assert np.bincount(one) / 4000 == pytest.approx([0.25] * 4, abs=0.028)


def test_a_sample_is_a_copy() -> None:
    memory = filled(2)
    memory.sample(20, np.random.default_rng(0)).obs[:] = -1
    assert memory.columns["obs"][:4, 0].tolist() == [0, 1, 2, 3]


def test_end_episodes_changes_nothing() -> None:
    memory = filled(3)
    before = digest(memory.state_dict())
    memory.end_episodes()
    assert digest(memory.state_dict()) == before


def test_columns_have_the_shapes_and_types_of_the_spaces() -> None:
    memory = ReplayBuffer(3, spaces.Box(0, 255, (4, 2), np.uint8), spaces.Box(-1, 1, (2,)))
    found = {name: (column.shape, column.dtype) for name, column in memory.columns.items()}
    assert found == {
        "obs": ((3, 4, 2), np.uint8),
        "successor": ((3, 4, 2), np.uint8),
        "action": ((3, 2), np.float32),
        "reward": ((3,), np.float32),
        "terminated": ((3,), np.float32),
    }


@pytest.mark.parametrize("count", [1, 3])
def test_state_round_trip_goes_on_alike(count: int) -> None:
    source, copy = filled(count), filled(4)
    state = through_file(source.state_dict())
    assert digest(state) == digest(source.state_dict())
    copy.load_state_dict(state)
    for memory in (source, copy):
        memory.add(step(50))
    draws = [memory.sample(20, np.random.default_rng(1)) for memory in (source, copy)]
    assert draws[0].obs.tolist() == draws[1].obs.tolist()
    assert copy.latest(5).tolist() == source.latest(5).tolist()
    assert digest(copy.state_dict()) == digest(source.state_dict())


def test_state_holds_filled_rows_only_and_needs_no_memory_of_its_own() -> None:
    memory = filled(1)
    state = memory.state_dict()
    assert state["columns"]["obs"].tolist() == [[0], [1]]
    assert all(np.shares_memory(memory.columns[k], v) for k, v in state["columns"].items())
    assert (state["position"], state["size"]) == (2, 2)


def test_the_state_of_an_empty_buffer_has_a_digest() -> None:
    assert digest(buffer().state_dict()) == digest(through_file(buffer().state_dict()))


def test_a_buffer_beyond_memory_is_a_user_error_that_offers_a_size_that_fits() -> None:
    with pytest.raises(UserError, match=r"^algo.buffer_size=1000000000000000: ") as caught:
        buffer(10**15)
    offered = int(str(caught.value).rpartition("algo.buffer_size=")[2].rstrip("."))
    assert 0 < offered < 10**15


def test_the_observations_count_towards_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 3000}
    monkeypatch.setattr("os.sysconf", pages.__getitem__)
    # 10 rows of two float32 vectors of 4 and at most 32 bytes for the rest: 640, thrice, of 3000.
    ReplayBuffer(10, spaces.Box(0, 1, (4,)), spaces.Discrete(2))
    # Of 40: 10 · (320 + 32) = 3520.
    with pytest.raises(UserError, match=r"^algo.buffer_size=10: "):
        ReplayBuffer(10, spaces.Box(0, 1, (40,)), spaces.Discrete(2))


def test_rows_that_are_not_valid_take_no_room() -> None:
    memory = buffer(5)
    memory.add(step(0)._replace(valid=np.array([True, True])))
    memory.add(step(2)._replace(valid=np.array([False, True])))
    memory.add(step(4)._replace(valid=np.array([False, False])))
    memory.add(step(6)._replace(valid=np.array([True, False])))
    assert (memory.position, memory.size) == (4, 4)
    assert memory.columns["obs"][:4, 0].tolist() == [0, 1, 3, 6]
    assert memory.columns["terminated"][:4].tolist() == [0, 1, 1, 0]
    assert set(memory.sample(200, np.random.default_rng(0)).action.tolist()) == {0, 1, 3, 6}


def test_the_latest_are_those_of_so_many_rows_less_those_left_out() -> None:
    memory = filled(2, 9)
    assert memory.latest(4)[:, 0].tolist() == [0, 1, 2, 3]
    memory.add(step(4)._replace(valid=np.array([False, True])))
    memory.add(step(6)._replace(valid=np.array([False, False])))
    other = buffer(9)
    other.load_state_dict(through_file(memory.state_dict()))
    for one in (memory, other):
        assert one.latest(4)[:, 0].tolist() == [5]  # of rows 4 to 7; none of them twice
        assert one.latest(2)[:, 0].tolist() == [3, 5]
