"""Evaluation: a frozen policy on environments of its own, scored in raw reward."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from rltrain.algos.base import Policy
from rltrain.core import seeding
from rltrain.core.types import Rows
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
    ) -> None:
        self._make = make
        self._count = episodes
        self._explore = not deterministic
        self._seed = seed
        self._limit = limit

    def run(self, policy: Policy, purpose: str = "eval", watch: Watch | None = None) -> Evaluation:
        """Plays the episodes under `policy`, which is not changed; `watch` sees every step.

        The environments are made for it alone, and the global random generators are put
        back: nothing that they keep or draw reaches training.
        """
        outside = seeding.global_state()
        seeding.seed_everything(seeding.derive(self._seed, "evaluation", purpose))
        count = min(self._count, MAX_ENVS)
        envs = vector_env(self._make, count, self._seed, "evaluation")
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
        left = np.repeat(left, width)  # of each row
        envs.restart(at)
        done: list[Episode] = []
        cut = 0
        while left.any():
            obs = envs.obs
            action, state, _ = policy.act(obs, state, self._explore, rng)
            step = envs.step(action)
            finished = list(step.episodes)
            if not envs.limited and (envs.lengths >= self._limit).any():
                over = ((envs.lengths >= self._limit) & (left > 0)).reshape(-1, width).any(1)
                going = np.flatnonzero(np.repeat(over, width) & (envs.lengths > 0)).tolist()
                finished += [
                    Episode(i, float(envs.returns[i]), int(envs.lengths[i])) for i in going
                ]
                cut += int(over.sum())
                for e in np.flatnonzero(over).tolist():
                    envs.reset_one(e)
            if watch is not None:
                watch(obs, action, step, [e for e in finished if left[e.env]])
            for episode in finished:
                if left[episode.env]:
                    left[episode.env] -= 1
                    done.append(episode)
            if finished:
                ended = np.zeros(envs.num_rows, np.bool_)
                ended[[e.env for e in finished]] = True
                if step.valid is not None:
                    ended |= ~step.valid
                state = policy.restart(state, ended)
        return (
            of_teams(done, cut, [a.name for a in envs.agents])
            if envs.agents
            else Evaluation(done, cut)
        )


def of_teams(episodes: list[Episode], cut: int, names: Sequence[str]) -> Evaluation:
    """The evaluation of teams from the episodes of their agents, environment by environment."""
    rows: dict[int, list[Episode]] = defaultdict(list)
    for episode in episodes:
        rows[episode.env].append(episode)
    teams = []
    for first in sorted(row for row in rows if row % len(names) == 0):
        members = [rows[first + i] for i in range(len(names)) if rows[first + i]]
        for own in zip(*members, strict=False):
            mean = float(np.mean([e.ret for e in own]))
            teams.append(Episode(first // len(names), mean, max(e.length for e in own)))
    agents = {
        name: [e.ret for row, own in sorted(rows.items()) if row % len(names) == i for e in own]
        for i, name in enumerate(names)
    }
    return Evaluation(teams, cut, agents)
