"""Evaluation: a frozen policy on environments of its own, scored in raw reward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rltrain.algos.base import Policy
from rltrain.core import seeding
from rltrain.core.types import Rows
from rltrain.envs.vector import Env, Episode, VectorEnv, VectorStep

MAX_ENVS = 16

# Is shown what was acted on, the actions, the step, and the episodes that it ended and that count.
Watch = Callable[[Rows, Rows, VectorStep, list[Episode]], None]


@dataclass(frozen=True)
class Evaluation:
    """Episodes of one evaluation; `cut` of them were ended by the evaluation's own limit."""

    episodes: list[Episode]
    cut: int = 0

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
        envs = VectorEnv(self._make, count, self._seed, "evaluation")
        try:
            return self._play(policy, envs, purpose, watch)
        finally:
            envs.close()
            seeding.set_global_state(outside)

    def _play(
        self, policy: Policy, envs: VectorEnv, purpose: str, watch: Watch | None
    ) -> Evaluation:
        spec = envs.envs[0].spec
        limited = spec is not None and spec.max_episode_steps is not None
        at = {"eval": 0, "final": 1}[purpose]
        rng = seeding.generator(self._seed, "evaluation", purpose)
        state = policy.initial_state(envs.num_envs)
        left = np.full(envs.num_envs, self._count // envs.num_envs)
        left[: self._count % envs.num_envs] += 1
        envs.restart(at)
        done: list[Episode] = []
        cut = 0
        while left.any():
            obs = envs.obs
            action, state, _ = policy.act(obs, state, self._explore, rng)
            step = envs.step(action)
            finished = list(step.episodes)
            if not limited and (envs.lengths >= self._limit).any():
                over = np.flatnonzero((envs.lengths >= self._limit) & (left > 0)).tolist()
                finished += [Episode(i, float(envs.returns[i]), int(envs.lengths[i])) for i in over]
                cut += len(over)
                for i in over:
                    envs.reset_one(i)
            if watch is not None:
                watch(obs, action, step, [e for e in finished if left[e.env]])
            for episode in finished:
                if left[episode.env]:
                    left[episode.env] -= 1
                    done.append(episode)
            if finished:
                ended = np.zeros(envs.num_envs, np.bool_)
                ended[[e.env for e in finished]] = True
                state = policy.restart(state, ended)
        return Evaluation(done, cut)
