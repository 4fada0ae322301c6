"""Environments stepped side by side in this process.

Legend: B environments; arrays are `[B, ...]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rltrain.core import seeding
from rltrain.core.errors import EnvError, RltrainError
from rltrain.core.layout import layout_of
from rltrain.core.spaces import Agent, to_box
from rltrain.core.state import check_alike, put
from rltrain.core.types import any_of
from rltrain.envs import answers, batched
from rltrain.envs.answers import AnswerError
from rltrain.envs.bounds import Bounds
from rltrain.envs.packing import MismatchError, Packer
from rltrain.envs.saving import EnvStates, Verdict, verdict_of
from rltrain.envs.snapshot import NotExactError
from rltrain.envs.supervisor import FAIL, OnError, Remark, Supervisor

Env = gym.Env[Any, Any]
Rows = NDArray[Any]

_NUMBERS = frozenset((float, int, np.float64, np.float32))  # types of most rewards
_FLAGS = frozenset((bool, np.bool_))


class Episode(NamedTuple):
    """Return in raw reward and length of a finished episode.

    One of length 0 is but a part of a game that goes on (a lost life), and counts for nothing.
    """

    env: int
    ret: float
    length: int


class VectorStep(NamedTuple):
    """One step of all environments.

    `obs` is what to act on next: where an episode ended, the first observation of the
    next one. `successor` is the true successor of the step: where an episode ended, its
    final observation. They are one array where nothing ended. Rows that are not `valid`
    carry no transition; None where all are. Where several agents act, `over` are the
    environments whose episode ended, with whatever agents took part in it.
    """

    obs: Rows
    successor: Rows
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    episodes: list[Episode]
    valid: NDArray[np.bool_] | None = None
    over: list[int] | None = None


class VectorEnv:
    """B environments, each with a seed of its own, reset as soon as its episode ends.

    The reset belongs to the step that ended the episode: there is no row in between.
    Discrete and MultiDiscrete are counted from 0 whatever the space's start, and
    actions of a Box are clipped to its bounds here, so that a policy need not know them.
    With `clip_reward` a step has the sign of its reward, and an episode the return of rewards.
    `first` is the number of the first of them, where others are stepped elsewhere; `envs`
    are the first that are stepped, where they are made already.

    Raises:
        EnvError: an environment breaks its declared space, or returns what is no number.
    """

    saves: EnvStates | None = None  # what saves and restores them; None where nothing can

    def __init__(
        self,
        make: Callable[[], Env],
        num_envs: int,
        seed: int,
        *stream: str,
        batch: bool = True,
        first: int = 0,
        envs: list[Env] | None = None,
        clip_reward: bool = False,
        on_error: OnError = FAIL,
    ) -> None:
        self._make, self._seed = make, seed
        self._clip_reward = clip_reward
        self.envs = envs or [make() for _ in range(num_envs)]
        self._batch = batched.batch(self.envs) if batch else None
        self.agents: tuple[Agent, ...] = ()
        self.num_envs = self.num_rows = num_envs
        self.observation_space = self.envs[0].observation_space
        self.action_space = self.envs[0].action_space
        spec = self.envs[0].spec
        self.name = spec.id if spec else type(self.envs[0].unwrapped).__name__
        self.first = first
        self.supervisor = Supervisor(make, self.envs, self.name, first, (seed, stream), on_error)
        self._renewed: dict[int, Any] = {}  # first observations of those that raised in this step
        self._packer = Packer(layout_of(self.observation_space))
        self._bounds = Bounds(self._packer.layout)
        self._shape, self._dtype = self._packer.layout.row
        # Shape and dtype of a Box's arrays, the usual case; None where observations are others.
        box = isinstance(self.observation_space, spaces.Box)
        self._plain = (self._shape, self._dtype) if box else (None, None)
        self._floats = any(leaf.dtype.kind == "f" for leaf in self._packer.layout.leaves)
        self._first_action = np.asarray(getattr(self.action_space, "start", 0))
        self._counts_from_0 = not self._first_action.any()
        self._action_shape = (num_envs, *(self.action_space.shape or ()))
        self.returns = np.zeros(num_envs)
        self.lengths = np.zeros(num_envs, np.int64)
        self.obs: Rows = np.zeros((num_envs, *self._shape), self._dtype)
        self.restarted_at = 0
        self._restarts_before = self.supervisor.restarts.copy()  # the newest restart

    @property
    def limited(self) -> bool:
        """Whether episodes have a time limit of Gymnasium's kind."""
        spec = self.envs[0].spec
        return spec is not None and spec.max_episode_steps is not None

    @property
    def batched(self) -> bool:
        """Whether they are stepped at once."""
        return self._batch is not None

    def rebuild(self) -> None:
        """Make the environments anew, from the random numbers that a resumed process has then."""
        self.close()
        outside = seeding.global_state()
        seeding.seed_everything(self._seed)
        self.envs[:] = [self._make() for _ in self.envs]
        seeding.set_global_state(outside)
        self._batch = batched.batch(self.envs) if self._batch is not None else None

    def restart(self, at: int = 0) -> Rows:
        """Begins a new episode everywhere, from seeds that depend on the run's seed and `at`."""
        self.restarted_at, self._restarts_before = at, self.supervisor.restarts.copy()
        self.returns[:] = 0
        self.lengths[:] = 0
        obs = np.empty_like(self.obs)
        for i in range(self.num_envs):
            obs[i] = self._checked(self.supervisor.reset(i, self.supervisor.seed_of(i, at))[0], i)
            if self._batch is not None:
                self._batch.pull(i)
        self._check_finite(obs)
        self.obs = obs
        self._note_fresh()
        return obs

    def _note_fresh(self) -> None:
        if self.saves is not None:
            self.saves.note_fresh(self.envs)

    def step(self, actions: Rows) -> VectorStep:
        """Steps every environment with its row of `actions`."""
        self._check_actions(actions)
        if self._batch is not None:
            obs, reward, terminated, truncated = self._batch.step(actions)
        else:
            obs, reward, terminated, truncated = self._step_each(actions)
        self._check_finite(obs, "after step {} of its episode")
        if not all_finite(reward):
            i = int(np.flatnonzero(~np.isfinite(reward))[0])
            raise EnvError(
                f"{self.name} returned the reward {reward[i]} (environment {self.first + i}, step"
                f" {self.lengths[i] + 1} of its episode)."
            )
        self.returns += reward
        self.lengths += 1
        successor, episodes, valid = obs, [], None
        ended = terminated | truncated
        over = any_of(ended)
        if self._bounds.due(over):
            self._check_bounds(obs)
        if over:
            successor = obs.copy()
            for i in np.flatnonzero(ended).tolist():
                episodes.append(self._end(i, obs))
            self._check_finite(obs)
        if self._renewed:
            successor = obs.copy() if successor is obs else successor
            valid = self._drop_episodes(obs)
        self.obs = obs
        learned = self._learned(reward)
        return VectorStep(obs, successor, learned, terminated, truncated, episodes, valid)

    def _drop_episodes(self, obs: Rows) -> NDArray[np.bool_]:
        """Begin the episodes of rebuilt environments in `obs`; which rows are valid `[B]`."""
        valid = np.ones(self.num_envs, np.bool_)
        for i, first in self._renewed.items():
            obs[i], valid[i] = self._checked(first, i), False
            self.returns[i] = self.lengths[i] = 0
        self._renewed = {}
        self._check_finite(obs)
        return valid

    def _learned(self, reward: Rows) -> NDArray[np.float32]:
        """Rewards `[B]` as they are learned from."""
        return (np.sign(reward) if self._clip_reward else reward).astype(np.float32)

    def _end(self, i: int, obs: Rows) -> Episode:
        """What ended in environment `i`, whose next episode begins; a game may go on with it."""
        env, ret, length = self.envs[i], float(self.returns[i]), int(self.lengths[i])
        goes_on = self._batch is None and _game_goes_on(env)
        self._begin(i, obs)
        if not goes_on:
            return Episode(i, ret, length)
        self.returns[i], self.lengths[i] = ret, length
        return Episode(i, 0.0, 0)

    def _step_each(self, actions: Rows) -> tuple[Rows, Rows, Rows, Rows]:
        obs, reward = np.empty_like(self.obs), np.empty(self.num_envs, np.float64)
        terminated = np.zeros(self.num_envs, np.bool_)
        truncated = np.zeros(self.num_envs, np.bool_)
        shape, dtype = self._plain
        watched = self.supervisor.note_call is not None
        for i, (env, command) in enumerate(zip(self.envs, self._commands(actions), strict=True)):
            if watched:
                self.supervisor.enter(i)
            try:
                answer = env.step(command)
            except Exception as error:
                what, step = answers.explain(env, "step", error), int(self.lengths[i]) + 1
                self._renewed[i], _ = self.supervisor.renew(i, what, error, step)
                obs[i], reward[i] = self.obs[i], 0.0  # of a row that is not valid
                continue
            try:
                after, paid, ends, cut, _ = answer
            except (TypeError, ValueError):
                raise self._broken(i, answers.not_five(answer)) from None
            if not (type(paid) in _NUMBERS and type(ends) in _FLAGS and type(cut) in _FLAGS):
                paid, ends, cut = self._converted(i, answer)
            if not (type(after) is np.ndarray and after.dtype is dtype and after.shape == shape):
                after = self._checked(after, i)
            obs[i] = after
            reward[i] = paid
            if ends:  # most steps end nothing, and a test is cheaper than a write
                terminated[i] = True
            if cut:
                truncated[i] = True
        if watched:
            self.supervisor.leave()
        return obs, reward, terminated, truncated

    def _converted(self, i: int, answer: Any) -> tuple[float, bool, bool]:
        """Reward and flags of an answer of `step` in which one of them is of an unusual type."""
        try:
            _, paid, ends, cut, _ = answers.five(answer)
            return (
                answers.number(paid, "reward"),
                answers.flag(ends, "terminated"),
                answers.flag(cut, "truncated"),
            )
        except AnswerError as error:
            raise self._broken(i, str(error)) from None

    def _broken(self, i: int, what: str) -> RltrainError:
        """The error of environment `i`, whose step returned what cannot be taken."""
        return self.supervisor.error(i, what, step=int(self.lengths[i]) + 1)

    def reset_one(self, i: int) -> None:
        """Drops the episode of environment `i` and begins another."""
        self.obs = self.obs.copy()
        self._begin(i, self.obs)
        self._check_finite(self.obs)

    def _begin(self, i: int, obs: Rows) -> None:
        obs[i] = self._checked(self.supervisor.reset(i)[0], i)
        self.returns[i] = 0
        self.lengths[i] = 0
        if self._batch is not None:
            self._batch.pull(i)

    def _check_actions(self, actions: Rows) -> None:
        if actions.shape != self._action_shape:
            raise EnvError(
                f"{self.name} takes actions of shape {self._action_shape}, not {actions.shape}."
            )

    def _commands(self, actions: Rows) -> list[Any]:
        space = self.action_space
        if isinstance(space, spaces.Box):
            return list(to_box(actions, space))
        shifted = actions if self._counts_from_0 else actions + self._first_action
        if isinstance(space, spaces.Discrete):
            return list(shifted)
        return list(shifted.astype(space.dtype))  # a copy: environments may change their actions

    def _checked(self, obs: Any, i: int) -> Any:
        try:
            row = self._packer(obs)
            return row if not self._packer.rounded else self._rounded(row)
        except MismatchError as mismatch:
            raise self.supervisor.mismatch(i, mismatch) from None

    def _rounded(self, row: Rows) -> Rows:
        """Says once of each part that its floats are rounded, and returns the row."""
        for part, types in self._packer.rounded.items():
            if types:
                self._packer.rounded[part] = ""
                text = f"{self.name} returned {types} as {part}: its values are rounded."
                self.supervisor.remarks.append(Remark(text, f"rounded {part}"))
        return row

    def _check_bounds(self, obs: Rows) -> None:
        for i, part, text in self._bounds.left(obs):
            said = (
                f"{self.name} returned an observation outside its declared bounds: {text}"
                f" (environment {self.first + i}). It is used as it is."
            )
            self.supervisor.remarks.append(Remark(said, f"bounds {part}"))

    def take_remarks(self) -> list[Remark]:
        """What there is to be said of the environments since the last call."""
        remarks, self.supervisor.remarks = self.supervisor.remarks, []
        return remarks

    def _check_finite(self, obs: Rows, when: str = "at the start of an episode") -> None:
        if not self._floats or (not self._packer.layout.packed and all_finite(obs)):
            return
        bad = self._packer.not_finite(obs)
        if any_of(bad):
            i = int(np.flatnonzero(bad)[0])
            row = self._packer.layout.view(obs)[i] if self._packer.layout.packed else obs[i]
            raise EnvError(
                f"{self.name} returned an observation that is no number: {row!r:.80}"
                f" (environment {self.first + i}, {when.format(self.lengths[i] + 1)})."
            )

    def close(self) -> None:
        for env in self.envs:
            env.close()

    def begin(self, known: Verdict | None = None) -> Verdict:
        """Begin the first episodes, and return whether the environments' state can be saved.

        The first environment is played to find out, and put back or made anew after it; not
        where the verdict is `known` of environments like these.
        """
        outside = seeding.global_state()
        self.restart()  # first: what is wrong with an environment is said before it is played
        verdict, clean = verdict_of(self.envs, known)
        self.saves = EnvStates() if verdict.why_not is None else None
        if clean:
            self._note_fresh()
        else:
            self.rebuild()
            seeding.set_global_state(outside)
            self.restart()
        return verdict

    def why_not_now(self) -> str | None:
        """Return why the state that the environments are in cannot be saved exactly, if so."""
        try:
            self._captured()
        except NotExactError as error:
            return str(error)
        return None

    def _captured(self) -> list[Any]:
        if self._batch is not None:
            self._batch.push()
        self.saves = self.saves or EnvStates()
        return self.saves.capture(self.envs, self.obs)

    def state_dict(self, save_envs: bool = True) -> dict[str, Any]:
        """Episode accumulators and, with `save_envs`, each environment's own state.

        Without it the state is exact right after `restart` only, which loading repeats.
        """
        return {
            "returns": self.returns.copy(),
            "lengths": self.lengths.copy(),
            "obs": self.obs.copy(),
            "restarted_at": self.restarted_at,
            "restarts": (self.supervisor.restarts if save_envs else self._restarts_before).copy(),
            "envs": self._captured() if save_envs else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        restarts = state.get("restarts")  # an earlier version had none
        if restarts is not None and state["envs"] is None:
            self.supervisor.restarts[:] = restarts  # which the restart goes on from
        self.restart(state["restarted_at"])
        if state["envs"] is None:
            return
        if restarts is not None:
            self.supervisor.restarts[:] = restarts
        (self.saves or EnvStates()).restore(self.envs, state["envs"])
        if self._batch is not None:
            for i in range(self.num_envs):
                self._batch.pull(i)
        put("returns", self.returns, state["returns"])
        put("lengths", self.lengths, state["lengths"])
        check_alike("obs", self.obs, state["obs"])
        self.obs = state["obs"].copy()


def _game_goes_on(env: Env) -> bool:
    name = "game_goes_on"
    return env.has_wrapper_attr(name) and bool(env.get_wrapper_attr(name))


def all_finite(x: Rows) -> bool:
    """Whether all numbers are finite. One product says so of most, in a fraction of the time."""
    flat = x.reshape(-1)
    return math.isfinite(flat.dot(flat)) or bool(np.isfinite(x).all())
