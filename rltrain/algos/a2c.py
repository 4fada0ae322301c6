"""Advantage actor-critic, the synchronous form of A3C (Mnih et al. 2016, arXiv 1602.01783).

One step on each short rollout, with the policy that made it:

    R_t = r_t + γ r_{t+1} + … + γ^k V(s_{t+k})          the n-step return (λ = 1)
    ∇θ  ← ∇ log π(a_t|s_t) (R_t − V(s_t)) + c_H ∇H      their algorithm S3, and section 4
    ∇θv ← ∇ (R_t − V(s_t))²

Legend: T steps of a rollout, B environments, N = T·B samples.
"""

from __future__ import annotations

from rltrain import fast
from rltrain.algos.actor_critic import OnPolicy, PolicyGradientLearner
from rltrain.algos.base import Metrics, Parts, means, named
from rltrain.core.types import Progress
from rltrain.functional.returns import explained_variance
from rltrain.functional.statistics import standardized
from rltrain.settings.on_policy import A2CSettings


class A2C(OnPolicy):
    """Rolls out, estimates advantages, and takes one step on all samples together."""

    settings: A2CSettings

    def __init__(self, settings: A2CSettings, parts: Parts) -> None:
        super().__init__(settings, parts)
        networks = self.policy.networks
        self.optimizer = parts.optimizer(networks.parameters(), settings.learning_rate)
        self.learner = fast.choose(
            PolicyGradientLearner, parts.kernels, networks, self.optimizer, settings
        )

    def update(self, progress: Progress) -> Metrics:
        s = self.settings
        fraction = self.begun_at(progress)
        rate = self.rate.set(progress, self.optimizer, at=fraction)
        explored = self.exploration.advance(fraction)
        self.learner.ent_coef = self.exploration.ent_coef

        advantage, returns, values = self.advantages()
        x, action, _ = self.samples()  # the policy is still the one that acted: the ratio is 1
        if s.normalize_advantage:
            advantage = standardized(advantage)
        self.learner.begin()
        terms = self.learner.step(x, action, advantage, returns)

        quality = explained_variance(values, returns)
        self.end_rollout()
        progress.updates += 1
        return (
            named(PolicyGradientLearner.METRICS, means([terms]))
            | explored
            | {
                "train/explained_variance": quality,
                "train/learning_rate": rate,
            }
        )
