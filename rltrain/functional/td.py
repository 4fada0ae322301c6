"""Temporal-difference targets and losses.

Legend: N samples, A actions.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Real = TypeVar("Real", Tensor, NDArray[np.floating])


def one_step_target(reward: Real, terminated: Real, next_value: Real, gamma: float | Real) -> Real:
    """r + γ (1 − terminated) V(s′), all `[N]` (Sutton & Barto 2018, eq. 6.1).

    `terminated` is 1.0 or 0.0; a truncated step is not terminated and bootstraps. γ may be one
    of each sample, where they span several steps.
    """
    shapes = (terminated.shape, next_value.shape, getattr(gamma, "shape", reward.shape))
    if shapes != (reward.shape,) * 3:
        raise ValueError(f"shapes differ: {reward.shape}, {shapes}")
    return reward + gamma * (1 - terminated) * next_value


def target_share(tau: float, count: int) -> float:
    """Return the share of the online network after `count` target updates of share τ, in one.

    That is 1 − (1 − τ)^count, as long as the online network stays as it is in between.
    """
    return tau if count == 1 else 1 - (1 - tau) ** count


def action_values(q_values: Tensor, action: Tensor) -> Tensor:
    """Q(s, a) `[N]` of the actions taken `[N]` out of `q_values` `[N, A]`."""
    return q_values.gather(1, action.unsqueeze(1)).squeeze(1)


def huber_losses(value: Tensor, target: Tensor) -> Tensor:
    """Huber losses `[N]` with threshold 1 (Mnih et al. 2015, "error clipping")."""
    if value.shape != target.shape:
        raise ValueError(f"shapes differ: {tuple(value.shape)}, {tuple(target.shape)}")
    return torch.nn.functional.smooth_l1_loss(value, target, reduction="none")


def squared_error(values: Tensor, target: Tensor) -> Tensor:
    """Σ_k E[½ (Q_k − y)²] of K critics `[K, N]` towards one target `[N]`."""
    if values.shape[1:] != target.shape:
        raise ValueError(f"shapes differ: {tuple(values.shape)}, {tuple(target.shape)}")
    return 0.5 * (values - target).square().mean(1).sum()
