import math

import numpy as np
import pytest

from rltrain.functional.returns import (
    explained_variance,
    gae,
    lambda_returns,
    monte_carlo,
    running_returns,
)

F, T = False, True


def column(values: list) -> np.ndarray:
    return np.array(values).reshape(-1, 1)


# γ = λ = 1/2, so γλ = 1/4; rewards 1, 2, 3 and V = 1 everywhere.
@pytest.mark.parametrize(
    ("next_values", "terminated", "truncated", "expected"),
    [
        # δ = r + 2/2 − 1 = 1, 2, 3; A₂ = 3, A₁ = 2 + 3/4, A₀ = 1 + 2.75/4
        ([2.0, 2.0, 2.0], [F, F, F], [F, F, F], [1.6875, 2.75, 3.0]),
        # δ₁ = 2 + 0 − 1 = 1 and nothing behind it; A₀ = 1 + 1/4
        ([2.0, 2.0, 2.0], [F, T, F], [F, F, F], [1.25, 1.0, 3.0]),
        # δ₁ = 2 + 10/2 − 1 = 6 and nothing behind it; A₀ = 1 + 6/4
        ([2.0, 10.0, 2.0], [F, F, F], [F, T, F], [2.5, 6.0, 3.0]),
        # Both flags: as the terminated case, the 10 does not count.
        ([2.0, 10.0, 2.0], [F, T, F], [F, T, F], [1.25, 1.0, 3.0]),
        # δ₂ = 3 + 0 − 1 = 2; A₁ = 2 + 2/4, A₀ = 1 + 2.5/4
        ([2.0, 2.0, 2.0], [F, F, T], [F, F, F], [1.625, 2.5, 2.0]),
        # δ₂ = 3 + 4/2 − 1 = 4; A₁ = 2 + 4/4, A₀ = 1 + 3/4
        ([2.0, 2.0, 4.0], [F, F, F], [F, F, T], [1.75, 3.0, 4.0]),
    ],
    ids=["running", "terminated", "truncated", "both", "last terminated", "last truncated"],
)
def test_gae_by_hand(
    next_values: list[float], terminated: list[bool], truncated: list[bool], expected: list[float]
) -> None:
    advantages = gae(
        column([1.0, 2.0, 3.0]),
        column([1.0, 1.0, 1.0]),
        column(next_values),
        column(terminated),
        column(truncated),
        gamma=0.5,
        gae_lambda=0.5,
    )
    assert advantages == pytest.approx(column(expected))


def test_gae_keeps_environments_apart() -> None:
    # Second column: δ₁ = 4 − 1 = 3 (terminated), δ₀ = 0 + 2/2 − 1 = 0, A₀ = 0 + 3/4
    advantages = gae(
        np.array([[1.0, 0.0], [2.0, 4.0]]),
        np.ones((2, 2)),
        np.full((2, 2), 2.0),
        np.array([[F, F], [F, T]]),
        np.zeros((2, 2), np.bool_),
        gamma=0.5,
        gae_lambda=0.5,
    )
    # First column: δ = 1, 2; A₀ = 1 + 2/4
    assert advantages == pytest.approx(np.array([[1.5, 0.75], [2.0, 3.0]]))


@pytest.mark.parametrize(
    ("gae_lambda", "expected"),
    # γ = 1/2, r = 1, 2, V = 3, V′ = 5 and 4: δ = 1 + 5/2 − 3 = 1/2 and 2 + 4/2 − 3 = 1.
    # λ = 0: A = δ. λ = 1: A₀ = 1/2 + 1/2.
    [(0.0, [0.5, 1.0]), (1.0, [1.0, 1.0])],
)
def test_gae_at_the_ends_of_lambda(gae_lambda: float, expected: list[float]) -> None:
    never = column([F, F])
    advantages = gae(
        column([1.0, 2.0]), column([3.0, 3.0]), column([5.0, 4.0]), never, never, 0.5, gae_lambda
    )
    assert advantages == pytest.approx(column(expected))


