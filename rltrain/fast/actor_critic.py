"""Acting and learning of a small actor-critic in NumPy.

Legend: N samples, D numbers of an observation, A actions or action dimensions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rltrain.fast.mlp import Floats, NumpyMLP, flatten, linear_layers
from rltrain.fast.optimizers import flat_optimizer
from rltrain.networks.actor_critic import ActorCritic, Zero
from rltrain.networks.heads import Categorical, Gaussian
from rltrain.settings.on_policy import A2CSettings, PPOSettings, REINFORCESettings

Rows = NDArray[Any]
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
HEADS = (Categorical, Gaussian)  # what is known here


def log_softmax(logits: Floats) -> Floats:
    """Normalised log-probabilities `[N, A]`."""
    shifted: Floats = logits - logits.max(-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(-1, keepdims=True))
    return shifted


def mean(x: Floats) -> float:
    """The mean of a vector, without what `x.mean()` looks at first."""
    return float(np.add.reduce(x)) / len(x)


class NumpyActorCritic:
    """`ActorCritic` on arrays: the same functions, over the same parameters."""

    def __init__(self, networks: ActorCritic) -> None:
        flat = flatten(networks)
        actor, critic = linear_layers(networks.actor), linear_layers(networks.critic)
        assert actor is not None
        assert critic is not None or isinstance(networks.critic, Zero)
        self.discrete = networks.discrete
        self.actor = NumpyMLP(actor, flat)
        self.critic = None if critic is None else NumpyMLP(critic, flat)
        if networks.log_std is not None:
            self.log_std: Floats = networks.log_std.detach().numpy()

    def value(self, x: Floats) -> Floats:
        return np.zeros(len(x), np.float32) if self.critic is None else self.critic.forward(x)[:, 0]

    def sample(self, x: Floats, noise: Floats) -> tuple[Rows, Floats, Floats]:
        output, value = self.actor.forward(x), self.value(x)
        if not self.discrete:
            action = output + np.exp(self.log_std) * noise
            # (a − μ) / σ is the noise itself
            log_prob = -0.5 * np.add.reduce(np.square(noise), -1)
            log_prob -= np.add.reduce(self.log_std + _HALF_LOG_2PI)
            return action, log_prob, value
        output -= np.maximum.reduce(output, -1, keepdims=True)
        cumulative = np.add.accumulate(np.exp(output), -1)
        total = cumulative[:, -1]
        below = cumulative[:, :-1] <= (noise * total)[:, None]
        picked = np.add.reduce(below, -1)
        return picked, output[np.arange(len(picked)), picked] - np.log(total), value

    def mode(self, x: Floats) -> Rows:
        output = self.actor.forward(x)
        return output.argmax(-1) if self.discrete else output

    def gaussian_log_prob(self, mean: Rows, action: Rows) -> Floats:
        z = (action - mean) * np.exp(-self.log_std)
        log_prob: Floats = -0.5 * np.add.reduce(np.square(z), -1)
        log_prob -= np.add.reduce(self.log_std + _HALF_LOG_2PI)
        return log_prob


class NumpyLearner:
    """What learners of an actor-critic share: π, its entropy and V, and their gradients."""

    def __init__(self, networks: ActorCritic, optimizer: torch.optim.Optimizer) -> None:
        self.ent_coef = 0.0  # set before an update
        self.flat = flatten(networks)
        self.optimizer = flat_optimizer(optimizer, self.flat)
        self.networks = NumpyActorCritic(networks)
        if networks.log_std is not None:
            self._log_std_gradient = self.flat.gradient(networks.log_std)

    def evaluate(self, x: Floats, action: Rows) -> tuple[Floats, float, Floats]:
        """log π(a|s) `[N]`, the mean entropy, and V(s) `[N]`; kept is what `backward` needs."""
        networks = self.networks
        self._action = action
        self._output = output = networks.actor.forward(x)
        values = networks.value(x)
        if not networks.discrete:
            entropy = float((networks.log_std + 0.5 + _HALF_LOG_2PI).sum())
            return networks.gaussian_log_prob(output, action), entropy, values
        self._log_probs = log_probs = log_softmax(output)
        self._probs = np.exp(log_probs)
        self._index = np.arange(len(x))
        self._entropies = -(self._probs * log_probs).sum(-1)
        return log_probs[self._index, action], mean(self._entropies), values

    def distribution(self, x: Floats) -> tuple[Floats, ...]:
        """π(·|s) as arrays `[N, A]`: log-probabilities, or means and log σ."""
        output = self.networks.actor.forward(x)
        if self.networks.discrete:
            return (log_softmax(output),)
        return output, np.broadcast_to(self.networks.log_std.copy(), output.shape)

    def kl(self, old: tuple[Floats, ...]) -> tuple[Floats, ...]:
        """KL(old ‖ π) `[N]` where `evaluate` was called, and its gradients `[N, A]` by the
        actor's output and, of a Gaussian, by log σ."""
        if self.networks.discrete:
            probs = np.exp(old[0])
            return (probs * (old[0] - self._log_probs)).sum(-1), self._probs - probs
        log_std, precision = self.networks.log_std, np.exp(-2 * self.networks.log_std)
        away = self._output - old[0]
        moment = (np.exp(2 * old[1]) + np.square(away)) * precision
        divergence = (log_std - old[1] + 0.5 * moment - 0.5).sum(-1)
        return divergence, away * precision, 1 - moment

    def backward(
        self,
        slope: Floats,
        value_slope: Floats,
        output_slope: Floats | None = None,
        log_std_slope: Floats | None = None,
    ) -> None:
        """Gradients of a loss, given those by log π(a|s) and by V(s), both `[N]`, and what
        there is beside by the actor's output and by log σ, both `[N, A]`."""
        networks, n = self.networks, len(slope)
        if networks.discrete:
            gradient = self._probs * -slope[:, None]
            gradient[self._index, self._action] += slope
            if self.ent_coef:
                away = self._log_probs + self._entropies[:, None]
                gradient += self.ent_coef / n * self._probs * away
        else:
            inverse = np.exp(-networks.log_std)
            z = (self._action - self._output) * inverse
            gradient = slope[:, None] * z * inverse
            self._log_std_gradient[...] = slope @ (np.square(z) - 1) - self.ent_coef
            if log_std_slope is not None:
                self._log_std_gradient += log_std_slope.sum(0)
        if output_slope is not None:
            gradient += output_slope
        networks.actor.backward(gradient)
        if networks.critic is not None:
            networks.critic.backward(value_slope[:, None])


