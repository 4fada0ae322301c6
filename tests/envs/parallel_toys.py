"""Parallel environments whose agents come, end and go when it is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import Space, spaces

from rltrain.envs.team import Team

SPACE = spaces.Box(-100, 100, (2,), np.float32)


class Script:
    """Agents `a` and `b`: `ends[name]` is the step of its end, and how it ends.

    An agent observes (its number, steps so far), and is paid (10 or 20) + the step. After
    `spoil` a step's answers are as it leaves them.
    """

    possible_agents = ("a", "b")

    def __init__(
        self,
        ends: dict[str, tuple[int, str]] | None = None,
        observations: dict[str, Space] | None = None,
        actions: dict[str, Space] | None = None,
        spoil: Callable[[Any], None] = lambda answers: None,
    ) -> None:
        self.ends = {"a": (1, "terminated"), "b": (3, "terminated")} if ends is None else ends
        self.observations = observations or dict.fromkeys(self.possible_agents, SPACE)
        self.actions = actions or {name: spaces.Discrete(3) for name in self.possible_agents}
        self.spoil = spoil
        self.agents: list[str] = []
        self.steps = 0
        self.seeds: list[int | None] = []
        self.given: list[dict[str, Any]] = []

    def observation_space(self, agent: str) -> Space:
        return self.observations[agent]

    def action_space(self, agent: str) -> Space:
        return self.actions[agent]

    def observe(self, name: str) -> Any:
        number, space = self.possible_agents.index(name) + 1, self.observations[name]
        if isinstance(space, spaces.Discrete):
            return int(space.start) + number
        obs = np.zeros(space.shape, space.dtype)
        obs.reshape(-1)[:2] = number, self.steps
        return obs

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        self.seeds.append(seed)
        self.agents, self.steps = list(self.possible_agents), 0
        return {name: self.observe(name) for name in self.agents}, {}

    def step(self, actions: dict[str, Any]) -> Any:
        assert set(actions) == set(self.agents)
        self.given.append(actions)
        self.steps += 1
        how = {n: self.ends[n][1] if self.ends[n][0] == self.steps else "" for n in self.agents}
        answers = (
            {name: self.observe(name) for name in self.agents},
            {n: 10.0 * (1 + self.possible_agents.index(n)) + self.steps for n in self.agents},
            {name: how[name] in ("terminated", "both") for name in self.agents},
            {name: how[name] in ("truncated", "both") for name in self.agents},
            {name: {} for name in self.agents},
        )
        self.agents = [name for name in self.agents if not how[name]]
        self.spoil((self, *answers))
        return answers

    def close(self) -> None:
        pass


def make_script(**kwargs: Any) -> Team:
    return Team(Script(**kwargs), "Script")


def make_parallel(length: int = 2) -> Script:
    """What a user's module may define: `tests.envs.parallel_toys:make_parallel`."""
    return Script({"a": (length, "terminated"), "b": (length, "terminated")})


class Absent(Script):
    """Agent `b` is possible and never there."""

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        super().reset(seed, options)
        self.agents = ["a"]
        return {"a": self.observe("a")}, {}


def make_absent() -> Script:
    return Absent({"a": (5, "terminated"), "b": (5, "terminated")})


def make_nonsense() -> int:
    return 3
