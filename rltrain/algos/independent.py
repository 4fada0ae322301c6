"""Independent learners: each agent learns by an algorithm of one, the others part of its world.

With `share_parameters` there is one learner, and every agent is an environment of its own
to it (Gupta et al. 2017); `agent_id` shows it whose row it has. Without, every agent has a
complete learner: networks, memory, optimiser, exploration and random stream.

Legend: N agents, B = environments × N rows, of which row e · N + i is agent i's.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from rltrain.algos.base import Algorithm, Metrics, Parts, Policy, PolicyState
from rltrain.core.errors import UserError
from rltrain.core.seeding import derive
from rltrain.core.spaces import size_of
from rltrain.core.types import Progress, Rows, Transition
from rltrain.envs.team import own_rows
from rltrain.memory.rollout import Rollout


@dataclass(frozen=True)
class View:
    """Which of all rows a learner has, and how they look to it.

    With `ids` > 0 all are its own, and each is told by a number who of so many it is.
    """

    name: str
    rows: slice
    parts: Parts  # of a learner whose environments are these rows
    ids: int = 0

    def obs(self, obs: Rows) -> Rows:
        """Of the rows of all agents `[B, ...]` the learner's observations."""
        if not self.ids:
            return own_rows(obs[self.rows], self.parts.observation_space)
        agent = np.arange(len(obs)) % self.ids
        if isinstance(self.parts.observation_space, spaces.Discrete):
            return obs * self.ids + agent
        one_hot = np.eye(self.ids, dtype=obs.dtype)[agent]
        return np.concatenate([obs.reshape(len(obs), -1), one_hot], 1)

    def action(self, action: Rows) -> Rows:
        return own_rows(action[self.rows], self.parts.action_space)

    def transition(self, step: Transition) -> Transition:
        return step.take(self.rows)._replace(
            obs=self.obs(step.obs),
            action=self.action(step.action),
            successor=self.obs(step.successor),
        )


class Streams:
    """A random stream for each of several agents, out of the one of whoever acts.

    Each act takes as many numbers from that one, whatever the agents draw, so that what one of
    them draws does not depend on the others. All that is kept from act to act is in the one.
    """

    def __init__(self, count: int) -> None:
        self.generators = [np.random.Generator(np.random.PCG64(0)) for _ in range(count)]
        self._increment = self.generators[0].bit_generator.state["state"]["inc"]

    def renewed(self, rng: np.random.Generator) -> list[np.random.Generator]:
        """Return the generators, each set to a place of its own that `rng` says."""
        words = rng.integers(2**64, size=(len(self.generators), 2), dtype=np.uint64).tolist()
        for generator, (high, low) in zip(self.generators, words, strict=True):
            # of 128 bits; to build a generator from a seed takes several times as long
            place = {"state": high << 64 | low, "inc": self._increment}
            generator.bit_generator.state = {
                "bit_generator": "PCG64",
                "state": place,
                "has_uint32": 0,
                "uinteger": 0,
            }
        return self.generators