class NumpyPolicyGradientLearner(NumpyLearner):
    """`rltrain.algos.actor_critic.PolicyGradientLearner`, its gradients worked out by hand."""

    def __init__(
        self,
        networks: ActorCritic,
        optimizer: torch.optim.Optimizer,
        settings: A2CSettings | REINFORCESettings,
    ) -> None:
        super().__init__(networks, optimizer)
        self.settings = settings

    def begin(self) -> None:
        self.optimizer.bind()

    def step(self, x: Floats, action: Rows, advantage: Floats, target: Floats) -> tuple[float, ...]:
        s, n = self.settings, len(x)
        log_prob, entropy, values = self.evaluate(x, action)
        policy_loss = -float(np.dot(log_prob, advantage)) / n
        error = values - target
        value_loss = float(np.dot(error, error)) / n
        loss = policy_loss - self.ent_coef * entropy + s.vf_coef * value_loss
        self.backward(advantage * np.float32(-1 / n), 2 * s.vf_coef / n * error)
        self.optimizer.descend(loss, "train/loss", s.max_grad_norm)
        return loss, policy_loss, value_loss, -entropy


class NumpyPPOLearner(NumpyLearner):
    """`rltrain.algos.ppo.PPOLearner`, its gradients worked out by hand."""

    def __init__(
        self, networks: ActorCritic, optimizer: torch.optim.Optimizer, settings: PPOSettings
    ) -> None:
        super().__init__(networks, optimizer)
        self.settings = settings

    def begin(
        self,
        x: Floats,
        action: Rows,
        old_log_prob: Floats,
        advantage: Floats,
        target: Floats,
        old_value: Floats,
    ) -> None:
        self._batch = (x, action, old_log_prob, advantage, target)
        self._old_value = old_value
        self.optimizer.bind()
        if self.settings.objective == "kl_penalty":
            self._old = self.distribution(x)

    def step(self, rows: Rows, clip_range: float, kl_coef: float) -> tuple[float, ...]:
        s = self.settings
        x, action, old_log_prob, advantage, target = (c.take(rows, 0) for c in self._batch)
        n = len(x)
        if s.normalize_advantage and n > 1:
            advantage = advantage - mean(advantage)
            advantage /= math.sqrt(advantage.dot(advantage) / (n - 1)) + 1e-8

        log_prob, entropy, values = self.evaluate(x, action)
        log_ratio = log_prob - old_log_prob
        ratio = np.exp(log_ratio)
        plain = ratio * advantage
        toward_old: tuple[Floats, ...] = ()
        if s.objective == "clip":
            clipped = np.minimum(np.maximum(ratio, 1 - clip_range), 1 + clip_range)
            held = clipped * advantage
            policy_loss = -mean(np.minimum(plain, held))
            # d loss / d log π(a): −ρ A / N where the clip does not hold it
            slope = np.where(plain <= held, plain, 0)
        else:
            kl, *slopes = self.kl(tuple(p.take(rows, 0) for p in self._old))
            policy_loss = kl_coef * mean(kl) - mean(plain)
            toward_old = tuple(kl_coef / n * slope for slope in slopes)
            slope = plain
        slope *= -1 / n
        error = values - target
        value_loss = float(np.dot(error, error)) / n
        if s.clip_range_vf is not None:
            value_loss, error = self._clipped(values, target, self._old_value.take(rows))
        loss = policy_loss - self.ent_coef * entropy + s.vf_coef * value_loss

        self.backward(slope, 2 * s.vf_coef / n * error, *toward_old)
        self.optimizer.descend(loss, "train/loss", s.max_grad_norm)

        approx_kl = mean(np.expm1(log_ratio) - log_ratio)
        outside = np.count_nonzero(np.abs(ratio - 1) > clip_range) / n
        return loss, policy_loss, value_loss, -entropy, approx_kl, outside

    def _clipped(self, values: Floats, target: Floats, old: Floats) -> tuple[float, Floats]:
        """The clipped value loss, and half of N times its gradient by V `[N]`."""
        limit = self.settings.clip_range_vf
        assert limit is not None
        error = values - target
        held = old + np.minimum(np.maximum(values - old, -limit), limit) - target
        inside = np.abs(values - old) <= limit  # elsewhere the clip is constant
        free = inside | (np.square(error) >= np.square(held))
        return mean(np.square(np.where(free, error, held))), np.where(free, error, 0)

    def divergence(self) -> float:
        """The mean KL(old ‖ new) of the update so far (objective=kl_penalty)."""
        self.evaluate(*self._batch[:2])
        return mean(self.kl(self._old)[0])
