"""Probability distributions over actions, as functions of their parameters.

Legend: N samples, A actions (Categorical) or action dimensions (Gaussian, Bernoulli).
The noise comes from outside, so that whoever acts owns the random stream.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_LOG_2PI = math.log(2 * math.pi)


def categorical_sample(log_probs: Tensor, uniform: Tensor) -> Tensor:
    """Actions `[N]`, by inverting the distribution function at `uniform` `[N]` in [0, 1)."""
    cumulative = log_probs.exp().cumsum(-1)
    # Rounding may leave the last sum below 1; the index is kept inside.
    below = (cumulative <= uniform.unsqueeze(-1) * cumulative[..., -1:]).sum(-1)
    return below.clamp_(max=log_probs.shape[-1] - 1)


def categorical_log_prob(log_probs: Tensor, action: Tensor) -> Tensor:
    """log π(a) `[N]` out of normalised `log_probs` `[N, A]`."""
    return log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)


def categorical_entropy(log_probs: Tensor) -> Tensor:
    """H `[N]` of normalised `log_probs` `[N, A]`, in nats."""
    return -(log_probs.exp() * log_probs).sum(-1)


def gaussian_sample(mean: Tensor, log_std: Tensor, normal: Tensor) -> Tensor:
    """Actions `[N, A]`: mean + σ · noise, `normal` being standard normal `[N, A]`."""
    return mean + log_std.exp() * normal


def gaussian_log_prob(mean: Tensor, log_std: Tensor, action: Tensor) -> Tensor:
    """log N(a; mean, σ²) `[N]`, summed over independent dimensions."""
    _check_same_shape(mean, action)
    z = (action - mean) * (-log_std).exp()
    return -(0.5 * z.square() + log_std + 0.5 * _LOG_2PI).sum(-1)


def gaussian_entropy(log_std: Tensor) -> Tensor:
    """H of an independent Gaussian, summed over dimensions, in nats."""
    return (log_std + 0.5 * (1 + _LOG_2PI)).sum(-1)


def categorical_kl(old: Tensor, new: Tensor) -> Tensor:
    """KL(old ‖ new) `[N]` of normalised log-probabilities `[N, A]`, in nats."""
    _check_same_shape(old, new)
    return (old.exp() * (old - new)).sum(-1)


def gaussian_kl(old_mean: Tensor, old_log_std: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """KL(old ‖ new) `[N]` of independent Gaussians `[N, A]`, summed over dimensions.

    log σ − log σ_old + (σ_old² + (μ_old − μ)²) / 2σ² − ½
    """
    _check_same_shape(old_mean, mean)
    moment = (2 * old_log_std).exp() + (old_mean - mean).square()
    return (log_std - old_log_std + 0.5 * moment * (-2 * log_std).exp() - 0.5).sum(-1)


def bernoulli_sample(logits: Tensor, uniform: Tensor) -> Tensor:
    """Actions `[N, A]` of zeros and ones: 1 where `uniform` in [0, 1) is below σ(logit)."""
    return (uniform < logits.sigmoid()).long()


def bernoulli_log_prob(logits: Tensor, action: Tensor) -> Tensor:
    """log π(a) `[N]` of independent coins `[N, A]`: log σ(l) for 1 and log σ(−l) for 0."""
    _check_same_shape(logits, action)
    return functional.logsigmoid(torch.where(action > 0, logits, -logits)).sum(-1)


def bernoulli_entropy(logits: Tensor) -> Tensor:
    """H `[N]` of independent coins `[N, A]`, in nats: −p log p − (1 − p) log (1 − p) summed."""
    on, off = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    return -(on.exp() * on + off.exp() * off).sum(-1)


def bernoulli_kl(old: Tensor, new: Tensor) -> Tensor:
    """KL(old ‖ new) `[N]` of independent coins with logits `[N, A]`, in nats."""
    _check_same_shape(old, new)
    on, off = functional.logsigmoid(old), functional.logsigmoid(-old)
    new_on, new_off = functional.logsigmoid(new), functional.logsigmoid(-new)
    return (on.exp() * (on - new_on) + off.exp() * (off - new_off)).sum(-1)


def _check_same_shape(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {tuple(a.shape)}, {tuple(b.shape)}")


def squashed_gaussian(mean: Tensor, log_std: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
    """Actions tanh(u) `[N, A]` of u = mean + σ · noise, and their log-probabilities `[N]`.

    log π(a) = Σ log N(u) − log(1 − tanh² u), the second term as 2 (log 2 − u − softplus(−2u)),
    which has no difference of near equals (Haarnoja et al. 2018, arXiv 1812.05905, appendix C).
    The density is that of actions within ±1, whatever an environment scales them to.
    """
    if not mean.shape == log_std.shape == normal.shape:
        shapes = (tuple(x.shape) for x in (mean, log_std, normal))
        raise ValueError("shapes differ: {}, {}, {}".format(*shapes))
    u = mean + log_std.exp() * normal
    density = -(0.5 * normal.square() + log_std + 0.5 * _LOG_2PI)
    slope = 2 * (math.log(2) - u - functional.softplus(-2 * u))
    return u.tanh(), (density - slope).sum(-1)