class JointPolicy(Policy):
    """Act in each row by the policy of its agent, which draws from a stream of its own."""

    def __init__(self, views: list[View], policies: list[Policy], parts: Parts) -> None:
        self.views = views
        self.policies = policies
        self._action_shape = parts.action_space.shape or ()
        self._streams = Streams(len(policies))

    def initial_state(self, num_envs: int) -> PolicyState:
        # The policies' networks have one shape of state, and every row is one of theirs.
        return self.policies[0].initial_state(num_envs)

    def restart(self, state: PolicyState, ended: NDArray[np.bool_]) -> PolicyState:
        return self.policies[0].restart(state, ended)

    def act(
        self, obs: Rows, state: PolicyState, explore: bool, rng: np.random.Generator
    ) -> tuple[Rows, PolicyState, dict[str, Rows]]:
        alone = len(self.policies) == 1
        draws = explore and not alone
        streams = self._streams.renewed(rng) if draws else [rng] * len(self.policies)
        actions: Rows | None = None
        after = None if state is None else state.copy()
        extras: dict[str, Rows] = {}
        for view, policy, own_rng in zip(self.views, self.policies, streams, strict=True):
            before = None if state is None else state[view.rows]
            own, following, more = policy.act(view.obs(obs), before, explore, own_rng)
            if alone:
                return own, following, more
            if after is not None:
                after[view.rows] = following
            if actions is None:
                actions = np.zeros((len(obs), *self._action_shape), own.dtype)
                extras = {k: np.zeros((len(obs), *v.shape[1:]), v.dtype) for k, v in more.items()}
            if own.shape[1:] == self._action_shape:
                actions[view.rows] = own
            else:  # in a row that is as wide as the widest action
                actions[view.rows, : own[0].size] = own.reshape(len(own), -1)
            for name, values in more.items():
                extras[name][view.rows] = values
        assert actions is not None
        return actions, after, extras

    def state_dict(self) -> dict[str, Any]:
        return {
            view.name: policy.state_dict()
            for view, policy in zip(self.views, self.policies, strict=True)
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for view, policy in zip(self.views, self.policies, strict=True):
            policy.load_state_dict(state[view.name])


class JointMemory:
    """Hands every learner its rows."""

    def __init__(self, views: list[View], learners: list[Algorithm]) -> None:
        self.views = views
        self.learners = learners

    def add(self, step: Transition) -> None:
        for view, learner in zip(self.views, self.learners, strict=True):
            learner.memory.add(view.transition(step))

    def end_episodes(self, which: NDArray[np.bool_] | None = None) -> None:
        """Tell each learner which of its rows ended; ends of all are told by the learners."""
        if which is not None:
            for view, learner in zip(self.views, self.learners, strict=True):
                learner.memory.end_episodes(which[view.rows])


class Independent(Algorithm):
    """Runs a learner for every agent, or one for all.

    Keys that `in_environment_steps` names are the learner's, and count environment steps:
    a learner of all agents has N rows for each of them, so that its clock and these run N
    times as fast.
    """

    kind: ClassVar[type[Any]]  # of the learners
    in_environment_steps: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: Any, parts: Parts) -> None:
        shared, agents = settings.share_parameters, parts.agents
        self.rows_per_step = len(agents) if shared else 1
        self.views = [shared_view(parts, settings.agent_id)] if shared else own_views(parts)
        scaled = {
            name: getattr(settings, name) * self.rows_per_step for name in self.in_environment_steps
        }
        own = replace(settings, **scaled)
        self.learners: list[Algorithm] = [self.kind(own, view.parts) for view in self.views]
        self.horizon = self.learners[0].horizon
        self.policy = JointPolicy(self.views, [x.policy for x in self.learners], parts)
        self.memory = JointMemory(self.views, self.learners)

    @property
    def num_parameters(self) -> int:
        return sum(learner.num_parameters for learner in self.learners)

    def update(self, progress: Progress) -> Metrics:
        found: dict[str, list[Any]] = defaultdict(list)
        each: dict[str, Any] = {}
        for view, learner in zip(self.views, self.learners, strict=True):
            metrics = self._update(learner, progress)
            for name, value in metrics.items():
                found[name].append(value)
            if len(self.views) > 1:
                each |= {f"{view.name}/{name}": value for name, value in metrics.items()}
        return {name: mean_of(values) for name, values in found.items()} | each

    def _update(self, learner: Algorithm, progress: Progress) -> Metrics:
        memory = learner.memory
        if isinstance(memory, Rollout) and not memory.valid.any():  # its agent was gone all along
            memory.rewind()
            return {}
        own = Progress(progress.total * self.rows_per_step)
        own.schedule_total = progress.schedule_total * self.rows_per_step
        own.steps, own.updates = progress.steps * self.rows_per_step, progress.updates
        metrics = learner.update(own)
        progress.updates = own.updates
        return metrics

    def end_episodes(self) -> None:
        for learner in self.learners:
            learner.end_episodes()

    def state_dict(self) -> dict[str, Any]:
        learners = {
            view.name: {k: v for k, v in learner.state_dict().items() if k != "policy"}
            for view, learner in zip(self.views, self.learners, strict=True)
        }
        return {"policy": self.policy.state_dict(), "learners": learners}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for view, learner in zip(self.views, self.learners, strict=True):
            policy = {"policy": state["policy"][view.name]}
            learner.load_state_dict(state["learners"][view.name] | policy)


def own_views(parts: Parts) -> list[View]:
    """A view for every agent, with a seed and exploration of its own."""
    count = len(parts.agents)
    return [
        View(
            agent.name,
            slice(i, None, count),
            replace(
                parts,
                observation_space=agent.observation_space,
                action_space=agent.action_space,
                seed=derive(parts.seed, "agent", agent.name),
                exploration=copy.deepcopy(parts.exploration),
                agents=(),
            ),
        )
        for i, agent in enumerate(parts.agents)
    ]


def shared_view(parts: Parts, agent_id: bool) -> View:
    """The view of all agents: as many environments as there are rows.

    Raises:
        UserError: an id cannot be appended to these observations.
    """
    count, space = len(parts.agents), parts.observation_space
    whole = replace(parts, num_envs=parts.num_envs * count, agents=())
    if not agent_id:
        return View("shared", slice(None), whole)
    if isinstance(space, spaces.Discrete):
        wider: Any = spaces.Discrete(int(space.n) * count)
    elif isinstance(space, spaces.Box) and np.dtype(space.dtype).kind == "f":
        ids = np.zeros(count, space.dtype)
        wider = spaces.Box(
            np.concatenate([space.low.reshape(-1), ids]),
            np.concatenate([space.high.reshape(-1), ids + 1]),
            (size_of(space) + count,),
            space.dtype,
        )
    else:
        raise UserError(
            f"algo.agent_id=true: an id can be appended to observations of floats or Discrete"
            f" ones, not to {space}."
        )
    return View("shared", slice(None), replace(whole, observation_space=wider), count)


def mean_of(values: list[Any]) -> Any:
    """The mean over learners of a metric, of the kind that they gave."""
    if len(values) == 1:
        return values[0]
    if isinstance(values[0], torch.Tensor):
        return torch.stack(values).mean(0)
    mean = np.mean(values)
    return np.asarray(mean) if isinstance(values[0], np.ndarray) else float(mean)
