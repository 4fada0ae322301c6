"""Several agents in one environment, by the interface of PettingZoo's parallel environments.

That interface is all that is asked for (`possible_agents`, `agents`, `reset`, `step`,
`observation_space`, `action_space`): PettingZoo itself need not be there.

Legend: N agents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from rltrain.core.errors import EnvError, UserError
from rltrain.core.layout import layout_of
from rltrain.core.spaces import Agent, kind_of, shape_of, size_of
from rltrain.envs.answers import (
    AnswerError,
    describe,
    first_observation,
    five,
    flag,
    number,
)
from rltrain.envs.packing import MismatchError, Packer

Rows = NDArray[Any]

_BY_AGENT = "They must be a dict with an entry for each agent"


class Team(gym.Env[Any, Any]):
    """A parallel environment as one of Gymnasium's: what it observes is a row for each agent.

    An episode lasts until no agent is left. A step takes one action for each agent, and its
    `info` says for each: `reward`, `terminated`, `truncated`, and whether it is `alive` from
    here on. The action of an agent that is gone is not looked at, and its row is 0, less the
    final observation that comes with its end. Observations of different sizes are flattened
    and stand at the beginning of their rows.

    Raises:
        AnswerError: what the environment returns does not have the interface's form.
        EnvError: the environment breaks the interface otherwise.
        UserError: its agents' spaces have no common rows.
    """

    def __init__(self, parallel_env: Any, name: str) -> None:
        self.parallel_env = parallel_env
        self.name = name
        self.agents = tuple(
            Agent(a, parallel_env.observation_space(a), parallel_env.action_space(a))
            for a in parallel_env.possible_agents
        )
        self.row_space = common_space([a.observation_space for a in self.agents], name)
        self._row = layout_of(self.row_space).row
        self._packers = [Packer(layout_of(a.observation_space)) for a in self.agents]
        self.row_action_space = common_space([a.action_space for a in self.agents], name)
        self.observation_space = rows_of(self.row_space, len(self.agents))
        self.action_space = spaces.Tuple([a.action_space for a in self.agents])
        self.alive = np.zeros(len(self.agents), np.bool_)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Rows, dict[str, Any]]:
        obs = first_observation(self.parallel_env.reset(seed=seed, options=options))
        present = set(self.parallel_env.agents)
        self.alive = np.array([a.name in present for a in self.agents])
        if not self.alive.any():
            raise EnvError(f"{self.name} begins an episode without any agent.")
        return self._rows(obs, self.alive, self.alive), {"alive": self.alive.copy()}

    def step(self, action: Any) -> tuple[Rows, float, bool, bool, dict[str, Any]]:
        names = [a.name for a in self.agents]
        acting = self.alive
        commands = {name: action[i] for i, name in enumerate(names) if acting[i]}
        answer = five(self.parallel_env.step(commands))
        obs, rewards, terminations, truncations, _ = answer
        present = set(self.parallel_env.agents)
        reward = np.zeros(len(names))
        terminated, truncated, alive = np.zeros((3, len(names)), np.bool_)
        for i, name in enumerate(names):
            if acting[i]:
                self._check_acted(name, rewards, terminations, truncations)
                paid = rewards[name]
                reward[i] = paid if type(paid) is float else number(paid, f"reward of {name}")
            # One that is still listed after its end is as gone as one that is not.
            over = (
                flag(terminations.get(name, False), f"termination of {name}"),
                flag(truncations.get(name, False), f"truncation of {name}"),
            )
            alive[i] = name in present and not any(over)
            if acting[i]:
                terminated[i], truncated[i] = over
                if not (alive[i] or any(over)):
                    raise EnvError(
                        f"{self.name}: {name} is gone, and was neither terminated nor truncated."
                    )
        rows = self._rows(obs, alive | acting, alive | truncated)
        self.alive = alive
        info = {
            "reward": reward,
            "terminated": terminated,
            "truncated": truncated,
            "alive": alive.copy(),
        }
        return rows, float(reward.sum()), not alive.any(), False, info

    def _check_acted(self, name: str, *answers: dict[str, Any]) -> None:
        for what, answer in zip(("reward", "termination", "truncation"), answers, strict=True):
            if type(answer) is not dict and not isinstance(answer, Mapping):
                raise AnswerError(f"the {what}s are {describe(answer)}. {_BY_AGENT}")
            if name not in answer:
                raise EnvError(f"{self.name} returned no {what} of {name}, which acted.")

    def _rows(self, obs: dict[str, Any], shown: Rows, needed: Rows) -> Rows:
        """Observations `[N, ...]` of those that are `shown`, 0 of others; what is `needed` must
        be there."""
        if not isinstance(obs, Mapping):
            raise AnswerError(f"the observations are {describe(obs)}. {_BY_AGENT}")
        rows = np.zeros((len(self.agents), *self._row[0]), self._row[1])
        for i, agent in enumerate(self.agents):
            if shown[i] and agent.name in obs:
                own = self._packed(i, agent, obs[agent.name])
                if own.shape == rows.shape[1:]:
                    rows[i] = own
                else:
                    rows[i, : own.size] = own.reshape(-1)
            elif needed[i]:
                raise EnvError(f"{self.name} returned no observation of {agent.name}.")
        return rows

    def _packed(self, i: int, agent: Agent, obs: Any) -> Rows:
        try:
            return np.asarray(self._packers[i](obs))
        except MismatchError as mismatch:
            part = f" as {mismatch.where}" if mismatch.where else ""
            raise EnvError(
                f"{self.name} declares observations {mismatch.declared}{part} of {agent.name}, but"
                f" returned {mismatch.got}."
            ) from None

    def render(self) -> Any:
        return self.parallel_env.render()

    def close(self) -> None:
        self.parallel_env.close()


def rows_of(space: Space, count: int) -> Space:
    """The space of so many rows. (Gymnasium's own draws a random generator for `space`.)"""
    if isinstance(space, spaces.Discrete):
        return spaces.MultiDiscrete([space.n] * count)
    if isinstance(space, spaces.Box):
        low, high = (np.stack([bound] * count) for bound in (space.low, space.high))
        return spaces.Box(low, high, dtype=space.dtype)
    shape, dtype = layout_of(space).row
    info = np.iinfo(dtype)
    return spaces.Box(info.min, info.max, (count, *shape), dtype)


def own_rows(rows: Rows, space: Space) -> Rows:
    """Rows `[K, ...]` of a common space as those of one agent's own."""
    shape = shape_of(space)
    if rows.shape[1:] == shape:
        return rows
    return rows[:, : size_of(space)].reshape(len(rows), *shape)


def common_space(own: list[Space], name: str) -> Space:
    """The space of rows that hold what is of any of these spaces.

    Raises:
        UserError: there is none.
    """
    first = own[0]
    if all(space == first for space in own):
        return first
    if all(isinstance(space, spaces.Discrete) for space in own):
        return spaces.Discrete(max(size_of(space) for space in own))
    same = all(isinstance(space, spaces.Box) and space.dtype == first.dtype for space in own)
    if not same:
        kinds = sorted({f"{kind_of(space)} ({space.dtype})" for space in own})
        raise UserError(
            f"env={name}: its agents' spaces differ in kind ({', '.join(kinds)}), and there are no"
            " rows for all of them."
        )
    if all(space.shape == first.shape for space in own):
        low: Any = np.min([space.low for space in own], 0)  # type: ignore[attr-defined] # Box
        high: Any = np.max([space.high for space in own], 0)  # type: ignore[attr-defined] # Box
        return spaces.Box(low, high, dtype=first.dtype)  # type: ignore[arg-type] # of a Box
    bounds = [(space.low.min(), space.high.max()) for space in own]  # type: ignore[attr-defined]
    return spaces.Box(
        min(low for low, _ in bounds),
        max(high for _, high in bounds),
        (max(size_of(space) for space in own),),
        first.dtype,  # type: ignore[arg-type] # of a Box
    )
