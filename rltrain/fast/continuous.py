"""Learning of actor-critics with replay in NumPy, their gradients worked out by hand.

The two critics are computed side by side, and of what belongs to the actor each half of the
minibatch: with two threads that is nearly half the time, and it is the same numbers.

Legend: N transitions of a minibatch, D numbers of an observation, A action dimensions,
P parameters.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rltrain.core.errors import TrainingError
from rltrain.fast.mlp import BufferedMLP, Floats, flatten, linear_layers
from rltrain.fast.optimizers import flat_optimizer
from rltrain.fast.pair import Pair
from rltrain.functional.td import one_step_target
from rltrain.networks.critics import Critics
from rltrain.settings.off_policy import SACSettings

Rows = NDArray[Any]
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def halves(count: int) -> tuple[slice, slice]:
    return slice(0, count // 2), slice(count // 2, count)


def layers_of(module: nn.Module) -> list[tuple[nn.Linear, str]]:
    layers = linear_layers(module)
    assert layers is not None
    return layers


class NumpyCritics:
    """Two critics and their targets; `k` is the one that a call is about."""

    def __init__(
        self, critics: Critics, targets: Critics, optimizer: torch.optim.Optimizer, tau: float
    ) -> None:
        self.flat, self.flat_targets = flatten(critics), flatten(targets)
        self.optimizer = flat_optimizer(optimizer, self.flat)
        self.online = [BufferedMLP(layers_of(m), self.flat) for m in critics.members]
        self.targets = [BufferedMLP(layers_of(m), self.flat_targets) for m in targets.members]
        self.tau = tau
        self.parts = halves(len(self.flat.values))  # one critic's parameters after the other's
        self._move = [self.optimizer.fuse(part) for part in self.parts]
        arrays = (self.flat_targets.values, self.flat.values)
        self._tensors = [[torch.from_numpy(a[part]) for a in arrays] for part in self.parts]

    def value(self, k: int, joined: Floats) -> Floats:
        """Q_k `[N]` of observations and actions `[N, D + A]`."""
        return self.online[k].forward(joined)[:, 0]

    def target_value(self, k: int, joined: Floats) -> Floats:
        return self.targets[k].forward(joined)[:, 0]

    def step(self, k: int, gradient: Floats) -> None:
        """A step of the optimiser, given the gradient of the last Q_k `[N]`."""
        self.online[k].backward(gradient[:, None])
        self.optimizer.check(self.parts[k], "train/critic_loss")
        self._move[k]()

    def follow(self, k: int) -> None:
        """θ⁻ ← (1 − τ) θ⁻ + τ θ."""
        slow, moving = self._tensors[k]
        slow.lerp_(moving, self.tau)

    def action_gradient(self, k: int, rows: NDArray[np.intp], scale: float, first: int) -> Floats:
        """scale · ∂Q_k/∂a `[M, A]` of the samples `rows` of the last values."""
        ones = np.full((len(rows), 1), scale, np.float32)
        return self.online[k].input_gradient(ones, first, rows)


class NumpyActor:
    """An actor; `k` is the half of the minibatch that a call is about."""

    def __init__(self, actor: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.flat = flatten(actor)
        self.optimizer = flat_optimizer(optimizer, self.flat)
        self._other: Floats = np.zeros_like(self.flat.gradients)
        layers = layers_of(actor)
        self.learning = [
            BufferedMLP(layers, self.flat),
            BufferedMLP(layers, self.flat, self._other),
        ]
        self.acting = [BufferedMLP(layers, self.flat) for _ in range(2)]
        self.parts = halves(len(self.flat.values))
        self._move = [self.optimizer.fuse(part) for part in self.parts]

    def add(self, k: int) -> None:
        """Sums the gradients of both halves, for a half of the parameters."""
        part = self.parts[k]
        self.flat.gradients[part] += self._other[part]

    def move(self, k: int) -> None:
        self._move[k]()


class NumpySACLearner:
    """`rltrain.algos.sac.SACLearner`."""

    def __init__(
        self,
        actor: nn.Module,
        critics: Critics,
        targets: Critics,
        log_ent_coef: torch.Tensor,
        actor_optimizer: torch.optim.Optimizer,
        critic_optimizer: torch.optim.Optimizer,
        ent_coef_optimizer: torch.optim.Optimizer | None,
        settings: SACSettings,
        target_entropy: float,
        threads: int = 1,
    ) -> None:
        self.settings = settings
        self.target_entropy = target_entropy
        self.actor = NumpyActor(actor, actor_optimizer)
        self.critics = NumpyCritics(critics, targets, critic_optimizer, settings.tau)
        self.log_ent_coef = log_ent_coef
        self.ent_coef_optimizer = ent_coef_optimizer
        self.both = Pair(threads)
        self._size = 0

    def begin(self) -> None:
        self.actor.optimizer.bind()
        self.critics.optimizer.bind()

    def step(
        self,
        x: Floats,
        action: Floats,
        reward: Floats,
        terminated: Floats,
        successor: Floats,
        noise: Floats,
    ) -> tuple[float, ...]:
        n, d, gamma = len(x), x.shape[1], self.settings.gamma
        actor, critics = self.actor, self.critics
        rows = halves(n)
        log_ent_coef = float(self.log_ent_coef.detach())
        ent_coef = math.exp(log_ent_coef)
        if n != self._size:
            self._allocate(n, d, action.shape[1])
        taken, proposed, following = self._joined
        taken[:, :d] = proposed[:, :d] = x
        taken[:, d:] = action
        following[:, :d] = successor
        drawn: list[Any] = [None, None]
        log_prob, next_log_prob = self._log_probs

        def act(k: int) -> None:
            r = rows[k]
            output = actor.acting[k].forward(successor[r])
            following[r, d:], next_log_prob[r], _ = squashed(output, noise[1, r])
            output = actor.learning[k].forward(x[r])
            proposed[r, d:], log_prob[r], drawn[k] = squashed(output, noise[0, r])

        self.both(act)
        values: list[Any] = [None, None]
        next_values: list[Any] = [None, None]

        def look(k: int) -> None:
            next_values[k] = critics.target_value(k, following)
            values[k] = critics.value(k, taken)

        self.both(look)
        soft = np.minimum(*next_values) - ent_coef * next_log_prob
        target = one_step_target(reward, terminated, soft, gamma)
        errors = [value - target for value in values]
        critic_loss = 0.5 * sum(float(e.dot(e)) for e in errors) / n
        check(critic_loss, "train/critic_loss")
        critics.optimizer.count += 1

        def learn(k: int) -> None:
            critics.step(k, errors[k] / n)
            critics.follow(k)
            values[k] = critics.value(k, proposed)

        self.both(learn)
        first = values[0] <= values[1]
        chosen = (np.flatnonzero(first), np.flatnonzero(~first))
        log_probs = float(np.add.reduce(log_prob))
        entropy = -log_probs / n
        actor_loss = (ent_coef * log_probs - float(np.add.reduce(np.minimum(*values)))) / n
        check(actor_loss, "train/actor_loss")
        gradient = self._action_gradient

        def judge(k: int) -> None:
            gradient[chosen[k]] = critics.action_gradient(k, chosen[k], -1 / n, d)

        self.both(judge)

        def improve(k: int) -> None:
            r = rows[k]
            back = squashed_backward(proposed[r, d:], drawn[k], gradient[r], ent_coef / n)
            actor.learning[k].backward(back)

        self.both(improve)
        self.both(actor.add)
        actor.optimizer.check(slice(None), "train/actor_loss")
        actor.optimizer.count += 1
        self.both(actor.move)
        excess = entropy - self.target_entropy
        if self.ent_coef_optimizer is None:
            return critic_loss, actor_loss, ent_coef, 0.0, entropy
        self.log_ent_coef.grad = torch.tensor(excess)
        self.ent_coef_optimizer.step()
        return critic_loss, actor_loss, ent_coef, log_ent_coef * excess, entropy

    def _allocate(self, n: int, d: int, a: int) -> None:
        self._size = n
        self._joined = [np.empty((n, d + a), np.float32) for _ in range(3)]
        self._log_probs = np.empty((2, n), np.float32)
        self._action_gradient: Floats = np.empty((n, a), np.float32)


def check(loss: float, name: str) -> None:
    if not math.isfinite(loss):
        raise TrainingError(f"{name} is {loss}; the update was not applied.")


def squashed(output: Floats, noise: Floats) -> tuple[Floats, Floats, tuple[Floats, Floats]]:
    """`functional.distributions.squashed_gaussian` of an actor's output `[N, 2 A]`.

    Also returns what its gradient needs: σ · noise, and where log σ is within its bounds.
    """
    size = noise.shape[1]
    raw = output[:, size:]
    log_std = np.minimum(np.maximum(raw, -20), 2)
    spread = np.exp(log_std)
    spread *= noise
    u = output[:, :size] + spread
    action = np.tanh(u)
    # −u − softplus(−2u) is the same for u and −u
    away = np.abs(u)
    density = away + np.log1p(np.exp(-2 * away))
    density *= 2
    density -= 0.5 * np.square(noise)
    density -= log_std
    log_prob = np.add.reduce(density, 1)
    log_prob -= size * (_HALF_LOG_2PI + 2 * math.log(2))
    return action, log_prob, (spread, raw == log_std)


def squashed_backward(
    action: Floats, drawn: tuple[Floats, Floats], gradient: Floats, weight: float
) -> Floats:
    """The gradient `[N, 2 A]` of an actor's output for Σ weight · log π(a) + f(a).

    `gradient` `[N, A]` is ∂f/∂a. With a = tanh(u), u = μ + σ · noise, log π depends on u by
    −Σ log(1 − a²), whose slope is 2 a, and on log σ directly by −1.
    """
    spread, inside = drawn
    size = action.shape[1]
    back = np.empty((len(action), 2 * size), np.float32)
    by_mean, by_log_std = back[:, :size], back[:, size:]
    np.square(action, out=by_mean)
    np.subtract(1, by_mean, out=by_mean)
    by_mean *= gradient
    by_mean += 2 * weight * action
    np.multiply(by_mean, spread, out=by_log_std)
    by_log_std -= weight
    by_log_std *= inside
    return back
