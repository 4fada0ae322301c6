import dataclasses
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.errors import UserError
from rltrain.core.spaces import Stack
from rltrain.core.state import digest
from rltrain.core.types import Transition
from rltrain.memory.mixed import MixedReplay, uniform_replay, with_dataset
from rltrain.memory.n_step import NStepReplay
from rltrain.memory.recorded import as_rows
from rltrain.memory.replay import ReplayBuffer
from tests.memory.test_passes import data

OBS, ACTION = spaces.Box(-1000, 1000, (1,), np.float32), spaces.Discrete(2)


def step(number: int, terminated: bool = False) -> Transition:
    """One own step, whose observation is below 0."""
    obs = np.array([[-number]], np.float32)
    flags = np.array([terminated])
    return Transition(
        obs, np.array([1]), np.ones(1, np.float32), flags, np.array([False]), obs - 1, {}
    )


def mixed(share: float = 0.5, steps: int = 5, reward: float = 0.0, capacity: int = 8) -> Any:
    memory = uniform_replay(capacity, OBS, ACTION, data(3, 4, reward=reward), share)
    for number in range(1, steps + 1):
        memory.add(step(number))
    return memory


def test_without_a_dataset_it_is_the_plain_one() -> None:
    assert type(uniform_replay(8, OBS, ACTION)) is ReplayBuffer


@pytest.mark.parametrize(
    ("share", "count", "recorded"), [(0.5, 8, 4), (0.25, 8, 2), (1.0, 8, 8), (0.5, 6, 3)]
)
def test_a_fixed_number_of_each_sample_is_recorded(share: float, count: int, recorded: int) -> None:
    memory = mixed(share)
    for seed in range(20):
        sample = memory.sample(count, np.random.default_rng(seed))
        assert (sample.obs[:, 0] >= 0).tolist() == [False] * (count - recorded) + [True] * recorded
        own, other = np.split(sample.obs[:, 0], [count - recorded])
        assert set(own) <= {-1, -2, -3, -4, -5}
        assert set(other) <= set(range(7))
        assert (sample.successor - sample.obs)[:, 0].tolist() == (
            [-1] * (count - recorded) + [1] * recorded
        )
        assert sample.discount is sample.weight is sample.rows is None


def test_every_row_of_both_is_drawn() -> None:
    sample = mixed(steps=20).sample(1000, np.random.default_rng(0))
    assert set(sample.obs[:, 0]) == {*range(7), *range(-20, -12)}  # a ring of 8 own ones


def test_what_asks_for_the_newest_is_told_of_own_steps() -> None:
    memory = mixed()
    assert memory.own.size == 5
    assert memory.latest(2)[:, 0].tolist() == [-4, -5]


def test_n_steps_stay_inside_an_episode_of_either() -> None:
    """γ = ½: three steps of reward 1 give 1.75, two 1.5, one 1."""

    def make(capacity: int, num_envs: int) -> ReplayBuffer:
        return NStepReplay(capacity, OBS, ACTION, num_envs, 3, 0.5)

    memory: Any = with_dataset(data(2, 4, reward=1.0), 0.5, make, 8, 2)
    found = memory.recorded.gather(np.arange(6))
    assert found.reward.tolist() == [1.5, 1, 1.75, 1.75, 1.5, 1]
    assert found.discount.tolist() == [0.25, 0.5, 0.125, 0.125, 0.25, 0.5]
    assert found.terminated.tolist() == [1, 1, 0, 1, 1, 1]
    assert found.successor[:, 0].tolist() == [2, 2, 5, 6, 6, 6]
    both = Transition(*(np.repeat(c, 2, 0) if isinstance(c, np.ndarray) else c for c in step(1)))
    memory.add(both)
    assert memory.own.num_envs == 2
    assert len(memory.sample(4, np.random.default_rng(0)).discount) == 4


def test_its_state_is_the_own_part_and_what_the_dataset_is_known_by() -> None:
    memory = mixed()
    state = memory.state_dict()
    assert digest(state["own"]) == digest(memory.own.state_dict())
    assert state["dataset"] == data(3, 4).identity()
    assert set(state) == {"own", "dataset"}
    other = mixed(steps=0)
    other.load_state_dict(state)
    one, same = (m.sample(8, np.random.default_rng(3)) for m in (memory, other))
    assert digest(one._asdict()) == digest(same._asdict())


def test_other_data_are_refused() -> None:
    state = mixed().state_dict()
    with pytest.raises(UserError, match=r"^dataset=a/b-v0 is not what it was"):
        mixed(reward=1.0).load_state_dict(state)


def test_one_that_does_not_fit_is_named() -> None:
    def make(capacity: int, num_envs: int) -> ReplayBuffer:
        if capacity == 7:
            raise UserError("algo.buffer_size=7")
        return ReplayBuffer(capacity, OBS, ACTION)

    with pytest.raises(UserError, match=r"^dataset=a/b-v0: its 7 steps do not fit"):
        with_dataset(data(3, 4), 0.5, make, 8, 1)


def test_it_is_a_memory_that_ends_episodes() -> None:
    def make(capacity: int, num_envs: int) -> ReplayBuffer:
        return NStepReplay(capacity, OBS, ACTION, num_envs, 3, 0.5)

    memory = with_dataset(data(3), 0.5, make, 8, 1)
    assert isinstance(memory, MixedReplay)
    memory.add(step(1))
    memory.end_episodes()
    assert memory.own.columns["truncated"][0]


def test_recorded_stacks_are_kept_as_single_observations() -> None:
    """Two episodes, of observations 0, 1, 2 and 2, 3, 4, 5; the last of each is no row's."""
    space = Stack(spaces.Box(-100, 100, (1,), np.float32), 3)
    single = data(2, 3)  # rows 0 to 4, with successors that are one more
    episodes = [np.arange(0, 3), np.arange(2, 6)]
    stacks = [as_rows(e[:, None].astype(np.float32), space) for e in episodes]
    recorded = dataclasses.replace(
        single,
        obs=np.concatenate([s[:-1] for s in stacks]),
        successor=np.concatenate([s[1:] for s in stacks]),
    )
    for n_steps in (1, 2):

        def make(capacity: int, num_envs: int, n_steps: int = n_steps) -> ReplayBuffer:
            if n_steps == 1:
                return ReplayBuffer(capacity, space, ACTION)
            return NStepReplay(capacity, space, ACTION, num_envs, n_steps, 0.5)

        memory: Any = with_dataset(recorded, 0.5, make, 8, 2)
        found = memory.recorded.gather(np.arange(5))
        assert found.obs.tolist() == recorded.obs.tolist()
        last = np.minimum(np.arange(5) + n_steps - 1, [1, 1, 4, 4, 4])
        assert found.successor.tolist() == recorded.successor[last].tolist()
        assert memory.recorded.frames.newest.shape == (7, 1)  # two more than rows
    assert found.successor[:, :, 0].tolist() == [
        [0, 1, 2],
        [0, 1, 2],
        [2, 3, 4],
        [3, 4, 5],
        [3, 4, 5],
    ]
