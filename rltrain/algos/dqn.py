"""Deep Q-network (Mnih et al. 2015) and its extensions, each behind a key of its own.

`double` (van Hasselt et al. 2016), `dueling` (Wang et al. 2016), `prioritized` (Schaul et
al. 2016), `n_steps` (Sutton 1988), `distribution` (Bellemare et al. 2017, Dabney et al.
2018), exploration=noisy (Fortunato et al. 2018); together Rainbow (Hessel et al. 2018).

Legend: B environments, N transitions of a minibatch, A actions, Z atoms or quantiles.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rltrain import fast
from rltrain.algos.base import (
    Parts,
    Policy,
    PolicyState,
    follow,
    means,
    named,
)
from rltrain.algos.descent import descend
from rltrain.algos.off_policy import OffPolicy
from rltrain.core.spaces import size_of
from rltrain.core.types import Progress, Rows
from rltrain.exploration.discrete import Noisy
from rltrain.functional import distributional
from rltrain.functional.schedules import linear
from rltrain.functional.td import action_values, huber_losses, target_share
from rltrain.memory.mixed import MixedReplay, with_dataset
from rltrain.memory.n_step import NStepReplay
from rltrain.memory.prioritized import PrioritizedReplay
from rltrain.memory.replay import ReplayBuffer
from rltrain.memory.sequences import SequenceReplay
from rltrain.networks.inputs import Inputs
from rltrain.networks.noisy import draw_from, make_noisy, noisy_layers
from rltrain.networks.q_network import q_network
from rltrain.networks.recurrent import as_tensors, recall, recurrent
from rltrain.settings.off_policy import DQNSettings


class DQNPolicy(Policy):
    """Takes the action of the highest value, or explores."""

    _state = ("network", "inputs", "exploration")

    def __init__(self, settings: DQNSettings, parts: Parts) -> None:
        self.inputs = Inputs(parts.observation_space, settings.normalize_obs, parts.device)
        self.num_actions = size_of(parts.action_space)
        self.network = q_network(parts.network(self.inputs.layout), self.num_actions, settings)
        self.exploration: Any = parts.exploration
        if isinstance(self.exploration, Noisy):
            make_noisy(self.network, self.exploration.settings.sigma)
        self.noisy = noisy_layers(self.network)
        self.network.to(parts.device)
        self.recall = recall(self.network, 1, parts.device)
        self.q_values = fast.q_network(self.network, parts.kernels)

    def act(
        self, obs: Rows, state: PolicyState, explore: bool, rng: np.random.Generator
    ) -> tuple[Rows, PolicyState, dict[str, Rows]]:
        x = self.recall.moment(self.inputs.array(obs), state)
        draw_from(self.noisy, rng if explore else None)
        known = None if state is None else self.q_values(x)  # the state moves on, asked or not

        def q_values() -> Rows:
            return self.q_values(x) if known is None else known

        if not explore:
            action = q_values().argmax(-1)
            return action, self.recall.after(x, state), {}
        action = self.exploration.choose(q_values, len(obs), self.num_actions, rng)
        draw_from(self.noisy, None)
        return action, self.recall.after(x, state), self.recall.extras(state)

    def advance(self, progress: Progress) -> dict[str, float]:
        """Follows the schedule of exploration; returns metrics."""
        found: dict[str, float] = self.exploration.advance(progress.fraction)
        return found


class DQNLearner:
    """Takes steps down the loss of minibatches, and moves the target network."""

    def __init__(
        self,
        network: nn.Module,
        target: nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: DQNSettings,
    ) -> None:
        # Any: networks of distributions have more than a forward pass
        self.network: Any = network
        self.target: Any = target
        self.optimizer = optimizer
        self.settings = settings
        self.device = next(network.parameters()).device

    def begin(self) -> None:
        """Nothing to do: torch's optimiser holds its own state."""

    def step(
        self,
        x: Rows,
        action: Rows,
        reward: Rows,
        terminated: Rows,
        successor: Rows,
        discount: Rows | None = None,
        weight: Rows | None = None,
    ) -> tuple[Tensor, Tensor, Rows | None]:
        """One optimiser step; returns the loss, the mean of Q(s, a), and errors `[N]`.

        `x` and `successor` are `[N, D]`, the others `[N]`. Without a `discount` it is γ of each,
        without a `weight` each counts alike in the loss, and no errors are returned.

        Raises:
            TrainingError: the loss or a gradient is no number; no step was taken.
        """
        discounts = (self.settings.gamma if discount is None else discount) * (1 - terminated)
        columns = tuple(map(self._tensor, (x, action, reward, discounts, successor, weight)))
        limit = self.settings.max_grad_norm
        loss, value, error = descend(
            self._terms, columns, "train/loss", self.network, self.optimizer, limit
        )
        return loss, value, None if weight is None else error.cpu().numpy()

    def _tensor(self, rows: Rows | None) -> Any:
        return None if rows is None else as_tensors(rows, self.device)

    def _terms(self, *columns: Any) -> tuple[Tensor, ...]:
        *transitions, weight = columns
        losses, value, error = self.losses(*transitions)
        return (losses if weight is None else weight * losses).mean(), value.mean(), error

    def losses(
        self, x: Tensor, action: Tensor, reward: Tensor, discount: Tensor, successor: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Huber losses of Q(s, a) towards r + γ Q⁻(s', a*), Q(s, a), and |δ|, each `[N]`.

        `discount` is γ^k, 0 where the episode terminated. a* is the best action by Q⁻, or with
        `double` by Q (van Hasselt et al. 2016, eq. 4).
        """
        with torch.no_grad():
            after = self.target(successor)  # [N, A]
            target = reward + discount * action_values(after, self._best(successor, after))
        value = action_values(self.network(x), action)
        return huber_losses(value, target), value, (value - target).abs()

    def _best(self, successor: Tensor, after: Tensor) -> Tensor:
        """a* `[N]`; `after` are the target network's values `[N, A]`."""
        values: Tensor = self.network(successor) if self.settings.double else after
        return values.argmax(-1)

    def update_target(self, count: int = 1) -> None:
        """θ⁻ ← (1 − τ) θ⁻ + τ θ, `count` times."""
        follow([self.target], [self.network], target_share(self.settings.tau, count))


class C51Learner(DQNLearner):
    """Learns the probabilities of fixed atoms (Bellemare et al. 2017, alg. 1)."""

    def losses(
        self, x: Tensor, action: Tensor, reward: Tensor, discount: Tensor, successor: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """−Σ_z m_z log p_z(s, a) with m = Φ(r + γ Z⁻(s', a*)), Q(s, a), and KL(m ‖ p)."""
        row, atoms = torch.arange(len(action), device=action.device), self.network.atoms
        with torch.no_grad():
            after = self.target.log_probs(successor).exp()  # [N, A, Z]
            best = self._best(successor, after @ atoms)
            target = distributional.project(after[row, best], reward, discount, atoms)
        log_probs = self.network.log_probs(x)[row, action]  # [N, Z]
        losses = distributional.cross_entropy(target, log_probs)
        divergence = losses.detach() - distributional.entropy(target)
        return losses, log_probs.detach().exp() @ atoms, divergence


class QuantileLearner(DQNLearner):
    """Learns quantiles by regression (Dabney et al. 2018, alg. 1)."""

    def losses(
        self, x: Tensor, action: Tensor, reward: Tensor, discount: Tensor, successor: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Σ_i E_j[ρ_τ̂i(r + γ θ⁻_j(s', a*) − θ_i(s, a))], Q(s, a), and |δ| of the means."""
        row = torch.arange(len(action), device=action.device)
        with torch.no_grad():
            after = self.target.quantiles(successor)  # [N, A, Z]
            best = self._best(successor, after.mean(-1))
            target = reward.unsqueeze(1) + discount.unsqueeze(1) * after[row, best]
        quantiles = self.network.quantiles(x)[row, action]  # [N, Z]
        losses = distributional.quantile_huber(quantiles, target, self.network.midpoints)
        value = quantiles.detach().mean(-1)
        return losses, value, (value - target.mean(-1)).abs()


LEARNERS = {"none": DQNLearner, "c51": C51Learner, "qr": QuantileLearner}


def build_memory(
    s: DQNSettings, parts: Parts, network: nn.Module
) -> ReplayBuffer | PrioritizedReplay | MixedReplay:
    """Return the replay: in sequences for a network with memory, else of single transitions, with
    n-step returns, priorities and a dataset as the settings say.
    """
    spaces = (parts.observation_space, parts.action_space)
    memory = recurrent(network)
    if memory is not None:
        return SequenceReplay(
            s.buffer_size,
            *spaces,
            parts.num_envs,
            s.n_steps,
            s.gamma,
            memory.sequence_length,
            memory.burn_in,
            (1, memory.state_size),
        )

    def make(capacity: int, num_envs: int) -> ReplayBuffer:
        if s.n_steps > 1:
            return NStepReplay(capacity, *spaces, num_envs, s.n_steps, s.gamma)
        return ReplayBuffer(capacity, *spaces)

    if s.prioritized:
        return PrioritizedReplay(make(s.buffer_size, parts.num_envs), s.priority_alpha)
    share = parts.dataset_share
    return with_dataset(parts.dataset, share, make, s.buffer_size, parts.num_envs)


class DQN(OffPolicy):
    """Learns Q from replayed transitions towards a target network, whose updates are
    counted in environment steps as trainings are."""

    _state = (*OffPolicy._state, "target", "optimizer", "copied_at")

    settings: DQNSettings

    def __init__(self, settings: DQNSettings, parts: Parts) -> None:
        super().__init__(settings, parts)
        self.policy: DQNPolicy = DQNPolicy(settings, parts)
        self.target = copy.deepcopy(self.policy.network).requires_grad_(False)
        self.noisy = noisy_layers(self.policy.network, self.target)
        self.memory: ReplayBuffer | PrioritizedReplay | MixedReplay = build_memory(
            settings, parts, self.policy.network
        )
        self.optimizer = parts.optimizer(self.policy.network.parameters(), settings.learning_rate)
        self.learner = fast.choose(
            LEARNERS[settings.distribution],
            parts.kernels,
            self.policy.network,
            self.target,
            self.optimizer,
            settings,
        )
        self.copied_at = 0  # target updates that were due so far

    def train(self, count: int, progress: Progress) -> dict[str, Any]:
        s, memory = self.settings, self.memory
        metrics: dict[str, Any] = {}
        if isinstance(memory, PrioritizedReplay):
            memory.beta = linear(s.priority_beta, 1.0, progress.fraction)
            metrics["train/priority_beta"] = memory.beta
        trainings = count // s.gradient_steps
        history = []
        draw_from(self.noisy, self.rng)
        for i in range(1 - trainings, 1):  # the last of them was due most recently
            self._update_target((self.trained_at + i) * s.train_freq)
            history += [self._step() for _ in range(s.gradient_steps)]
        draw_from(self.noisy, None)
        return metrics | (named(("loss", "q_value"), means(history)) if history else {})

    def _update_target(self, steps: int) -> None:
        """Make the target updates that were due by environment step `steps`.

        A training that was due at that step sees these and no later ones, as it would if there
        were one environment: several steps may have been taken since the last update.
        """
        due = steps // self.settings.target_update_interval - self.copied_at
        if due > 0:
            self.copied_at += due
            self.learner.update_target(due)

    def reset_targets(self) -> None:
        follow([self.target], [self.policy.network], 1.0)

    def _step(self) -> Any:
        memory, array = self.memory, self.policy.inputs.array
        batch = memory.sample(self.settings.batch_size, self.rng)
        loss, value, error = self.learner.step(
            array(batch.obs),
            batch.action,
            batch.reward,
            batch.terminated,
            array(batch.successor),
            batch.discount,
            batch.weight,
        )
        if isinstance(memory, PrioritizedReplay):
            assert batch.rows is not None
            memory.update(batch.rows, error)
        return loss, value
