"""Returns and advantages over a rollout.

Legend: T steps, B environments; all arrays are time-major `[T, B]`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Flags = NDArray[np.bool_]


def gae(
    rewards: Array,
    values: Array,
    next_values: Array,
    terminated: Flags,
    truncated: Flags,
    gamma: float,
    gae_lambda: float,
) -> Array:
    """Generalised advantage estimates `[T, B]` (Schulman et al. 2016, eq. 16).

    `next_values[t]` is V of the true successor of step t, also where an episode was
    truncated. Where an episode terminated it does not count; where both flags are
    set, termination wins (Pardo et al. 2018).

        δ_t = r_t + γ (1 − terminated_t) V(s_{t+1}) − V(s_t)
        A_t = δ_t + γλ (1 − ended_t) A_{t+1},   ended = terminated or truncated
    """
    deltas = rewards + gamma * np.where(terminated, 0, next_values) - values
    carry = gamma * gae_lambda * ~(terminated | truncated)
    advantages = np.empty_like(deltas)
    running = np.zeros_like(deltas[0])
    for t in range(len(deltas) - 1, -1, -1):
        running = deltas[t] + carry[t] * running
        advantages[t] = running
    return advantages


def running_returns(rewards: Array, ended: Flags, start: Array, gamma: float) -> Array:
    """Discounted sum of rewards so far in each episode `[T, B]`.

        R_t = γ R_{t−1} (1 − ended_{t−1}) + r_t

    `start` `[B]` is γ R_{−1}, zero where an episode begins; it is overwritten with what
    the next rollout has to start from.
    """
    out = np.empty_like(rewards, dtype=np.float64)
    for t, reward in enumerate(rewards):
        out[t] = start + reward
        start[...] = gamma * out[t] * ~ended[t]
    return out


def explained_variance(values: Array, returns: Array) -> float:
    """1 − Var(returns − values) / Var(returns): 1 is perfect, 0 no better than a constant.

    NaN where the returns do not vary.
    """
    variance = float(np.var(returns))
    return float("nan") if variance == 0 else 1 - float(np.var(returns - values)) / variance


def lambda_returns(
    rewards: Array,
    next_values: Array,
    terminated: Flags,
    truncated: Flags,
    gamma: float,
    lambda_: float,
) -> Array:
    """λ-returns `[T, B]`, computed backwards (Sutton & Barto 2018, eq. 12.18).

    `next_values[t]` is the value of the true successor of step t, also where an episode was
    truncated: there, and after the last row, the return bootstraps from it alone.

        G_t = r_t + γ (1 − terminated_t) [(1 − λ_t) V(s_{t+1}) + λ_t G_{t+1}]
        λ_t = λ (1 − ended_t), and 0 in the last row;   ended = terminated or truncated
    """
    carry = np.where(terminated | truncated, 0, lambda_).astype(rewards.dtype)
    carry[-1] = 0
    discount = np.where(terminated, 0, gamma).astype(rewards.dtype)
    returns = np.empty_like(rewards)
    running = np.zeros_like(rewards[0])
    for t in range(len(rewards) - 1, -1, -1):
        mixed = next_values[t] + carry[t] * (running - next_values[t])
        running = rewards[t] + discount[t] * mixed
        returns[t] = running
    return returns


def monte_carlo(
    rewards: Array, final_values: Array, terminated: Flags, truncated: Flags, gamma: float
) -> Array:
    """Discounted returns `[T, B]` to the end of each episode (Sutton & Barto 2018, eq. 3.8).

        G_t = r_t + γ G_{t+1};   the last of an episode: r_t, and γ V(s_{t+1}) if truncated

    `final_values[t]` counts where step t was truncated and not terminated. Rows after an
    environment's last ended step belong to no whole episode and mean nothing.
    """
    returns = np.empty_like(rewards)
    running = np.zeros_like(rewards[0])
    for t in range(len(rewards) - 1, -1, -1):
        running = np.where(truncated[t], final_values[t], running)
        running = rewards[t] + gamma * np.where(terminated[t], 0, running)
        returns[t] = running
    return returns
