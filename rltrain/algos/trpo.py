"""Trust region policy optimisation (Schulman et al. 2015, arXiv 1502.05477).

    maximise  L(θ) = E[π_θ(a|s) / π_old(a|s) · Â]   subject to  E[KL(π_old ‖ π_θ)] ≤ δ   (14)

    x = H⁻¹ g by conjugate gradient, g = ∇L, H the Hessian of the mean KL         appendix C
    θ ← θ_old + c^k √(2δ / xᵀHx) x for the first k that holds the constraint and improves L

The critic learns by minibatches of the same rollout.

Legend: N samples, P parameters of the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rltrain.algos.actor_critic import OnPolicy
from rltrain.algos.base import Metrics, Parts, means
from rltrain.algos.descent import descend
from rltrain.core.errors import TrainingError
from rltrain.core.seeding import generator
from rltrain.core.types import Progress, Rows
from rltrain.functional import policy_losses as losses
from rltrain.functional.conjugate_gradient import conjugate_gradient
from rltrain.functional.returns import explained_variance
from rltrain.functional.statistics import standardized
from rltrain.networks.actor_critic import ActorCritic
from rltrain.settings.on_policy import TRPOSettings

Product = Callable[[Tensor], Tensor]


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors one after another `[P]`, a copy."""
    return torch.cat([t.reshape(-1) for t in tensors])


def flat_gradient(of: Tensor, parameters: Sequence[Tensor], create_graph: bool = False) -> Tensor:
    """The gradient `[P]`, 0 where `of` does not depend on a parameter; its graph is kept."""
    gradients = torch.autograd.grad(
        of, parameters, retain_graph=True, create_graph=create_graph, materialize_grads=True
    )
    return flat(gradients)


