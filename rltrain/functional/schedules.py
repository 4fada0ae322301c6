"""Values that change with progress: functions of the absolute step, so a resume continues them."""

from __future__ import annotations


def linear(start: float, end: float, fraction: float) -> float:
    """From `start` at fraction 0 to `end` at fraction 1, and `end` from there on."""
    fraction = min(max(fraction, 0.0), 1.0)
    return (1 - fraction) * start + fraction * end


def scheduled(value: float, schedule: str, fraction: float) -> float:
    """`value` as it stands (`constant`) or on its straight way to zero (`linear`)."""
    return linear(value, 0.0, fraction) if schedule == "linear" else value


def decayed(schedule: str, start: float, end: float, fraction: float) -> float:
    """From `start` to `end` at fraction 1: in a straight line, by a constant factor, or never.

    `exponential` needs both above 0, and goes in a straight line where one is not.
    """
    if schedule == "constant":
        return start
    if schedule == "linear" or min(start, end) <= 0:
        return linear(start, end, fraction)
    return float(start * (end / start) ** min(max(fraction, 0.0), 1.0))
