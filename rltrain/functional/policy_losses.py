"""Losses of policy-gradient methods.

Legend: N samples of a minibatch.
"""

from __future__ import annotations

import torch
from torch import Tensor


def normalize(advantages: Tensor) -> Tensor:
    """Advantages `[N]` with mean 0 and standard deviation 1; one sample alone is left as it is."""
    if advantages.numel() < 2:
        return advantages
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def clipped_surrogate(ratio: Tensor, advantages: Tensor, clip_range: float) -> Tensor:
    """−E[min(ρ A, clip(ρ, 1 − ε, 1 + ε) A)], ρ and A `[N]` (Schulman et al. 2017, eq. 7)."""
    _check_same_shape(ratio, advantages)
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    return -torch.min(ratio * advantages, clipped * advantages).mean()


def penalized_surrogate(ratio: Tensor, advantages: Tensor, kl: Tensor, kl_coef: float) -> Tensor:
    """−E[ρ A − β KL(old ‖ new)], ρ, A and KL `[N]` (Schulman et al. 2017, eq. 8)."""
    _check_same_shape(ratio, advantages)
    _check_same_shape(ratio, kl)
    return -(ratio * advantages - kl_coef * kl).mean()


def surrogate(ratio: Tensor, advantages: Tensor) -> Tensor:
    """E[ρ A], ρ and A `[N]`: what TRPO raises (Schulman et al. 2015, eq. 14)."""
    _check_same_shape(ratio, advantages)
    return (ratio * advantages).mean()


def policy_gradient(log_prob: Tensor, advantages: Tensor) -> Tensor:
    """−E[log π(a|s) A], both `[N]`: the policy gradient (Sutton & Barto 2018, eq. 13.8)."""
    _check_same_shape(log_prob, advantages)
    return -(log_prob * advantages).mean()


def approx_kl(log_ratio: Tensor) -> Tensor:
    """E[(ρ − 1) − log ρ]: low-variance, non-negative estimate of KL(old ‖ new) (Schulman 2020)."""
    return (torch.expm1(log_ratio) - log_ratio).mean()


def value_loss(value: Tensor, returns: Tensor) -> Tensor:
    """Mean squared error of the value function, both `[N]`."""
    _check_same_shape(value, returns)
    return (value - returns).square().mean()


def clipped_value_loss(
    value: Tensor, old_value: Tensor, returns: Tensor, clip_range: float
) -> Tensor:
    """E[max((V − R)², (V_clip − R)²)], V_clip being V within ±ε of the old one; all `[N]`.

    As in OpenAI Baselines (Huang et al. 2022, detail 9).
    """
    _check_same_shape(value, returns)
    _check_same_shape(value, old_value)
    clipped = old_value + (value - old_value).clamp(-clip_range, clip_range)
    return torch.max((value - returns).square(), (clipped - returns).square()).mean()


def _check_same_shape(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {tuple(a.shape)}, {tuple(b.shape)}")
