"""Values that change with progress: functions of the absolute step, so a resume continues them."""

from __future__ import annotations

import math


def linear(start: float, end: float, fraction: float) -> float:
    """From `start` at fraction 0 to `end` at fraction 1, and `end` from there on."""
    fraction = min(max(fraction, 0.0), 1.0)
    return (1 - fraction) * start + fraction * end


def scheduled(value: float, schedule: str, fraction: float) -> float:
    """`value` as it stands (`constant`), or on its way to zero: straight (`linear`), or as half
    a wave (`cosine`: Loshchilov & Hutter 2017, eq. 5, without restarts)."""
    if schedule == "cosine":
        return value * (1 + math.cos(math.pi * min(max(fraction, 0.0), 1.0))) / 2
    return linear(value, 0.0, fraction) if schedule == "linear" else value


def warmed(value: float, share: float, fraction: float) -> float:
    """`value`, to which the first `share` of training rises in a straight line from 0."""
    return value * min(fraction / share, 1.0) if share else value


def decayed(schedule: str, start: float, end: float, fraction: float) -> float:
    """From `start` to `end` at fraction 1: in a straight line, by a constant factor, or never.

    `exponential` needs both above 0, and goes in a straight line where one is not.
    """
    if schedule == "constant":
        return start
    if schedule == "linear" or min(start, end) <= 0:
        return linear(start, end, fraction)
    return float(start * (end / start) ** min(max(fraction, 0.0), 1.0))
