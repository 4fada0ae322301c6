"""Soft actor-critic (Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications",
arXiv 1812.05905), for a Box of actions; for Discrete ones the form of Christodoulou (2019,
arXiv 1910.07207). With more critics it is REDQ's (Chen et al. 2021, "Randomized Ensembled Double
Q-Learning", arXiv 2101.05982, algorithm 1), and RLPD's (Ball et al. 2023, "Efficient Online
Reinforcement Learning with Offline Data", arXiv 2302.02948, algorithm 1).

Legend: K critics, M of them, N transitions of a minibatch, A actions or action dimensions.

Networks, densities and the target entropy are of actions within ±1 in every dimension,
whatever the environment's bounds; the replay buffer holds actions as the environment took
them.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rltrain import fast
from rltrain.algos.base import Parts, follow, means, named
from rltrain.algos.descent import descend
from rltrain.algos.off_policy import OffPolicy, replay_of
from rltrain.algos.sac_policy import LOG_STD, SACPolicy
from rltrain.core.types import Progress, Rows
from rltrain.functional.distributions import squashed_gaussian
from rltrain.functional.td import one_step_target, squared_error
from rltrain.memory.mixed import MixedReplay
from rltrain.memory.replay import ReplayBuffer
from rltrain.networks.critics import Critics
from rltrain.settings.off_policy import SACSettings

METRICS = ("critic_loss", "actor_loss", "ent_coef", "ent_coef_loss", "entropy")


class SACLearner:
    """Steps of the critics, the actor and the temperature, on minibatches.

    Columns of a minibatch are observations `[N, D]`, actions within ±1 `[N, A]` (indices
    `[N]` of Discrete ones), rewards, termination flags `[N]`, successors `[N, D]`, and
    standard normal noise `[2, N, A]` for the actions at observations and at successors.
    """

    def __init__(
        self,
        actor: nn.Module,
        critics: Critics,
        targets: Critics,
        log_ent_coef: Tensor,
        actor_optimizer: torch.optim.Optimizer,
        critic_optimizer: torch.optim.Optimizer,
        ent_coef_optimizer: torch.optim.Optimizer | None,
        settings: SACSettings,
        target_entropy: float,
        threads: int = 1,
    ) -> None:
        self.actor, self.critics, self.targets = actor, critics, targets
        self.log_ent_coef = log_ent_coef
        self.actor_optimizer, self.critic_optimizer = actor_optimizer, critic_optimizer
        self.ent_coef_optimizer = ent_coef_optimizer
        self.settings = settings
        self.target_entropy = target_entropy
        self.device = log_ent_coef.device

    def begin(self) -> None:
        """Nothing to do: torch's optimisers hold their own state."""

    def step(
        self, *columns: Rows, among: Sequence[int] | None = None, improve: bool = True
    ) -> tuple[Tensor, ...]:
        """One step of each optimiser, and of the targets; returns what `METRICS` names.

        Without `improve` it is one of the critics and targets alone, and returns the first of
        these. Target critics are all, or those `among` them.

        Raises:
            TrainingError: a loss or a gradient is no number; it moved nothing.
        """
        *batch, (here, after) = (torch.from_numpy(c).to(self.device) for c in columns)
        ent_coef = self.log_ent_coef.detach().exp()
        critic_loss_of = functools.partial(self.critic_loss, ent_coef, among)
        (critic_loss,) = descend(
            critic_loss_of,
            (*batch, after),
            "train/critic_loss",
            self.critics,
            self.critic_optimizer,
        )
        follow([self.targets], [self.critics], self.settings.tau)
        if not improve:
            return (critic_loss,)
        actor_loss_of = functools.partial(self.actor_loss, ent_coef)
        actor_loss, entropy = descend(
            actor_loss_of, (batch[0], here), "train/actor_loss", self.actor, self.actor_optimizer
        )
        ent_coef_loss = self.ent_coef_step(entropy)
        return critic_loss, actor_loss, ent_coef, ent_coef_loss, entropy

    def sample(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions within ±1 `[N, A]`, and their log-probabilities `[N]`."""
        mean, log_std = self.actor(x).chunk(2, -1)
        return squashed_gaussian(mean, log_std.clamp(*LOG_STD), noise)

    def critic_loss(
        self,
        ent_coef: Tensor,
        among: Sequence[int] | None,
        x: Tensor,
        action: Tensor,
        reward: Tensor,
        terminated: Tensor,
        successor: Tensor,
        noise: Tensor,
    ) -> tuple[Tensor]:
        """J_Q = Σ_k E[½ (Q_k(s, a) − r − γ V(s′))²] (eq. 5).

        V(s′) = min_k Q⁻_k(s′, a′) − α log π(a′|s′) (eq. 3), with k among the M drawn (REDQ), and
        without its last term where backup_entropy is off (RLPD, section 4.4).
        """
        with torch.no_grad():
            next_action, log_prob = self.sample(successor, noise)
            next_value = self.targets(successor, next_action, among=among).amin(0)
            if self.settings.backup_entropy:
                next_value = next_value - ent_coef * log_prob
            target = one_step_target(reward, terminated, next_value, self.settings.gamma)
        return (squared_error(self.critics(x, action), target),)

    def actor_loss(self, ent_coef: Tensor, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """J_π = E[α log π(ã|s) − min_k Q_k(s, ã)], ã = f(noise; s) (eq. 9); and E[−log π].

        REDQ has the mean over k in place of the least.
        """
        action, log_prob = self.sample(x, noise)
        value = worth(self.critics(x, action), self.settings)
        return (ent_coef * log_prob - value).mean(), -log_prob.detach().mean()

    def ent_coef_step(self, entropy: Tensor) -> Tensor:
        """One step down J = log α E[−log π − H̄], which is eq. 18 with log α in place of α.

        A small α then moves as fast as a large one.
        """
        excess = entropy - self.target_entropy
        if self.ent_coef_optimizer is None:
            return torch.zeros_like(excess)
        self.log_ent_coef.grad = excess.reshape(self.log_ent_coef.shape).clone()
        loss = self.log_ent_coef.detach() * excess
        self.ent_coef_optimizer.step()
        return loss


class DiscreteSACLearner(SACLearner):
    """The same with expectations over actions in place of samples; critics are Q(s, ·)."""

    def critic_loss(
        self,
        ent_coef: Tensor,
        among: Sequence[int] | None,
        x: Tensor,
        action: Tensor,
        reward: Tensor,
        terminated: Tensor,
        successor: Tensor,
        noise: Tensor,
    ) -> tuple[Tensor]:
        """As above, with V(s′) = π(s′) · [min_k Q⁻_k(s′) − α log π(s′)] (1910.07207, eq. 10)."""
        with torch.no_grad():
            log_probs = self.actor(successor).log_softmax(-1)  # [N, A]
            soft = self.targets(successor, among=among).amin(0)
            if self.settings.backup_entropy:
                soft = soft - ent_coef * log_probs
            next_value = (log_probs.exp() * soft).sum(-1)
            target = one_step_target(reward, terminated, next_value, self.settings.gamma)
        values = self.critics(x)
        index = action[None, :, None].expand(len(values), -1, 1)
        return (squared_error(values.gather(-1, index).squeeze(-1), target),)

    def actor_loss(self, ent_coef: Tensor, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """E[π(s) · [α log π(s) − min_k Q_k(s)]] (1910.07207, eq. 12); and the mean entropy."""
        with torch.no_grad():
            value = worth(self.critics(x), self.settings)
        log_probs = self.actor(x).log_softmax(-1)
        probs = log_probs.exp()
        loss = (probs * (ent_coef * log_probs - value)).sum(-1).mean()
        return loss, -(probs * log_probs).detach().sum(-1).mean()


class SAC(OffPolicy):
    """Learns a stochastic policy and two or more soft action values from replayed transitions.

    Actor and temperature move with every `policy_delay`-th step of the critics.
    """

    _state = (
        *OffPolicy._state,
        "critics",
        "targets",
        "log_ent_coef",
        "actor_optimizer",
        "critic_optimizer",
        "ent_coef_optimizer",
    )

    settings: SACSettings

    def __init__(self, settings: SACSettings, parts: Parts) -> None:
        super().__init__(settings, parts)
        self.policy: SACPolicy = SACPolicy(settings, parts)
        layout, actions = self.policy.inputs.layout, self.policy.num_actions
        discrete = self.policy.discrete
        outputs, beside = (actions, 0) if discrete else (1, actions)
        count = settings.n_critics
        self.critics = Critics(parts.network, layout, outputs, count, beside).to(parts.device)
        self.targets = copy.deepcopy(self.critics).requires_grad_(False)
        self.memory: ReplayBuffer | MixedReplay = replay_of(settings, parts)
        learned = settings.ent_coef == "auto"
        first = 1.0 if learned else float(settings.ent_coef)
        log_first = math.log(first) if first else -math.inf
        self.log_ent_coef = torch.tensor(log_first, device=parts.device, requires_grad=learned)
        rate = settings.learning_rate
        self.actor_optimizer = parts.optimizer(self.policy.actor.parameters(), rate)
        self.critic_optimizer = parts.optimizer(self.critics.parameters(), rate)
        self.ent_coef_optimizer = (
            parts.optimizer([self.log_ent_coef], rate)  # type: ignore[list-item] # a leaf
            if learned
            else None
        )
        self.learner = fast.choose(
            DiscreteSACLearner if discrete else SACLearner,
            parts.kernels,
            self.policy.actor,
            self.critics,
            self.targets,
            self.log_ent_coef,
            self.actor_optimizer,
            self.critic_optimizer,
            self.ent_coef_optimizer,
            settings,
            target_entropy(settings, actions, discrete),
            parts.threads,
        )

    def train(self, count: int, progress: Progress) -> dict[str, Any]:
        history = [self._step(progress.updates + i) for i in range(1, count + 1)]
        improved = [row for row in history if len(row) > 1]
        metrics = named(METRICS, means(improved)) if improved else {}
        if history:
            metrics |= named(METRICS[:1], means([row[:1] for row in history]))
        if self.ent_coef_optimizer is None:
            metrics.pop("train/ent_coef_loss", None)
        return metrics

    def reset_targets(self) -> None:
        follow([self.targets], [self.critics], 1.0)

    def _step(self, number: int) -> Any:
        """The step of the critics with this number, from 1 on."""
        batch = self.memory.sample(self.settings.batch_size, self.rng)
        array, action = self.policy.inputs.array, batch.action
        noise = np.zeros((2, len(action), 0), np.float32)  # none of Discrete ones
        if not self.policy.discrete:
            action = self.policy.bounds.unscale(action)
            noise = self.rng.standard_normal((2, *action.shape), np.float32)
        obs, successor = array(batch.obs), array(batch.successor)
        columns = (obs, action, batch.reward, batch.terminated, successor, noise)
        return self.learner.step(*columns, **self._options(number))

    def _options(self, number: int) -> dict[str, Any]:
        """What a step has that is not SAC's: some of the targets, no step of the actor."""
        s = self.settings
        options: dict[str, Any] = {}
        if s.n_target_critics < s.n_critics:
            options["among"] = self.rng.choice(s.n_critics, s.n_target_critics, replace=False)
        if number % s.policy_delay:
            options["improve"] = False
        return options

    def value(self, obs: Rows) -> Tensor:
        """What the actor maximises of Q_k(s, a) `[N]`, of the policy's deterministic actions."""
        action, _, _ = self.policy.act(obs, None, False, self.rng)
        x = self.policy.inputs(obs)
        with torch.no_grad():
            if self.policy.discrete:
                index = torch.from_numpy(action).to(x.device)[:, None]
                return worth(self.critics(x), self.settings).gather(1, index).squeeze(1)
            unit = torch.from_numpy(self.policy.bounds.unscale(action)).to(x.device)
            return worth(self.critics(x, unit), self.settings)


def worth(values: Tensor, settings: SACSettings) -> Tensor:
    """What the actor maximises of values `[K, ...]`: the least, or their mean."""
    return values.mean(0) if settings.actor_value == "mean" else values.min(0).values


def target_entropy(settings: SACSettings, num_actions: int, discrete: bool) -> float:
    """H̄: −dim A for a Box, a share of log |A| for Discrete, unless a number is set."""
    if settings.target_entropy != "auto":
        return float(settings.target_entropy)
    return settings.target_entropy_share * math.log(num_actions) if discrete else -num_actions
