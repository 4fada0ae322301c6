"""`python -m benchmarks.speed.pieces`: what single operations cost here, in microseconds.

The pairs that decided how the fast paths are written; `TRIED.md` says what came of them.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import timeit
from dataclasses import make_dataclass
from typing import Any, NamedTuple

import numpy as np

F = np.float32
RNG = np.random.default_rng(0)
NAMES = list("abcdefg")
Frozen = make_dataclass("Frozen", NAMES, frozen=True, slots=True)


class Named(NamedTuple):
    a: int
    b: int
    c: int
    d: int
    e: int
    f: int
    g: int


def rows(*shape: int) -> Any:
    return RNG.standard_normal(shape, F)


SETTING: dict[str, Any] = {
    "np": np,
    "rng": RNG,
    "zero": np.zeros((), F),
    "flags": np.zeros(8, np.bool_),
    "x1": rows(1, 64),
    "x64": rows(64, 64),
    "w": rows(64, 64),
    "pair": rows(2, 64, 64),
    "weights": rows(2, 64, 64),
    "out": rows(64, 64),
    "outs": rows(2, 64, 64),
    "column": rows(10_000, 4),
    "index": RNG.integers(10_000, size=128),
    "vector": rows(64),
    "Frozen": Frozen,
    "Named": Named,
}
PAIRS = (
    ("one row through a layer", "x1 @ w.T", "x1.dot(w.T)"),
    ("64 rows through a layer", "x64 @ w.T", "x64.dot(w.T)"),
    ("the same into an array", "x64.dot(w.T)", "np.dot(x64, w.T, out=out)"),
    (
        "two networks' layers as one product",
        "x64.dot(w); x64.dot(w)",
        "np.matmul(pair, weights, out=outs)",
    ),
    ("rows of a replay column", "column[index]", "column.take(index, 0)"),
    ("is a flag set", "flags.any()", "1 in flags.tobytes()"),
    ("are all numbers finite", "np.isfinite(vector).all()", "vector.dot(vector)"),
    ("a record of seven fields", "Frozen(1, 2, 3, 4, 5, 6, 7)", "Named(1, 2, 3, 4, 5, 6, 7)"),
    ("one random action", "rng.integers(2, size=1)", "(rng.random(1) * 2).astype(np.int64)"),
    ("a mean", "vector.mean()", "np.add.reduce(vector) / 64"),
    ("a clip", "np.clip(vector, -1, 1)", "np.minimum(np.maximum(vector, -1), 1)"),
    ("ReLU", "np.maximum(x64, 0, out=out)", "np.maximum(x64, zero, out=out)"),
)


def microseconds(statement: str) -> float:
    """The best of five tries, of 2,000 each."""
    tries = timeit.repeat(statement, globals=SETTING, number=2000, repeat=5)
    return min(tries) / 2000 * 1e6


if __name__ == "__main__":
    print("| piece | plain | µs | instead | µs |\n|---|---|---|---|---|")
    for name, plain, instead in PAIRS:
        times = f"| {microseconds(plain):.2f} | `{instead}` | {microseconds(instead):.2f} |"
        print(f"| {name} | `{plain}` {times}")
