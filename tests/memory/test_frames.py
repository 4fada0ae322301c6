"""Replay of stacks: the same as of whole observations, in a fraction of the memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.spaces import Stack
from rltrain.core.state import digest
from rltrain.core.types import Transition
from rltrain.memory.n_step import NStepReplay
from rltrain.memory.prioritized import PrioritizedReplay
from rltrain.memory.replay import ReplayBuffer
from tests.files import through_file

ONE = spaces.Box(0, 255, (2, 3), np.uint8)
STACK = Stack(ONE, 3)
PLAIN = spaces.Box(0, 255, (3, 2, 3), np.uint8)
ACTIONS = spaces.Discrete(5)


def stream(num_envs: int, steps: int, seed: int = 0) -> Iterator[Transition]:
    """Steps of environments that end by chance, either way, and now and then at once."""
    rng = np.random.default_rng(seed)

    def frame() -> Any:
        return rng.integers(256, size=(num_envs, 2, 3)).astype(np.uint8)

    obs = np.repeat(frame()[:, None], 3, 1)
    for _ in range(steps):
        successor = np.concatenate([obs[:, 1:], frame()[:, None]], 1)
        end = rng.random(num_envs)
        terminated, truncated = end < 0.15, end > 0.9
        yield Transition(
            obs,
            rng.integers(5, size=num_envs),
            rng.random(num_envs).astype(np.float32),
            terminated,
            truncated,
            successor,
            {},
        )
        obs = successor.copy()
        for i in np.flatnonzero(terminated | truncated):
            obs[i] = np.repeat(frame()[i][None], 3, 0)


def pair(capacity: int, num_envs: int, n_steps: int = 1, by_priority: bool = False) -> list[Any]:
    memories: list[Any] = []
    for space in (STACK, PLAIN):
        memory = ReplayBuffer(capacity, space, ACTIONS)
        if n_steps > 1:
            memory = NStepReplay(capacity, space, ACTIONS, num_envs, n_steps, 0.9)
        memories.append(PrioritizedReplay(memory, 0.6) if by_priority else memory)
    return memories


def same_samples(memories: list[Any], count: int = 60) -> None:
    found = [digest(m.sample(count, np.random.default_rng(7))._asdict()) for m in memories]
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    ("capacity", "num_envs"), [(50, 1), (50, 2), (50, 7), (7, 3), (1, 1), (3, 4), (500, 3)]
)
@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize("by_priority", [False, True])
def test_samples_are_those_of_whole_observations(
    capacity: int, num_envs: int, n_steps: int, by_priority: bool
) -> None:
    if n_steps > 1 and capacity < num_envs:
        pytest.skip("steps of an environment must fit")
    memories = pair(capacity, num_envs, n_steps, by_priority)
    for i, step in enumerate(stream(num_envs, 60)):
        for memory in memories:
            memory.add(step)
        if i % 5 == 0:
            same_samples(memories)
            assert memories[0].latest(9).tolist() == memories[1].latest(9).tolist()


def test_every_row_of_a_full_ring_is_rebuilt() -> None:
    stacked, plain = pair(40, 3)
    for step in stream(3, 50):
        stacked.add(step)
        plain.add(step)
    rows = np.arange(40)
    assert stacked.obs(rows).tolist() == plain.obs(rows).tolist()
    assert stacked.successor(rows).tolist() == plain.successor(rows).tolist()


def test_a_stack_by_hand() -> None:
    """Frames 1, 2, 3 of an episode that ends with 4, then one that begins with 5."""
    memory = ReplayBuffer(10, Stack(spaces.Box(0, 9, (1,), np.uint8), 3), ACTIONS)
    no, yes = np.array([False]), np.array([True])
    rows = [([1, 1, 1], [1, 1, 2], no), ([1, 1, 2], [1, 2, 3], no), ([1, 2, 3], [2, 3, 4], yes)]
    rows.append(([5, 5, 5], [5, 5, 6], no))
    for obs, after, ended in rows:
        x, y = (np.array(v, np.uint8).reshape(1, 3, 1) for v in (obs, after))
        memory.add(Transition(x, np.zeros(1, int), np.zeros(1, np.float32), ended, no, y, {}))
    assert memory.frames is not None
    assert memory.frames.newest[:4, 0].tolist() == [1, 2, 3, 5]
    assert memory.obs(np.arange(4))[..., 0].tolist() == [row[0] for row in rows]
    assert memory.successor(np.arange(4))[..., 0].tolist() == [row[1] for row in rows]


@pytest.mark.parametrize("n_steps", [1, 3])
def test_episodes_that_are_cut_off_keep_their_successors(n_steps: int) -> None:
    memories = pair(50, 2, n_steps)
    for seed in range(3):
        for step in stream(2, 7, seed):  # each begins anew
            for memory in memories:
                memory.add(step)
        for memory in memories:
            memory.end_episodes()
        same_samples(memories)


@pytest.mark.parametrize("before", [0, 5, 60])
def test_a_restored_memory_goes_on_alike(before: int) -> None:
    memory, other = (ReplayBuffer(40, STACK, ACTIONS) for _ in range(2))
    steps = list(stream(3, before + 20))
    for step in steps[:before]:
        memory.add(step)
    other.load_state_dict(through_file(memory.state_dict()))
    assert digest(other.state_dict()) == digest(memory.state_dict())
    for step in steps[before:]:
        memory.add(step)
        other.add(step)
    same_samples([memory, other])
    assert digest(other.state_dict()) == digest(memory.state_dict())


def test_no_frame_is_stored_twice() -> None:
    memory = ReplayBuffer(1000, STACK, ACTIONS)
    for step in stream(4, 500):
        memory.add(copy.deepcopy(step))
    assert memory.frames is not None
    assert len(memory.frames.newest) == 1000 + 2 * 4
    ended = len(memory.frames._finals)
    assert 150 < ended < 350  # a quarter of what the ring holds


def test_a_million_frames_of_atari_fit_in_8_gb(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 24 * 2**30}
    monkeypatch.setattr("os.sysconf", pages.__getitem__)
    space = Stack(spaces.Box(0, 255, (84, 84), np.uint8), 4)
    memory = ReplayBuffer(10**6, space, spaces.Discrete(6))
    assert memory.frames is not None
    rest = sum(column.nbytes for column in memory.columns.values())
    flags = 2 * 10**6
    assert memory.frames.nbytes_of_one * 10**6 + rest + flags < 8e9


def test_an_episode_that_begins_with_more_than_one_observation_is_refused() -> None:
    memory = ReplayBuffer(10, STACK, ACTIONS)
    steps = list(stream(2, 3))
    middle = next(s for s in steps if (s.obs[0] != s.obs[0, -1:]).any())
    with pytest.raises(ValueError, match="one observation, repeated"):
        memory.add(middle)
