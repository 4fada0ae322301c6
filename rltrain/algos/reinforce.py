"""REINFORCE (Williams 1992; Sutton & Barto 2018, sections 13.3 and 13.4).

    G_t = r_t + γ r_{t+1} + γ² r_{t+2} + …              to the end of the episode (3.8)
    θ ← θ + α E[(G_t − b(s_t)) ∇ log π(a_t|s_t)]        (13.11), b = V with a baseline, else 0
    w ← w + α E[(G_t − V(s_t)) ∇ V(s_t)]

The factor γ^t of (13.11) is left out, as it is by most: later steps count as much as early
ones. Returns need whole episodes: what is not over stays until it is, and its first steps
were then taken by an older policy, by as many updates as its length makes.

A time limit is not an end. With a baseline its return goes on with γ V of the final
observation; without one there is nothing to go on with, and the return ends there.

Legend: T steps, B environments, N steps of complete episodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rltrain import fast
from rltrain.algos.actor_critic import ActorCriticPolicy, PolicyGradientLearner
from rltrain.algos.base import (
    Algorithm,
    LearningRate,
    Metrics,
    Parts,
    means,
    named,
)
from rltrain.core.types import Progress, Rows
from rltrain.functional.returns import explained_variance, monte_carlo
from rltrain.functional.statistics import standardized
from rltrain.memory.episodes import Episodes
from rltrain.settings.on_policy import REINFORCESettings


class REINFORCE(Algorithm):
    """Takes one step on all complete episodes, as soon as there are enough of them."""

    _state = ("policy", "memory", "optimizer")

    def __init__(self, settings: REINFORCESettings, parts: Parts) -> None:
        self.settings = settings
        self.horizon = settings.n_steps
        self.num_envs = parts.num_envs
        self.policy: ActorCriticPolicy = ActorCriticPolicy(
            parts, settings, critic=settings.baseline
        )
        self.memory: Episodes = Episodes(
            parts.num_envs, parts.observation_space, parts.action_space
        )
        self.exploration = parts.exploration
        self.rate = LearningRate(settings, parts)
        networks = self.policy.networks
        self.optimizer = parts.optimizer(networks.parameters(), settings.learning_rate)
        self.learner = fast.choose(
            PolicyGradientLearner, parts.kernels, networks, self.optimizer, settings
        )

    def update(self, progress: Progress) -> Metrics:
        s = self.settings
        fraction = progress.fraction_at(progress.steps - self.horizon * self.num_envs)
        rate = self.rate.set(progress, self.optimizer, at=fraction)
        metrics: dict[str, Any] = {"train/learning_rate": rate}
        metrics |= self.exploration.advance(fraction)
        self.learner.ent_coef = self.exploration.ent_coef
        if self.memory.count < s.n_episodes:
            return metrics

        episodes, complete = self.memory, self.memory.complete()  # [T, B]
        obs, action = episodes["obs"][complete], episodes["action"][complete]
        x = self.policy.inputs.array(obs)
        values = self.policy.actor.value(x)  # [N], 0 without a baseline
        returns = self._returns()[complete]
        advantage = self._normalized(returns - values)
        target = returns if s.baseline else values

        self.learner.begin()
        terms = self.learner.step(x, self.policy.drawn(action), advantage, target)
        self.policy.inputs.observe(obs)
        episodes.drop()
        progress.updates += 1
        if s.baseline:
            metrics["train/explained_variance"] = explained_variance(values, returns)
        return metrics | named(PolicyGradientLearner.METRICS, means([terms]))

    def _returns(self) -> Rows:
        """G `[T, B]`; rows of open episodes mean nothing."""
        episodes = self.memory
        final_values = np.zeros_like(episodes["reward"])
        obs, rows = episodes.bootstraps()
        if len(obs):
            final_values[rows] = self.policy.actor.value(self.policy.inputs.array(obs))
        flags = episodes["terminated"], episodes["truncated"]
        return monte_carlo(episodes["reward"], final_values, *flags, self.settings.gamma)

    def _normalized(self, advantage: Rows) -> Rows:
        how = self.settings.normalize_returns
        if how == "standardize":
            return standardized(advantage)
        return advantage - advantage.mean() if how == "center" else advantage
