"""From rounds of figures to ratios, and what differs in the work behind them.

A round is one run of every side, in turn. A side that could not is `{"reason": ...}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.speed.rows import Row

Round = Mapping[str, Mapping[str, Any]]
OURS = "rltrain"
TOLERANCES = {"steps": 0.03, "updates": 0.03, "batch_size": 0.0, "parameters": 0.05}
OVERLAP = 0.15


def able(rounds: Sequence[Round]) -> list[str]:
    """The peers that did the row in every round."""
    names = [name for name in rounds[0] if name not in (OURS, "light")]
    return [n for n in names if all("reason" not in r.get(n, {"reason": ""}) for r in rounds)]


def reasons(rounds: Sequence[Round]) -> dict[str, str]:
    """Why a side could not."""
    return {n: s["reason"] for r in rounds for n, s in r.items() if "reason" in s}


def cost(figure: str, kind: str) -> Callable[[Mapping[str, Any]], float]:
    """Seconds of a side's work: of a step where sides may differ in steps, else of all."""
    if kind == "train":
        return lambda side: float(side[figure] / side["steps"])
    return lambda side: float(side[figure])


def ratios(rounds: Sequence[Round], figure: str, kind: str) -> tuple[str, list[float]]:
    """The cheapest peer by its median, and its cost over rltrain's in each round."""
    of, peers = cost(figure, kind), able(rounds)
    cheapest = min(peers, key=lambda p: float(np.median([of(r[p]) for r in rounds])))
    return cheapest, [of(r[cheapest]) / of(r[OURS]) for r in rounds]


def unequal(rounds: Sequence[Round]) -> list[str]:
    """What differs in the counted work of rltrain and a peer by more than `TOLERANCES`."""
    says = []
    for peer in able(rounds):
        for figure, tolerance in TOLERANCES.items():
            pairs = [(r[OURS].get(figure), r[peer].get(figure)) for r in rounds]
            known = [(a, b) for a, b in pairs if a is not None and b is not None]
            off = [(a, b) for a, b in known if abs(a - b) > tolerance * max(a, b)]
            if off:
                ours, theirs = off[0]
                says.append(f"{figure}: rltrain {ours:,}, {peer} {theirs:,}")
    return says


def apart(rounds: Sequence[Round]) -> list[str]:
    """Whose mean return at the end is another's.

    It is the same where the ranges over rounds overlap, or the means differ by no more
    than `OVERLAP` of the larger one.
    """
    says = []
    ours = _returns(rounds, OURS)
    for peer in able(rounds):
        theirs = _returns(rounds, peer)
        if ours and theirs and not overlap(ours, theirs):
            says.append(f"return: rltrain {_range(ours)}, {peer} {_range(theirs)}")
    return says


def overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    if min(a) <= max(b) and min(b) <= max(a):
        return True
    x, y = float(np.mean(a)), float(np.mean(b))
    return abs(x - y) <= OVERLAP * max(abs(x), abs(y))


def unsolved(rounds: Sequence[Round]) -> list[str]:
    """Sides that reached the end of their steps first: their time is too short."""
    sides = {n for r in rounds for n, s in r.items() if s.get("solved") is False}
    return [f"{name} did not get there in every round" for name in sorted(sides)]


def differences(rounds: Sequence[Round], kind: str) -> str:
    """What a reader of a ratio must know of the work behind it; empty where it is the same."""
    if kind == "train":
        return "; ".join(unequal(rounds) + apart(rounds))
    if kind == "solve":
        return "; ".join(unsolved(rounds))
    return "; ".join(unequal(rounds))


def light(rounds: Sequence[Round]) -> list[float]:
    """Speed-of-light time over rltrain's whole process, in each round that has one."""
    return [r["light"]["T"] / r[OURS]["whole"] for r in rounds if "T" in r.get("light", {})]


def shortfall(row: Row, rounds: Sequence[Round]) -> float:
    """The smallest share of an aim that was reached: below 1, one was missed."""
    shares = []
    if "reason" in rounds[-1][OURS] or not able(rounds):
        return 0.0
    if row.steady_aim:
        shares.append(np.median(ratios(rounds, "seconds", row.kind)[1]) / row.steady_aim)
    if row.whole_aim:
        figure = "peak_mib" if row.kind == "memory" else "whole"
        shares.append(np.median(ratios(rounds, figure, row.kind)[1]) / row.whole_aim)
    if row.light_aim and light(rounds):
        shares.append(np.median(light(rounds)) / row.light_aim)
    return float(min(shares))


def interval(values: Sequence[float], resamples: int = 2000) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the median; of few rounds, their range."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(np.asarray(values, np.float64), (resamples, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(low), float(high)


def summary(values: Sequence[float]) -> str:
    """The median with its interval."""
    low, high = interval(values)
    return f"{np.median(values):.3g} ({low:.3g} … {high:.3g})"


def _returns(rounds: Sequence[Round], side: str) -> list[float]:
    found = [r[side].get("mean_return") for r in rounds]
    return [x for x in found if x is not None and np.isfinite(x)]


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.0f} … {max(values):.0f}"
