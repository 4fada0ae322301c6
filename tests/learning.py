"""Margin for tests of learning: the last bits of a product decide which way a run goes.

They differ between processors, numbers of threads and releases of a library. A test that fails
for one of many seeds would fail on every machine whose last bits lead that way, so none depends
on a single seed. `python -m tests.kernels` runs these tests under several kernels.
"""

from __future__ import annotations

import functools
import inspect
import os
import warnings
from collections.abc import Callable
from typing import Any

import pytest

# The first seed is enough where it passes; where it fails, all others must pass.
SEEDS = tuple(map(int, os.environ.get("TEST_SEEDS", "0,1,2").split(",")))


def over_seeds(test: Callable[..., None]) -> Callable[..., None]:
    """Give a test of learning its argument `seed`, and a margin over seeds.

    The test passes with the first of `SEEDS`, or else with all others. A first seed that fails
    is reported as a warning.
    """
    signature = inspect.signature(test)
    first, *others = SEEDS

    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        try:
            test(seed=first, **arguments)
        except AssertionError as failure:
            if not others:
                raise
            warnings.warn(f"seed {first} fails, {others} decide: {failure}", stacklevel=1)
            for seed in others:
                test(seed=seed, **arguments)

    parameters = [p for name, p in signature.parameters.items() if name != "seed"]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return pytest.mark.learning(run)