@torch.no_grad()
def put(parameters: Sequence[Tensor], values: Tensor) -> None:
    """Writes `values` `[P]` into the parameters in place, since others hold views of them."""
    parts = torch.split(values, [p.numel() for p in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.copy_(part.view_as(parameter))


def fisher_product(kl: Tensor, parameters: Sequence[Tensor], damping: float) -> Product:
    """v `[P]` ↦ (H + damping · I) v, with H the Hessian of `kl` by the parameters.

    Where the two policies are one, H is the Fisher information matrix.
    """
    gradient = flat_gradient(kl, parameters, create_graph=True)

    def product(v: Tensor) -> Tensor:
        return flat_gradient(gradient @ v, parameters) + damping * v

    return product


def line_search(
    parameters: Sequence[Tensor], step: Tensor, holds: Callable[[], bool], shrink: float, tries: int
) -> bool:
    """Moves by the first of step · shrink^k, k = 0, 1, …, with which `holds()`.

    False where none of the `tries` does; the parameters are then what they were, bit for bit.
    """
    start = flat([p.detach() for p in parameters])
    for k in range(tries):
        put(parameters, start + shrink**k * step)
        if holds():
            return True
    put(parameters, start)
    return False


class CriticLearner:
    """Takes the minibatch steps of the critic."""

    def __init__(self, networks: ActorCritic, optimizer: torch.optim.Optimizer) -> None:
        self.networks = networks
        self.optimizer = optimizer

    def begin(self, x: Tensor, target: Tensor) -> None:
        """Takes the samples of an update: observations `[N, D]`, value targets `[N]`."""
        self._x, self._target = x, target

    def step(self, rows: Rows) -> tuple[Tensor, ...]:
        """One optimiser step on the samples `rows`; returns the value loss.

        Raises:
            TrainingError: the loss or a gradient is no number; no step was taken.
        """
        index = torch.from_numpy(rows).to(self._x.device)
        columns, critic = (self._x[index], self._target[index]), self.networks.critic
        return descend(self._terms, columns, "train/value_loss", critic, self.optimizer)

    def _terms(self, x: Tensor, target: Tensor) -> tuple[Tensor]:
        return (losses.value_loss(self.networks.value(x), target),)


class TRPO(OnPolicy):
    """Rolls out, takes one natural step of the policy, and epochs of steps of the critic."""

    _state = (*OnPolicy._state, "rng")

    settings: TRPOSettings

    def __init__(self, settings: TRPOSettings, parts: Parts) -> None:
        super().__init__(settings, parts)
        networks = self.policy.networks
        self.optimizer = parts.optimizer(networks.critic.parameters(), settings.learning_rate)
        self.learner = CriticLearner(networks, self.optimizer)
        self.rng = generator(parts.seed, "minibatches")
        self.device = parts.device

    @property
    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.policy.networks.parameters() if p.requires_grad)

    def update(self, progress: Progress) -> Metrics:
        s = self.settings
        rate = self.rate.set(progress, self.optimizer, at=self.begun_at(progress))

        advantage, returns, values = self.advantages()
        if s.normalize_advantage:
            advantage = standardized(advantage)
        inputs, actions, _ = self.samples()
        columns = (inputs, actions, advantage, returns)
        x, action, advantage_, target = (torch.from_numpy(c).to(self.device) for c in columns)
        metrics = self._policy_step(x, action, advantage_)

        self.learner.begin(x, target)
        history: list[Any] = []
        for _ in range(s.n_critic_updates):
            order = self.rng.permutation(len(x))
            for start in range(0, len(order), s.batch_size):
                history.append(self.learner.step(order[start : start + s.batch_size]))

        quality = explained_variance(values, returns)
        self.end_rollout()
        progress.updates += 1 + len(history)
        return metrics | {
            "train/value_loss": means(history)[0],
            "train/explained_variance": quality,
            "train/learning_rate": rate,
        }

    def _policy_step(self, x: Tensor, action: Tensor, advantage: Tensor) -> dict[str, Any]:
        """One step inside the trust region, on all samples; none where the search fails."""
        networks = self.policy.networks
        head, parameters = networks.head, networks.policy_parameters()
        # Copies: a Gaussian's log σ is the parameter itself, which is about to move.
        old = tuple(p.detach().clone() for p in networks.distribution(x))
        old_log_prob = head.log_prob(old, action)

        def judge() -> tuple[Tensor, Tensor]:
            """L(θ) and the mean of KL(π_old ‖ π_θ)."""
            new = networks.distribution(x)
            ratio = (head.log_prob(new, action) - old_log_prob).exp()
            return losses.surrogate(ratio, advantage), head.kl(old, new).mean()

        before, kl = judge()
        after = [before.detach(), torch.zeros_like(before)]  # of a step that is not taken
        taken = bool(parameters) and self._search(parameters, before, kl, judge, after)
        return {
            "train/policy_objective": after[0],
            "train/kl_divergence_loss": after[1],
            "train/is_line_search_success": torch.tensor(float(taken)),
        }

    def _search(
        self,
        parameters: Sequence[Tensor],
        before: Tensor,
        kl: Tensor,
        judge: Callable[[], tuple[Tensor, Tensor]],
        after: list[Tensor],
    ) -> bool:
        """Moves along the natural gradient; False where no step holds. `after` is of the step."""
        s = self.settings
        gradient = flat_gradient(before, parameters)
        if not bool(torch.isfinite(gradient).all()):
            raise TrainingError(
                f"the policy's gradient is no number, though train/policy_objective is"
                f" {before.item():.4g}; the update was not applied."
            )
        product = fisher_product(kl, parameters, s.cg_damping)
        direction = conjugate_gradient(product, gradient, s.cg_max_steps)
        step = (2 * s.target_kl / (direction @ product(direction))).sqrt() * direction

        @torch.no_grad()
        def holds() -> bool:
            objective, kl = judge()
            if not bool((kl <= s.target_kl) & (objective > before)):
                return False
            after[:] = objective, kl
            return True

        return line_search(parameters, step, holds, s.line_search_shrink, s.line_search_max_iter)
