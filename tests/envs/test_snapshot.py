"""The state of environments as plain values, and how it is known whether that is all of it."""

from __future__ import annotations

import collections
import enum
import math
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.state import digest
from rltrain.envs import emulator, ids, snapshot, trial
from rltrain.envs.probes import PROBES
from tests.envs.toys import (
    GlobalToy,
    Hoard,
    SnapshotToy,
    Toy,
)
from tests.files import through_file


def why_not(make: Callable[[], gym.Env]) -> str | None:
    """What a trial without a limit says of one environment."""
    env = make()
    try:
        return trial.try_out(env, limit=math.inf).why_not
    finally:
        env.close()


CLASSIC = ["CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1"]
TEXT = ["FrozenLake-v1", "Taxi-v4", "CliffWalking-v1", "Blackjack-v1"]


def roll(env: gym.Env, steps: int) -> list[Any]:
    rows = []
    for i in range(steps):
        obs, reward, terminated, truncated, _ = env.step(i % 2)
        rows.append((np.copy(obs).tolist(), reward, terminated, truncated))
        if terminated or truncated:
            rows.append(np.copy(env.reset()[0]).tolist())
    return rows


@pytest.mark.parametrize("env_id", CLASSIC + TEXT + [f"rltrain/{name}-v0" for name in PROBES])
def test_the_state_of_classic_control_and_toy_text_can_be_saved(env_id: str) -> None:
    assert why_not(lambda: gym.make(env_id, disable_env_checker=True)) is None


@pytest.mark.parametrize(
    ("package", "env_id"),
    [
        ("minatar", "MinAtar/Breakout-v1"),
        ("minatar", "MinAtar/Seaquest-v1"),
        ("minigrid", "MiniGrid-Empty-Random-6x6-v0"),
        ("ale_py", "ALE/Pong-v5"),  # whose actions stick by chance
    ],
)
def test_the_state_of_games_can_be_saved(package: str, env_id: str) -> None:
    pytest.importorskip(package)
    assert ids.can_make(env_id)

    def make() -> gym.Env:
        env: gym.Env = gym.make(env_id, disable_env_checker=True)
        emulator.record(env)
        return env

    assert why_not(make) is None


@pytest.mark.parametrize("cls", [Toy, GlobalToy, Hoard, SnapshotToy])
def test_plain_state_can_be_saved(cls: type[gym.Env]) -> None:
    assert why_not(cls) is None


def test_every_kind_of_plain_value_survives_a_checkpoint_file() -> None:
    original, other = Hoard(), Hoard()
    original.action_space.seed(4)
    original.reset(seed=1)
    other.reset(seed=2)
    roll(original, 6)
    saved = through_file(snapshot.capture(original))
    snapshot.restore(other, saved)
    for name, value in vars(original).items():
        assert type(getattr(other, name)) is type(value), name
    assert other.window == original.window == collections.deque(original.window, maxlen=4)
    assert other.window.maxlen == 4
    assert other.tree["a"] == original.tree["a"]
    assert type(other.pair[1]) is list
    assert isinstance(other.old.bit_generator, np.random.MT19937)
    assert (other.letters, other.raw, other.members) == (
        original.letters,
        original.raw,
        original.members,
    )
    expected = roll(original, 9)
    assert roll(other, 9) == expected


def test_a_state_can_be_restored_more_than_once() -> None:
    original, other = Hoard(), Hoard()
    original.reset(seed=1)
    roll(original, 6)
    saved = snapshot.capture(original)
    expected = roll(original, 9)
    for _ in range(2):
        snapshot.restore(other, saved)
        assert roll(other, 9) == expected


@pytest.mark.parametrize("cls", [Hoard, Toy, SnapshotToy])
def test_a_captured_state_does_not_change_with_the_environment(cls: type[gym.Env]) -> None:
    env = cls()
    env.reset(seed=1)
    roll(env, 5)
    saved = snapshot.capture(env)
    before = digest(saved)
    roll(env, 4)
    assert digest(saved) == before
    assert digest(snapshot.capture(env)) != before


def test_wrappers_are_saved_too() -> None:
    def make() -> gym.Env:
        return gym.wrappers.TimeLimit(Toy(ending="never"), 10)

    original, other = make(), make()
    original.reset(seed=1)
    roll(original, 4)
    other.reset(seed=1)
    snapshot.restore(other, through_file(snapshot.capture(original)))
    rows = roll(other, 6)
    assert [row[3] for row in rows[:6]] == [False] * 5 + [True]
    assert rows[5][1] == 10  # the reward of the tenth step


def test_methods_of_the_environments_own_are_used_under_its_wrappers() -> None:
    def make() -> gym.Env:
        return gym.make("SnapshotToy-v0", disable_env_checker=True, max_episode_steps=10, length=99)

    original, other = make(), make()
    original.reset(seed=1)
    roll(original, 4)
    saved = through_file(snapshot.capture(original))
    expected = roll(original, 12)
    other.reset(seed=2)
    snapshot.restore(other, saved)
    toy = other.unwrapped
    assert isinstance(toy, SnapshotToy)
    assert toy.restored == [{"episode": 0, "count": 4, "drawn": 4}]
    assert roll(other, 12) == expected
    assert [row[3] for row in expected[:6]] == [False] * 5 + [True]


class Phase(enum.Enum):
    DAY = 1
    NIGHT = 2


class PhaseToy(gym.Env):
    """Its phase is a member of an enumeration."""

    observation_space = spaces.Discrete(3)
    action_space = spaces.Discrete(2)
    phase = Phase.DAY

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.phase = Phase.DAY
        return 1, {}

    def step(self, action: Any) -> Any:
        self.phase = Phase.NIGHT if self.phase is Phase.DAY else Phase.DAY
        return 1 + (self.phase is Phase.NIGHT), 0.0, False, False, {}


def test_asking_leaves_objects_alone_that_are_shared_by_everybody() -> None:
    try:
        why_not(PhaseToy)
        assert (Phase.DAY.value, Phase.NIGHT.value) == (1, 2)
    finally:
        Phase.DAY._value_, Phase.NIGHT._value_ = 1, 2
        Phase.DAY._name_, Phase.NIGHT._name_ = "DAY", "NIGHT"
