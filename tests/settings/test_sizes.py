"""Spaces that are refused for what they hold, before memory is taken for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.errors import UserError
from rltrain.settings.run import build_run
from rltrain.settings.sizes import check_sizes
from tests.conftest import small

BOX, BIT = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)
MANY = spaces.Discrete(10**9)


def nan_box() -> spaces.Box:
    box = spaces.Box(-1, 1, (2,))
    box.low = np.array([np.nan, 0], np.float32)
    return box


def crossed() -> spaces.Box:
    box = spaces.Box(-1, 1, (2,))
    box.high = np.array([-2, 0], np.float32)
    return box


@pytest.mark.parametrize(
    ("observations", "actions", "said"),
    [
        (
            spaces.Box(-1, 1, (0,)),
            BIT,
            r"observations Box\(.*\(0,\), float32\): it holds no number",
        ),
        (spaces.Dict(a=BOX, b=spaces.Box(0, 1, (2, 0))), BIT, r"as b: it holds no number"),
        (BOX, spaces.Box(-1, 1, (0,)), r"actions Box\(.*it holds no number"),
        (nan_box(), BIT, "its bounds are NaN"),
        (BOX, crossed(), "its low is above its high"),
        (MANY, BIT, r"observations Discrete\(1000000000\) .* GiB, and this machine has"),
        (BOX, MANY, r"actions Discrete\(1000000000\) are too many for algo=ppo"),
        (spaces.Dict(a=BOX, b=MANY), BIT, r"Dict\(a: Box.* b: Discrete\(1000000000\)\)"),
        (spaces.MultiDiscrete([10**9, 2]), BIT, r"MultiDiscrete\(\[1000000000 2\]\)"),
    ],
)
def test_spaces_that_nothing_can_learn_in(
    compose: Any, observations: Any, actions: Any, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        check_sizes(build_run(compose(*small("ppo"))), observations, actions)


def test_a_table_is_as_large_as_both_spaces_together(compose: Any) -> None:
    run = build_run(compose(*small("q_learning")))
    half = spaces.Discrete(10**6)
    check_sizes(run, half, BIT)
    with pytest.raises(UserError, match="a table of 1,000,000 × 1,000,000 values takes about 14,9"):
        check_sizes(run, half, half)


@pytest.mark.parametrize("space", [BOX, spaces.Discrete(1000), spaces.MultiDiscrete([9] * 99)])
def test_usual_spaces_are_taken(compose: Any, space: Any) -> None:
    check_sizes(build_run(compose(*small("ppo"))), space, BIT)
