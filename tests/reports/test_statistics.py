"""Scores over runs, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rltrain.reports.statistics import bootstrap_interval, interquartile_mean


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([5.0], 5.0),
        ([1.0, 2.0], 1.5),
        ([1.0, 2.0, 6.0], 3.0),  # a quarter of three is no whole run
        ([-100.0, 2.0, 4.0, 100.0], 3.0),
        ([100.0, 4.0, -100.0, 2.0], 3.0),
        ([0.0, 1.0, 2.0, 6.0, 90.0], 3.0),
        ([-9.0, -8.0, 1.0, 2.0, 3.0, 6.0, 50.0, 60.0], 3.0),
    ],
)
def test_the_interquartile_mean_leaves_out_a_quarter_on_each_side(
    scores: list[float], expected: float
) -> None:
    assert interquartile_mean(scores) == expected


def test_scores_may_be_whole_numbers_and_are_not_reordered() -> None:
    scores = [3, 1, 2]
    assert interquartile_mean(scores) == 2.0
    assert scores == [3, 1, 2]


def test_the_interval_of_one_value_is_that_value() -> None:
    assert bootstrap_interval([7.0]) == (7.0, 7.0)
    assert bootstrap_interval([7.0] * 6) == (7.0, 7.0)


@pytest.mark.parametrize(
    ("level", "expected"),
    [(0.95, (0.0, 1.0)), (0.6, (0.0, 1.0)), (0.4, (0.5, 0.5))],
)
def test_the_interval_of_two_values_is_known(level: float, expected: tuple[float, float]) -> None:
    """Of two runs drawn from 0 and 1 the mean is 0, ½ or 1, in ¼, ½ and ¼ of the draws."""
    assert bootstrap_interval([0.0, 1.0], level) == expected


def test_the_interval_of_many_values_is_that_of_their_mean() -> None:
    """For what is left of normal scores: σ of the interquartile mean is about 1.08 σ / √n."""
    scores = np.random.default_rng(0).normal(10, 2, 400).tolist()
    low, high = bootstrap_interval(scores)
    assert low < interquartile_mean(scores) < high
    assert high - low == pytest.approx(2 * 1.96 * 1.08 * 2 / 20, rel=0.2)


def test_the_interval_is_the_same_every_time_and_wider_for_more_certainty() -> None:
    scores = [1.0, 4.0, 2.0, 8.0, 5.0, 7.0]
    assert bootstrap_interval(scores) == bootstrap_interval(scores)
    (low, high), (lower, higher) = bootstrap_interval(scores, 0.5), bootstrap_interval(scores, 0.99)
    assert lower < low < high < higher
    assert bootstrap_interval(scores, resamples=50) != bootstrap_interval(scores, resamples=51)