def test_gae_ignores_whatever_follows_a_termination() -> None:
    ended, never = column([T]), column([F])
    advantages = gae(column([2.0]), column([0.5]), column([math.nan]), ended, never, 0.9, 0.9)
    assert advantages == pytest.approx(column([1.5]))  # 2 + 0 − 0.5


def test_gae_of_float32_stays_float32() -> None:
    ones, never = np.ones((2, 1), np.float32), column([F, F])
    assert gae(ones, ones, ones, never, never, 0.5, 0.5).dtype == np.float32


def test_running_returns_across_an_episode_end() -> None:
    start = np.array([4.0])
    out = running_returns(column([1.0, 2.0, 3.0, 4.0]), column([F, T, F, F]), start, gamma=0.5)
    # 4 + 1 = 5; 5/2 + 2 = 4.5, ended; 0 + 3 = 3; 3/2 + 4 = 5.5
    assert out == pytest.approx(column([5.0, 4.5, 3.0, 5.5]))
    assert start.tolist() == [2.75]  # 5.5/2


def test_running_returns_start_at_zero_after_an_end_in_the_last_row() -> None:
    start = np.zeros(2)
    out = running_returns(np.array([[2.0, 6.0]]), np.array([[T, F]]), start, gamma=0.5)
    assert out.tolist() == [[2.0, 6.0]]
    assert start.tolist() == [0.0, 3.0]


def test_running_returns_of_two_halves_are_those_of_the_whole() -> None:
    rewards = np.arange(12.0).reshape(6, 2)
    ended = np.zeros((6, 2), np.bool_)
    ended[1, 0] = ended[3, 1] = True
    whole = running_returns(rewards, ended, np.zeros(2), gamma=0.5)
    start = np.zeros(2)
    halves = [running_returns(rewards[i : i + 3], ended[i : i + 3], start, 0.5) for i in (0, 3)]
    assert np.concatenate(halves).tolist() == whole.tolist()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0, 3.0, 4.0], 1.0),
        ([7.0, 7.0, 7.0, 7.0], 0.0),
        # Residuals 0, 0, 0, 4: mean 1, variance (1 + 1 + 1 + 9)/4 = 3; Var(returns) = 5/4.
        ([1.0, 2.0, 3.0, 0.0], 1 - 3 / 1.25),
        # A constant offset is no variance: residuals are all 5.
        ([-4.0, -3.0, -2.0, -1.0], 1.0),
    ],
)
def test_explained_variance_by_hand(values: list[float], expected: float) -> None:
    returns = np.array([1.0, 2.0, 3.0, 4.0])
    assert explained_variance(np.array(values), returns) == pytest.approx(expected)


def test_explained_variance_of_constant_returns_is_nan() -> None:
    assert math.isnan(explained_variance(np.array([1.0, 2.0]), np.array([3.0, 3.0])))


def test_lambda_returns_by_hand() -> None:
    """γ = ½, λ = ½; values of successors 8; three steps, one environment a case."""
    rewards = np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [3.0, 3.0, 3.0]])
    values = np.array([[8.0, 8.0, 8.0], [4.0, 16.0, 16.0], [2.0, 2.0, 2.0]])
    no = np.zeros((3, 3), np.bool_)
    terminated, truncated = no.copy(), no.copy()
    terminated[1, 1] = True
    truncated[1, 2] = True
    found = lambda_returns(rewards, values, terminated, truncated, 0.5, 0.5)
    # the last row bootstraps alone: 3 + ½ · 2 = 4
    assert found[2].tolist() == [4.0, 4.0, 4.0]
    # 2 + ½ (½ 4 + ½ 4) = 4; terminated: 2; truncated: 2 + ½ · 16 = 10, of its own final value
    assert found[1].tolist() == [4.0, 2.0, 10.0]
    # 1 + ½ (½ 8 + ½ · 4) = 4; 1 + ½ (½ 8 + ½ · 2) = 3.5; 1 + ½ (½ 8 + ½ · 10) = 5.5
    assert found[0].tolist() == [4.0, 3.5, 5.5]


