"""Distributions of returns: projection and losses.

Legend: N samples, Z atoms, I predicted quantiles, J target quantiles.
"""

from __future__ import annotations

import torch
from torch import Tensor


def project(probs: Tensor, reward: Tensor, discount: Tensor, atoms: Tensor) -> Tensor:
    """Φ T̂ Z: r + γ z as probabilities `[N, Z]` over `atoms` (Bellemare et al. 2017, eq. 7).

    `probs` `[N, Z]` are those of the successor over the same evenly spaced `atoms` `[Z]`,
    `reward` and `discount` `[N]`, the latter 0 where the episode terminated. Beyond the ends
    all mass goes to the last atom; a target that falls on an atom gives it all of its mass.
    """
    if probs.shape != (*reward.shape, *atoms.shape) or reward.shape != discount.shape:
        raise ValueError(f"shapes differ: {[tuple(x.shape) for x in (probs, reward, discount)]}")
    last = len(atoms) - 1
    low, high = atoms[0], atoms[-1]
    target = reward.unsqueeze(1) + discount.unsqueeze(1) * atoms  # [N, Z]
    place = (target.clamp(low, high) - low) * (last / (high - low))  # in units of Δz
    place = place.clamp(0, last)  # what rounding left outside
    below = place.floor()
    upper = probs * (place - below)
    index = below.long()
    projected = torch.zeros_like(probs).scatter_add_(1, index, probs - upper)
    return projected.scatter_add_(1, (index + 1).clamp(max=last), upper)


def cross_entropy(target: Tensor, log_probs: Tensor) -> Tensor:
    """−Σ_z m_z log p_z `[N]` of `target` and `log_probs` `[N, Z]`."""
    if target.shape != log_probs.shape:
        raise ValueError(f"shapes differ: {tuple(target.shape)}, {tuple(log_probs.shape)}")
    return -(target * log_probs).sum(-1)


def entropy(probs: Tensor) -> Tensor:
    """−Σ_z m_z log m_z `[N]` of `probs` `[N, Z]`, where 0 log 0 = 0."""
    return -torch.xlogy(probs, probs).sum(-1)


def quantile_midpoints(count: int) -> Tensor:
    """τ̂_i = (2i − 1) / 2I `[I]` (Dabney et al. 2018, lemma 2)."""
    return (torch.arange(count) + 0.5) / count


def quantile_huber(value: Tensor, target: Tensor, midpoints: Tensor) -> Tensor:
    """Σ_i E_j[ρ_τ̂i(target_j − value_i)] `[N]` with κ = 1 (Dabney et al. 2018, eq. 10, alg. 1).

    `value` `[N, I]` are the quantiles predicted at `midpoints` `[I]`, `target` is `[N, J]`.
    """
    if value.shape[:-1] != target.shape[:-1] or value.shape[-1:] != midpoints.shape:
        shapes = [tuple(x.shape) for x in (value, target, midpoints)]
        raise ValueError(f"shapes differ: {shapes}")
    error = target.unsqueeze(-2) - value.unsqueeze(-1)  # [N, I, J]
    size = error.abs()
    huber = torch.where(size <= 1, 0.5 * error.square(), size - 0.5)
    weight = (midpoints.unsqueeze(-1) - (error.detach() < 0).float()).abs()
    return (weight * huber).mean(-1).sum(-1)
