"""Evaluation: a frozen policy on environments of its own, scored in raw reward."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from rltrain.algos.base import Policy
from rltrain.core import seeding
from rltrain.core.types import Rows
from rltrain.envs.supervisor import FAIL, OnError
from rltrain.envs.team_vector import vector_env
from rltrain.envs.vector import Env, Episode, VectorEnv, VectorStep

MAX_ENVS = 16

# Is shown what was acted on, the actions, the step, and the episodes that it ended and that count.
Watch = Callable[[Rows, Rows, VectorStep, list[Episode]], None]


@dataclass(frozen=True)
class Evaluation:
    """Episodes of one evaluation; `cut` of them were ended by the evaluation's own limit.

    Where several agents act, the return of an episode is the mean over agents of theirs, and
    its length that of the last one; `agents` has the returns of each.
    """

    episodes: list[Episode]
    cut: int = 0
    agents: dict[str, list[float]] = field(default_factory=dict)

    @property
    def returns(self) -> list[float]:
        return [e.ret for e in self.episodes]

    @property
    def mean(self) -> float:
        return float(np.mean(self.returns))

    @property
    def std(self) -> float:
        return float(np.std(self.returns))

    @property
    def mean_length(self) -> float:
        return float(np.mean([e.length for e in self.episodes]))


class Evaluator:
    """Runs episodes; the same `purpose` begins with the same seeds every time.

    Each environment plays a share of the episodes that is fixed beforehand, so that short
    ones are not favoured. An episode without a time limit of its own is cut at `limit`.
    """

    def __init__(
        self,
        make: Callable[[], Env],
        episodes: int,
        deterministic: bool,
        seed: int,
        limit: int,
        on_error: OnError = FAIL,
    ) -> None:
        self._make = make
        self._count = episodes
        self._explore = not deterministic
        self._seed = seed
        self._limit = limit
        self._on_error = on_error

    def run(self, policy: Policy, purpose: str = "eval", watch: Watch | None = None) -> Evaluation:
        """Plays the episodes under `policy`, which is not changed; `watch` sees every step.

        The environments are made for it alone, and the global random generators are put
        back: nothing that they keep or draw reaches training.
        """
        outside = seeding.global_state()
        seeding.seed_everything(seeding.derive(self._seed, "evaluation", purpose))
        count = min(self._count, MAX_ENVS)
        envs = vector_env(self._make, count, self._seed, "evaluation", on_error=self._on_error)
        try:
            return self._play(policy, envs, purpose, watch)
        finally:
            envs.close()
            seeding.set_global_state(outside)

    def _play(
        self, policy: Policy, envs: VectorEnv, purpose: str, watch: Watch | None
    ) -> Evaluation:
        width = max(1, len(envs.agents))
        at = {"eval": 0, "final": 1}[purpose]
        rng = seeding.generator(self._seed, "evaluation", purpose)
        state = policy.initial_state(envs.num_rows)
        left = np.full(envs.num_envs, self._count // envs.num_envs)
        left[: self._count % envs.num_envs] += 1
        envs.restart(at)
        going: dict[int, list[Episode]] = defaultdict(list)  # of agents, whose team goes on
        done: list[tuple[int, list[Episode]]] = []  # an environment, and its agents' episodes
        cut = 0
        while left.any():
            obs = envs.obs
            action, state, _ = policy.act(obs, state, self._explore, rng)
            step = envs.step(action)
            finished = list(step.episodes)
            over = [e.env for e in finished] if step.over is None else list(step.over)
            if not envs.limited and (envs.lengths >= self._limit).any():
                late = ((envs.lengths >= self._limit).reshape(-1, width).any(1)) & (left > 0)
                rows = np.flatnonzero(np.repeat(late, width) & (envs.lengths > 0)).tolist()
                finished += [Episode(i, float(envs.returns[i]), int(envs.lengths[i])) for i in rows]
                cut += int(late.sum())
                for e in np.flatnonzero(late).tolist():
                    over.append(e)
                    envs.reset_one(e)
            if watch is not None:
                watch(obs, action, step, [e for e in finished if left[e.env // width]])
            if step.valid is not None:  # a team that was made anew after an error is dropped
                for e in np.flatnonzero(~step.valid.reshape(-1, width).any(1)).tolist():
                    going.pop(e, None)
            for episode in finished:
                going[episode.env // width].append(episode)
            for e in over:
                own = going.pop(e, [])
                if left[e]:
                    left[e] -= 1
                    done.append((e, own))
            if finished or step.valid is not None:
                ended = np.zeros(envs.num_rows, np.bool_)
                ended[[e.env for e in finished]] = True
                if step.valid is not None:
                    ended |= ~step.valid
                state = policy.restart(state, ended)
        if envs.agents:
            return of_teams(done, cut, [a.name for a in envs.agents])
        return Evaluation([episode for _, own in done for episode in own], cut)


def of_teams(done: list[tuple[int, list[Episode]]], cut: int, names: Sequence[str]) -> Evaluation:
    """Return the evaluation of teams from the episodes of the agents that took part in each.

    `done` are pairs of an environment and the episodes of one of its own. An agent that never
    took part has no returns.
    """
    done = sorted(done, key=lambda pair: pair[0])
    teams = [
        Episode(e, float(np.mean([m.ret for m in own])), max(m.length for m in own))
        for e, own in done
        if own
    ]
    members = [member for _, own in done for member in own]
    agents = {
        name: [m.ret for m in members if m.env % len(names) == i]
        for i, name in enumerate(names)
        if any(m.env % len(names) == i for m in members)
    }
    return Evaluation(teams, cut, agents)
