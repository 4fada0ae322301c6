"""Toy environments whose lengths, rewards and faults are known."""

from __future__ import annotations

import collections
import itertools
import random
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

FAULTS: dict[str, Callable[[Any], Any]] = {
    "complex": lambda obs: obs.astype(np.complex64),
    "shape": lambda obs: obs[:1],
    "ragged": lambda obs: [obs.tolist(), 1.0],
    "text": lambda obs: str(obs),
    "nan": lambda obs: obs * np.nan,
    "inf": lambda obs: obs + np.inf,
    "above": lambda obs: 1000,
    "below": lambda obs: -1,
    "float": lambda obs: float(obs),
}
REWARDS = {"reward_nan": np.nan, "reward_inf": np.inf, "reward_minus_inf": -np.inf}


class Toy(gym.Env[Any, Any]):
    """Episodes of `length` steps with rewards 1, 2, …, that observe (episode, step).

    There is one observation array, which is changed in place. `ending` is `terminated`,
    `truncated`, `both` or `never`. `fault` spoils the observation or the reward of step
    `fault_at` of episode `fault_episode`. `seeds` and `actions` are what it was given.
    """

    def __init__(
        self,
        length: int = 3,
        ending: str = "terminated",
        discrete: bool = False,
        start: int = 0,
        box_actions: bool = False,
        fault: str = "",
        fault_at: int = 2,
        fault_episode: int = 0,
    ) -> None:
        if fault == "constructor":
            raise ValueError("the toy is broken")
        self.length, self.ending, self.start, self.discrete = length, ending, start, discrete
        self.fault, self.fault_at, self.fault_episode = fault, fault_at, fault_episode
        self.observation_space = (
            spaces.Discrete(length + 1, start=start)
            if discrete
            else spaces.Box(-1e6, 1e6, (2,), np.float32)
        )
        self.action_space = (
            spaces.Box(np.array([-1, -0.5], np.float32), np.array([2, 0.25], np.float32))
            if box_actions
            else spaces.Discrete(3, start=start)
        )
        self.array = np.zeros(2, np.float32)
        self.episode, self.count = -1, 0
        self.seeds: list[int | None] = []
        self.actions: list[Any] = []
        self.closed = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.episode += 1
        self.count = 0
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.actions.append(action)
        self.count += 1
        last = self.count >= self.length and self.ending != "never"
        reward = REWARDS[self.fault] if self.fault in REWARDS and self.faulty() else self.count
        return (
            self.observe(),
            float(reward),
            last and self.ending in ("terminated", "both"),
            last and self.ending in ("truncated", "both"),
            {},
        )

    def faulty(self) -> bool:
        return (self.episode, self.count) == (self.fault_episode, self.fault_at)

    def number(self) -> int:
        return self.count

    def observe(self) -> Any:
        obs: Any = self.start + min(self.count, self.length)
        if not self.discrete:
            self.array[:] = self.episode, self.number()
            obs = self.array
        return FAULTS[self.fault](obs) if self.fault in FAULTS and self.faulty() else obs

    def close(self) -> None:
        self.closed += 1


def _closure() -> Callable[[], int]:
    count = 0

    def following() -> int:
        nonlocal count
        count += 1
        return count

    return following


SOURCES: dict[str, Callable[[], Any]] = {
    "generator": lambda: (n for n in itertools.count()),
    "iterator": lambda: iter(range(10**6)),
    "closure": _closure,
}


class HiddenToy(Toy):
    """Observes numbers from something whose state nobody can read."""

    def __init__(self, source: str = "generator", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = SOURCES[source]()

    def number(self) -> int:
        return int(self.source() if callable(self.source) else next(self.source))


class SnapshotToy(HiddenToy):
    """Hidden too, but with methods of its own to save it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.live: dict[str, int] = {}
        self.restored: list[dict[str, int]] = []

    def observe(self) -> Any:
        obs = super().observe()
        self.live |= {"episode": self.episode, "count": self.count, "drawn": int(obs[1])}
        return obs

    def snapshot(self) -> dict[str, int]:
        return self.live  # on purpose: it goes on changing

    def restore(self, state: dict[str, int]) -> None:
        self.restored.append(state)
        self.episode, self.count = state["episode"], state["count"]
        self.source = (n for n in itertools.count(state["drawn"] + 1))


class SharedToy(Toy):
    """Two attributes are one memory, which copies of them no longer are."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.board = np.zeros(3)
        self.view = self.board[:1]

    def number(self) -> int:
        self.board[0] += 1
        return int(self.view[0])


class GlobalToy(Toy):
    """Draws from the generators of Python and NumPy that everybody shares."""

    def number(self) -> int:
        return random.randrange(1000) + int(np.random.randint(1000))


class Pocket:
    """An object of no kind that is known."""

    def __init__(self) -> None:
        self.coins = 0
        self.dice = random.Random(0)


class Hoard(gym.Env[Any, Any]):
    """Carries a value of every kind that is plain, and observes all of them."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-1e9, 1e9, (13,), np.float64)
        self.action_space = spaces.Discrete(2)
        self.letters, self.raw = "", b""
        self.nothing: int | None = None
        self.listed: list[int] = []
        self.pair = (0, [0])
        self.window: collections.deque[int] = collections.deque(maxlen=4)
        self.members: set[int] = set()
        self.tree: dict[Any, Any] = {"a": {1: 0}, (2, 3): np.zeros(2)}
        self.small = np.int16(0)
        self.board = np.zeros((2, 2), np.uint8)
        self.old = np.random.Generator(np.random.MT19937(0))
        self.pocket = Pocket()
        self.names = np.array(["a constant", "of text"])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        draw = int(self.np_random.integers(1, 9)) + int(action)
        self.letters, self.raw = self.letters + "é", self.raw + b"\xff"
        self.nothing = None if self.nothing else draw
        self.listed.append(draw)
        self.pair = (draw, [self.pair[0]])
        self.window.append(draw)
        self.members.add(draw)
        self.tree["a"][1] += draw
        self.tree[2, 3] += draw
        self.small = np.int16((self.small + draw) % 100)
        self.board[0, 1] = (int(self.board[0, 1]) + draw) % 200
        self.pocket.coins += draw
        return self.observe(), 0.0, False, False, {}

    def observe(self) -> Any:
        values = [
            len(self.letters),
            len(self.raw),
            self.nothing or 0,
            sum(self.listed),
            self.pair[0] + 10 * self.pair[1][0],
            sum(self.window),
            sum(self.members),
            self.tree["a"][1] + self.tree[2, 3].sum(),
            self.small,
            self.board[0, 1],
            self.old.random(),
            self.pocket.coins + self.pocket.dice.random(),
            self.action_space.sample(),
        ]
        return np.array(values, np.float64)


for _cls in (Toy, HiddenToy, SnapshotToy, SharedToy, GlobalToy, Hoard):
    gym.register(f"{_cls.__name__}-v0", entry_point=f"{__name__}:{_cls.__name__}")
