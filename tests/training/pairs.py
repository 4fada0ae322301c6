"""A covering array of strength two: runs in which every allowed pair of choices occurs.

Factors and their levels are read from the YAML and the registry, so that a new choice joins by
itself. The order is fixed and nothing is drawn, so that a name stands for the same run.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import combinations
from typing import Any

from rltrain.settings import registry
from rltrain.settings.defaults import choices, defaults

Row = dict[str, str]
Pair = frozenset[tuple[str, str]]

# Kinds of actions, as `tests.training.kinds` makes them, by the kind that entries declare.
ACTIONS = {
    "discrete": "Discrete",
    "multi_discrete": "MultiDiscrete",
    "multi_binary": "MultiBinary",
    "box": "Box",
    "wide_box": "Box",
    "integer_box": "Box",
}


@functools.cache
def levels() -> dict[str, tuple[str, ...]]:
    """The choices of each factor; of networks, one for each class and for none."""
    known = registry.entries("network")
    return {
        "algo": tuple(choices("algo")),
        "exploration": tuple(choices("exploration")),
        "intrinsic": tuple(choices("intrinsic")),
        "network": tuple(sorted(known)),
        "ema": ("null", "0.9"),
        "optimizer": tuple(choices("optimizer")),
        "num_envs": ("1", "3"),
        "agents": ("1", "2"),
        "actions": tuple(ACTIONS),
    }


@functools.cache
def values_of(algo: str) -> dict[str, Any]:
    return defaults("algo", algo)


def entry_of(algo: str) -> registry.Entry:
    return registry.entry("algo", values_of(algo).get("name", algo))


def allowed(row: Row) -> bool:
    """Whether a row, or a part of one, is a run that rltrain takes, by what entries declare."""
    tabular = "none" in (row.get("network"), row.get("optimizer"))
    if row.get("agents") == "2" and row.get("intrinsic", "none") != "none":
        return False
    if tabular and row.get("ema") == "0.9":
        return False  # there is nothing to average
    if "algo" not in row:
        return True
    entry = entry_of(row["algo"])
    # Sequences of a replay are drawn uniformly.
    sequences = entry.recurrent and not values_of(row["algo"]).get("prioritized", False)
    checks = {
        "exploration": lambda level: level in entry.explorations,
        "intrinsic": lambda level: level == "none" or not needs_data(row["algo"]),
        "network": lambda level: (
            (level != "none") == entry.networks
            and (sequences or not registry.entry("network", level).recurrent)
        ),
        "optimizer": lambda level: (level != "none") == entry.networks,
        "agents": lambda level: (level == "2") == entry.multi_agent,
        "actions": lambda level: ACTIONS[level] in entry.actions,
        "ema": lambda level: level == "null" or entry.networks,
    }
    return all(holds(row[name]) for name, holds in checks.items() if name in row)


def needs_data(algo: str) -> bool:
    return entry_of(algo).data == "only" or algo == "rlpd"


def completed(part: Row, factors: dict[str, tuple[str, ...]], open_pairs: set[Pair]) -> Row:
    """Return a whole row that holds `part` and many pairs that are open."""
    for name in factors:
        if name not in part:
            steps = [{**part, name: level} for level in factors[name]]
            gains = [len(open_pairs.intersection(pairs_of(step))) for step in steps]
            best = sorted(range(len(steps)), key=gains.__getitem__, reverse=True)
            part = next(steps[i] for i in best if can_end(frozenset(steps[i].items())))
    return part


@functools.cache
def can_end(part: frozenset[tuple[str, str]]) -> bool:
    """Whether some whole row that is allowed holds `part`."""
    row, factors = dict(part), levels()
    if not allowed(row):
        return False
    left = next((name for name in factors if name not in row), None)
    return left is None or any(can_end(part | {(left, level)}) for level in factors[left])


def pairs_of(row: Row) -> Iterator[Pair]:
    return (frozenset(pair) for pair in combinations(row.items(), 2))


def covering_array() -> list[Row]:
    """Return rows that hold each pair of levels that any allowed row holds."""
    factors = levels()
    possible = [
        frozenset({(a, x), (b, y)})
        for a, b in combinations(factors, 2)
        for x in factors[a]
        for y in factors[b]
        if can_end(frozenset({(a, x), (b, y)}))
    ]
    open_pairs = set(possible)
    rows: list[Row] = []
    for pair in possible:
        if pair in open_pairs:
            row = completed(dict(sorted(pair)), factors, open_pairs)
            rows.append({name: row[name] for name in factors})
            open_pairs.difference_update(pairs_of(row))
    return rows
