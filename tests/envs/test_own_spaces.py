"""Spaces of an environment are seeded, since many environments draw from them."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rltrain.envs.team import Team
from rltrain.envs.team_vector import vector_env
from rltrain.envs.teams import Parallel

NESTED = spaces.Dict({"a": spaces.Discrete(10**6), "b": spaces.Tuple([spaces.Box(-1, 1, (2,))])})


class Drawn(gym.Env[Any, Any]):
    """Observes draws from spaces: of its own, of its class, nested, and of a wrapper."""

    observation_space = spaces.Box(-1, 10**6, (6,), np.float64)
    action_space = spaces.Discrete(10**6)

    def __init__(self) -> None:
        self.nested = {"goals": [copy.deepcopy(NESTED)]}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.see(), {}

    def see(self) -> Any:
        nested = self.nested["goals"][0].sample()
        drawn = [self.action_space.sample(), nested["a"], *nested["b"][0]]
        return np.array([*drawn, *self.observation_space.sample()[:2]])

    def step(self, action: Any) -> Any:
        return self.see(), 0.0, False, False, {}


class Remade(Drawn):
    """Makes its action space anew at each reset, which comes after every other step."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.steps = 0
        self.action_space = spaces.Discrete(10**6)
        gym.Env.reset(self, seed=seed)
        return np.zeros(6), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        obs, reward, *_ = super().step(action)
        return obs, reward, self.steps == 2, False, {}


class Scaled(gym.Wrapper[Any, Any, Any, Any]):
    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.action_space = spaces.Discrete(3)

    def step(self, action: Any) -> Any:
        obs, *rest = super().step(action)
        return obs + self.action_space.sample(), *rest


class Dice(Parallel):
    """Agents that see draws from their spaces."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_spaces = {a: spaces.Box(0, 1, (2,)) for a in self.possible_agents}

    def observation_space(self, agent: str) -> gym.Space:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gym.Space:
        return spaces.Discrete(2)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.agents = list(self.possible_agents)
        return {a: self.observation_spaces[a].sample() for a in self.agents}, {}

    def step(self, actions: Any) -> Any:
        obs, _ = self.reset()
        no = dict.fromkeys(self.agents, False)
        return obs, dict.fromkeys(self.agents, 0.0), no, no, {}


def make(kind: str) -> Any:
    return {
        "plain": Drawn,
        "remade": Remade,
        "wrapped": lambda: Scaled(Drawn()),
        "team": lambda: Team(Dice(), "Dice"),
    }[kind]()


def shown(kind: str, count: int, seed: int, first: int = 0) -> Any:
    envs = vector_env(lambda: make(kind), count, seed, "test", first=first)
    rows = [envs.restart().copy()]
    actions = np.zeros(envs.num_rows, np.int64)
    rows += [envs.step(actions).obs.copy() for _ in range(5)]
    return np.stack(rows)


@pytest.mark.parametrize("kind", ["plain", "remade", "wrapped", "team"])
def test_what_is_drawn_from_spaces_follows_from_the_seed(kind: str) -> None:
    a = shown(kind, 2, seed=3)
    np.testing.assert_array_equal(a, shown(kind, 2, seed=3))
    assert not np.array_equal(a, shown(kind, 2, seed=4))
    half = a.shape[1] // 2
    assert not np.array_equal(a[:, :half], a[:, half:])
    np.testing.assert_array_equal(a[:, half:], shown(kind, 1, seed=3, first=1))  # as in a worker


def test_the_space_of_a_class_stays_as_it_is() -> None:
    before = Drawn.action_space._np_random
    shown("plain", 2, seed=3)
    assert Drawn.action_space._np_random is before
