"""Environments of several agents, stepped side by side.

Legend: N agents of an environment, B = environments × N rows; row e · N + i is that of
agent i of environment e.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray

from rltrain.core.errors import EnvError
from rltrain.core.layout import layout_of
from rltrain.core.spaces import to_box
from rltrain.envs import answers
from rltrain.envs.bounds import Bounds
from rltrain.envs.packing import Packer
from rltrain.envs.supervisor import FAIL, OnError, Remark, Supervisor
from rltrain.envs.team import Team, own_rows
from rltrain.envs.vector import Env, Episode, Rows, VectorEnv, VectorStep, all_finite


class TeamVectorEnv(VectorEnv):
    """A vector whose rows are agents; the episode of a row is that of its agent.

    It ends where the agent's does, and what comes next depends on the others: the team
    begins anew once none is left, in the step in which the last one ended. Until then the
    rows of those that are gone carry no transition, which `VectorStep.valid` says. Steps
    are counted in environments: a vector step is `num_envs` of them, not B.

    Raises:
        EnvError: an environment breaks its declared spaces, or returns what is no number.
    """

    def __init__(
        self,
        make: Callable[[], Env],
        num_envs: int,
        seed: int,
        *stream: str,
        first: int = 0,
        envs: list[Env] | None = None,
        clip_reward: bool = False,
        on_error: OnError = FAIL,
    ) -> None:
        self._make, self._seed = make, seed
        self._clip_reward = clip_reward
        self.envs = envs or [make() for _ in range(num_envs)]
        self._batch = None
        team = self.envs[0].unwrapped
        assert isinstance(team, Team)
        self.agents = team.agents
        self.num_envs, self.num_rows = num_envs, num_envs * len(self.agents)
        self.observation_space, self.action_space = team.row_space, team.row_action_space
        self.name = team.name
        self.first = first
        self.supervisor = Supervisor(make, self.envs, self.name, first, (seed, stream), on_error)
        self._packer = Packer(layout_of(self.observation_space))
        self._bounds = Bounds(self._packer.layout)
        shape, self._dtype = self._packer.layout.row
        self._floats = any(leaf.dtype.kind == "f" for leaf in self._packer.layout.leaves)
        self._action_shape = (self.num_rows, *(self.action_space.shape or ()))
        self.returns = np.zeros(self.num_rows)
        self.lengths = np.zeros(self.num_rows, np.int64)
        self.obs: Rows = np.zeros((self.num_rows, *shape), self._dtype)
        self.alive = np.zeros(self.num_rows, np.bool_)  # whose next transition counts
        self.restarted_at = 0
        self._restarts_before = self.supervisor.restarts.copy()  # the newest restart

    @property
    def limited(self) -> bool:
        env = self.envs[0]
        while isinstance(env, gym.Wrapper):
            if isinstance(env, TimeLimit):
                return True
            env = env.env
        return False

    def restart(self, at: int = 0) -> Rows:
        self.restarted_at, self._restarts_before = at, self.supervisor.restarts.copy()
        obs, self.alive = np.empty_like(self.obs), np.empty_like(self.alive)
        for e in range(self.num_envs):
            self._begin(e, obs, self.supervisor.seed_of(e, at))
        self._check_finite(obs)
        self.obs = obs
        self._note_fresh()
        return obs

    def step(self, actions: Rows) -> VectorStep:
        """Steps every environment with the rows of `actions` of those that are alive."""
        self._check_actions(actions)
        obs, valid, alive = np.empty_like(self.obs), self.alive, np.empty_like(self.alive)
        reward = np.zeros(self.num_rows)
        terminated, truncated = np.zeros((2, self.num_rows), np.bool_)
        over, renewed = [], {}
        for e, env in enumerate(self.envs):
            rows = self.rows_of(e)
            self.supervisor.enter(e)
            try:
                obs[rows], _, ended, cut, info = env.step(self._commands_of(actions[rows]))
            except Exception as error:
                what = answers.explain(env, "step", error)
                at = int(self.lengths[rows].max()) + 1
                renewed[e] = self.supervisor.renew(e, what, error, at)
                obs[rows], alive[rows] = self.obs[rows], False
                continue
            reward[rows] = info["reward"]
            terminated[rows], truncated[rows] = info["terminated"], info["truncated"]
            alive[rows] = info["alive"]
            if cut:  # by a time limit, which all that are left have in common
                truncated[rows] |= info["alive"]
            if ended or cut:
                over.append(e)
        self.supervisor.leave()
        self._check_finite(obs, "after step {} of its episode")
        self._check_reward(reward)
        if self._bounds.due(bool(over)):
            self._check_bounds(obs[valid], np.flatnonzero(valid))
        self.returns += reward
        self.lengths += valid
        episodes, successor = [], obs
        for i in np.flatnonzero(terminated | truncated).tolist():
            episodes.append(Episode(i, float(self.returns[i]), int(self.lengths[i])))
            self.returns[i] = self.lengths[i] = 0
        self.alive = alive
        if over or renewed:
            successor, valid = obs.copy(), valid.copy()
            for e in over:
                self._begin(e, obs)
            for e, first in renewed.items():
                valid[self.rows_of(e)] = False
                self._show(e, obs, *first)
            self._check_finite(obs)
        self.obs = obs
        learned = self._learned(reward)
        return VectorStep(obs, successor, learned, terminated, truncated, episodes, valid, over)

    def rows_of(self, e: int) -> slice:
        """The rows of environment `e`."""
        return slice(e * len(self.agents), (e + 1) * len(self.agents))

    def _begin(self, i: int, obs: Rows, seed: int | None = None) -> None:
        self._show(i, obs, *self.supervisor.reset(i, seed))

    def _show(self, i: int, obs: Rows, first: Rows, info: dict[str, Any]) -> None:
        """Begins the statistics of an episode whose first rows of observations are `first`."""
        rows = self.rows_of(i)
        obs[rows], self.alive[rows] = first, info["alive"]
        self.returns[rows] = 0
        self.lengths[rows] = 0

    def _check_bounds(self, obs: Rows, rows: NDArray[np.intp] | None = None) -> None:
        assert rows is not None
        for i, part, text in self._bounds.left(obs):
            e, agent = divmod(int(rows[i]), len(self.agents))
            said = (
                f"{self.name} returned an observation of {self.agents[agent].name} outside its"
                f" declared bounds: {text} (environment {self.first + e}). It is used as it is."
            )
            self.supervisor.remarks.append(Remark(said, f"bounds {part}"))

    def _commands_of(self, actions: Rows) -> list[Any]:
        """One environment's rows of actions as its agents' own spaces have them."""
        commands = []
        for i, agent in enumerate(self.agents):
            space, action = agent.action_space, actions[i]
            if isinstance(space, spaces.Box):
                commands.append(to_box(own_rows(action[None], space)[0], space))
            else:
                counted = action + np.asarray(getattr(space, "start", 0))
                commands.append(counted.astype(space.dtype, copy=False))
        return commands

    def _check_reward(self, reward: NDArray[np.float64]) -> None:
        if not all_finite(reward):
            i = int(np.flatnonzero(~np.isfinite(reward))[0])
            e, agent = divmod(i, len(self.agents))
            raise EnvError(
                f"{self.name} returned the reward {reward[i]} of {self.agents[agent].name}"
                f" (environment {self.first + e}, step {self.lengths[i] + 1} of its episode)."
            )

    def _check_finite(self, obs: Rows, when: str = "at the start of an episode") -> None:
        packed = self._packer.layout.packed
        if not self._floats or (not packed and all_finite(obs)):
            return
        bad = self._packer.not_finite(obs)
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            e, agent = divmod(i, len(self.agents))
            row = self._packer.layout.view(obs)[i] if packed else obs[i]
            raise EnvError(
                f"{self.name} returned an observation of {self.agents[agent].name} that is no"
                f" number: {row!r:.80} (environment {self.first + e},"
                f" {when.format(self.lengths[i] + 1)})."
            )

    def state_dict(self, save_envs: bool = True) -> dict[str, Any]:
        return {
            "returns": self.returns.copy(),
            "lengths": self.lengths.copy(),
            "obs": self.obs.copy(),
            "alive": self.alive.copy(),
            "restarted_at": self.restarted_at,
            "restarts": (self.supervisor.restarts if save_envs else self._restarts_before).copy(),
            "envs": self._captured() if save_envs else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if state["envs"] is not None:
            self.alive = state["alive"].copy()


def vector_env(
    make: Callable[[], Env],
    num_envs: int,
    seed: int,
    *stream: str,
    batch: bool = True,
    first: int = 0,
    clip_reward: bool = False,
    on_error: OnError = FAIL,
) -> VectorEnv:
    """The vector that suits what `make` makes: of one agent each, or of several."""
    envs = [make() for _ in range(num_envs)]
    same: dict[str, Any] = {
        "first": first,
        "envs": envs,
        "clip_reward": clip_reward,
        "on_error": on_error,
    }
    if isinstance(envs[0].unwrapped, Team):
        return TeamVectorEnv(make, num_envs, seed, *stream, **same)
    return VectorEnv(make, num_envs, seed, *stream, batch=batch, **same)
