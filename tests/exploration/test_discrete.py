from __future__ import annotations

import numpy as np
import pytest

from rltrain.exploration.discrete import Boltzmann, EpsilonGreedy
from rltrain.functional.exploration import boltzmann
from rltrain.functional.schedules import decayed
from rltrain.settings.explorations import BoltzmannSettings, EpsilonGreedySettings


@pytest.mark.parametrize(
    ("schedule", "fraction", "expected"),
    [
        ("constant", 0.5, 1.0),
        ("linear", 0.25, 0.7525),
        ("linear", 2.0, 0.01),
        ("exponential", 0.5, 0.1),  # √(1 · .01)
        ("exponential", 1.0, 0.01),
        ("exponential", 7.0, 0.01),
    ],
)
def test_values_fall(schedule: str, fraction: float, expected: float) -> None:
    assert decayed(schedule, 1.0, 0.01, fraction) == pytest.approx(expected)


def test_an_exponential_fall_to_zero_is_a_straight_line() -> None:
    assert decayed("exponential", 1.0, 0.0, 0.25) == 0.75


def test_epsilon_follows_its_share_of_training() -> None:
    e = EpsilonGreedy(EpsilonGreedySettings("epsilon_greedy", 1.0, 0.2, 0.5, "linear"))
    assert e.epsilon == 1.0
    assert e.advance(0.25) == {"rollout/exploration_rate": pytest.approx(0.6)}
    assert e.epsilon == pytest.approx(0.6)
    other = EpsilonGreedy(e.settings)
    other.load_state_dict(e.state_dict())
    assert other.epsilon == e.epsilon


def test_boltzmann_has_the_frequencies_of_its_distribution() -> None:
    q = np.tile(np.log([1.0, 2.0, 5.0]), (40_000, 1))
    share = np.bincount(boltzmann(q, 1.0, np.random.default_rng(0))) / len(q)
    # One deviation is at most √(¼/40000) = 0.0025.
    assert share == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.01)
    # At half the temperature probabilities are ∝ their squares: 1, 4, 25.
    share = np.bincount(boltzmann(q, 0.5, np.random.default_rng(0))) / len(q)
    assert share == pytest.approx([1 / 30, 4 / 30, 25 / 30], abs=0.01)


def test_boltzmann_stands_large_values() -> None:
    q = np.array([[1e6, -1e6], [0.0, 3e38]])
    assert boltzmann(q, 1e-3, np.random.default_rng(0)).tolist() == [0, 1]


def test_boltzmann_cools() -> None:
    b = Boltzmann(BoltzmannSettings("boltzmann", 1.0, 0.25, 1.0, "exponential"))
    assert b.advance(0.5) == {"rollout/temperature": pytest.approx(0.5)}
    cold = Boltzmann(BoltzmannSettings("boltzmann", 1e-6, 1e-6, 1.0, "constant"))
    q = np.array([[0.0, 1.0], [3.0, 2.0]])
    assert cold.choose(lambda: q, 2, 2, np.random.default_rng(0)).tolist() == [1, 0]