def test_lambda_returns_where_both_flags_are_set_do_not_bootstrap() -> None:
    one = np.ones((2, 1))
    both = np.array([[True], [False]])
    found = lambda_returns(one, 100 * one, both, both, 0.9, 0.5)
    assert found[0, 0] == 1.0


@pytest.mark.parametrize("seed", [0, 1])
def test_lambda_returns_are_values_plus_advantages(seed: int) -> None:
    """G^λ = A^GAE + V, of values that are those of the rows before: another recursion."""
    rng = np.random.default_rng(seed)
    rewards, values = rng.standard_normal((2, 12, 3))
    terminated, truncated = rng.random((2, 12, 3)) < 0.15
    next_values = rng.standard_normal((12, 3))
    going_on = ~(terminated | truncated)[:-1]
    next_values[:-1][going_on] = values[1:][going_on]
    arguments = (next_values, terminated, truncated, 0.9, 0.7)
    found = lambda_returns(rewards, *arguments)
    np.testing.assert_allclose(found, gae(rewards, values, *arguments) + values)


def test_lambda_returns_keep_single_precision() -> None:
    row = np.ones((4, 2), np.float32)
    no = np.zeros((4, 2), np.bool_)
    assert lambda_returns(row, row, no, no, 0.9, 0.5).dtype == np.float32


# γ = 1/2, rewards 1, 2, 4, and 10 of the final observation of each row.
@pytest.mark.parametrize(
    ("terminated", "truncated", "expected"),
    [
        # 2 + 4/2, 1 + 4/2
        ([F, F, T], [F, F, F], [3.0, 4.0, 4.0]),
        ([F, T, T], [F, F, F], [2.0, 2.0, 4.0]),
        # 4 + 10/2, 2 + 9/2, 1 + 6.5/2
        ([F, F, F], [F, F, T], [4.25, 6.5, 9.0]),
        # 2 + 10/2, 1 + 7/2
        ([F, F, T], [F, T, F], [4.5, 7.0, 4.0]),
        # Both flags: termination wins.
        ([F, T, T], [F, T, F], [2.0, 2.0, 4.0]),
    ],
    ids=["terminated", "twice", "truncated", "truncated, terminated", "both"],
)
def test_monte_carlo_by_hand(
    terminated: list[bool], truncated: list[bool], expected: list[float]
) -> None:
    rewards = column([1.0, 2.0, 4.0])
    finals = np.full((3, 1), 10.0)
    found = monte_carlo(rewards, finals, column(terminated), column(truncated), 0.5)
    assert found[:, 0].tolist() == expected


def test_monte_carlo_keeps_environments_apart() -> None:
    rewards = np.array([[1, 5], [2, 6]], np.float32)
    terminated = np.array([[F, T], [T, T]])
    found = monte_carlo(rewards, np.zeros_like(rewards), terminated, np.zeros_like(terminated), 0.5)
    assert found.tolist() == [[2, 5], [2, 6]]
    assert found.dtype == np.float32


def test_monte_carlo_is_gae_with_lambda_1_and_the_value() -> None:
    rng = np.random.default_rng(0)
    rewards, values, next_values = rng.standard_normal((3, 20, 4))
    next_values[:-1] = values[1:]
    terminated, truncated = rng.random((2, 20, 4)) < 0.2
    truncated[-1] |= ~terminated[-1]
    next_values[truncated] = 7.0
    advantages = gae(rewards, values, next_values, terminated, truncated, 0.9, 1.0)
    finals = np.where(truncated, next_values, 0)
    found = monte_carlo(rewards, finals, terminated, truncated, 0.9)
    np.testing.assert_allclose(found, advantages + values)
