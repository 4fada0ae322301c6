"""Small environments of two agents, by the interface of PettingZoo's parallel environments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from rltrain.core.seeding import derive
from rltrain.envs.sights import EverySight
from rltrain.envs.team import Team

Answers = dict[str, Any]
Step = tuple[Answers, Answers, Answers, Answers, Answers]


class Parallel:
    """The base: agents that act side by side, each until its own end."""

    possible_agents: tuple[str, ...] = ("agent_0", "agent_1")

    def __init__(self) -> None:
        self.agents: list[str] = []

    def render(self) -> None:
        """There is nothing to see."""

    def close(self) -> None:
        """There is nothing to close."""


class SideBySide(Parallel):
    """An environment of its own for each agent; one goes on without those whose has ended."""

    def __init__(self, envs: Mapping[str, gym.Env[Any, Any]]) -> None:
        super().__init__()
        self.envs = dict(envs)
        self.possible_agents = tuple(envs)

    def observation_space(self, agent: str) -> gym.Space:
        return self.envs[agent].observation_space

    def action_space(self, agent: str) -> gym.Space:
        return self.envs[agent].action_space

    def reset(self, seed: int | None = None, options: Answers | None = None) -> tuple[Any, Any]:
        self.agents = list(self.possible_agents)
        obs = {}
        for name, env in self.envs.items():
            obs[name], _ = env.reset(seed=None if seed is None else derive(seed, name))
        return obs, {name: {} for name in self.agents}

    def step(self, actions: Answers) -> Step:
        answers = {name: self.envs[name].step(actions[name]) for name in self.agents}
        obs, rewards, terminations, truncations, infos = (
            {name: answer[k] for name, answer in answers.items()} for k in range(5)
        )
        self.agents = [n for n in self.agents if not (terminations[n] or truncations[n])]
        return obs, rewards, terminations, truncations, infos


class OwnBits(Parallel):
    """A probe: reward 1 where an agent's action is the bit that it alone sees, else −1.

    Agent i acts for `lengths[i]` steps, and observes its bit's sign and the steps it has
    left, so that with the right actions V = 1 + γ + … as often as it has steps left.
    With `opposed` the second agent is paid for the other action: what is right depends on
    who acts.
    """

    def __init__(self, lengths: tuple[int, ...] = (1, 2), opposed: bool = False) -> None:
        super().__init__()
        self.lengths = dict(zip(self.possible_agents, lengths, strict=True))
        self.opposed = opposed
        self.bits: dict[str, int] = {}
        self.left: dict[str, int] = {}
        self.random = np.random.default_rng()
        most = float(max(lengths))
        low, high = np.array([-1, 0], np.float32), np.array([1, most], np.float32)
        self._spaces = {name: spaces.Box(low, high) for name in self.possible_agents}
        self._actions = {name: spaces.Discrete(2) for name in self.possible_agents}

    def observation_space(self, agent: str) -> gym.Space:
        return self._spaces[agent]

    def action_space(self, agent: str) -> gym.Space:
        return self._actions[agent]

    def reset(self, seed: int | None = None, options: Answers | None = None) -> tuple[Any, Any]:
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        self.left = dict(self.lengths)
        return {name: self._observe(name) for name in self.agents}, {}

    def step(self, actions: Answers) -> Step:
        acting = self.agents
        rewards = {name: self._reward(name, int(actions[name])) for name in acting}
        for name in acting:
            self.left[name] -= 1
        obs = {name: self._observe(name) for name in acting}
        terminations = {name: self.left[name] == 0 for name in acting}
        truncations = dict.fromkeys(acting, False)
        self.agents = [name for name in acting if self.left[name]]
        return obs, rewards, terminations, truncations, {name: {} for name in acting}

    def _reward(self, name: str, action: int) -> float:
        other = self.opposed and name == self.possible_agents[1]
        return 1.0 if (action == self.bits[name]) != other else -1.0

    def _observe(self, name: str) -> np.ndarray[Any, Any]:
        """Draws the agent's next bit, and shows it."""
        self.bits[name] = int(self.random.integers(2))
        return np.array([2 * self.bits[name] - 1, self.left[name]], np.float32)


def two_carts() -> Team:
    """Two carts with a pole each: 1 a step until its pole falls or its cart leaves the track."""
    carts = {name: CartPoleEnv() for name in ("cart_0", "cart_1")}
    return Team(SideBySide(carts), "TwoCarts")


def two_sights(**kwargs: Any) -> Team:
    """Two agents that each see a picture, a sentence, switches and a number."""
    sights = {name: EverySight(**kwargs) for name in ("left", "right")}
    return Team(SideBySide(sights), "TwoSights")


def own_bits(lengths: tuple[int, ...] = (1, 2), opposed: bool = False) -> Team:
    return Team(OwnBits(tuple(lengths), opposed), "OwnBits")


gym.register("rltrain/TwoCarts-v0", entry_point=f"{__name__}:two_carts", max_episode_steps=500)
gym.register("rltrain/TwoSights-v0", entry_point=f"{__name__}:two_sights")
gym.register("rltrain/OwnBits-v0", entry_point=f"{__name__}:own_bits")
