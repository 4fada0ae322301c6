from typing import Any

import numpy as np
import pytest

from rltrain.functional.exploration import epsilon_greedy


def chosen_by(
    greedy: np.ndarray, num_actions: int, epsilon: float, rng: np.random.Generator
) -> Any:
    return epsilon_greedy(lambda: greedy, len(greedy), num_actions, epsilon, rng)


def test_zero_keeps_the_greedy_actions() -> None:
    greedy = np.arange(1000) % 4
    assert chosen_by(greedy, 4, 0.0, np.random.default_rng(0)).tolist() == greedy.tolist()


def test_one_replaces_every_action_by_a_valid_one() -> None:
    chosen = chosen_by(np.full(1000, 99), 4, 1.0, np.random.default_rng(0))
    assert sorted(set(chosen.tolist())) == [0, 1, 2, 3]


def test_exploring_has_the_frequency_of_epsilon() -> None:
    chosen = chosen_by(np.zeros(20_000, np.int64), 4, 0.4, np.random.default_rng(0))
    # A share of 0.4/4 for every other action, 1 − 3 · 0.1 for the greedy one; one deviation
    # is √(0.1 · 0.9/20000) = 0.002.
    share = np.bincount(chosen) / len(chosen)
    assert share == pytest.approx([0.7, 0.1, 0.1, 0.1], abs=0.008)


def test_the_greedy_actions_are_left_as_they_are() -> None:
    greedy = np.zeros(50, np.int64)
    chosen_by(greedy, 4, 1.0, np.random.default_rng(0))
    assert greedy.tolist() == [0] * 50


def test_one_generator_state_gives_one_result() -> None:
    greedy = np.zeros(50, np.int64)
    runs = [chosen_by(greedy, 9, 0.5, np.random.default_rng(7)).tolist() for _ in range(2)]
    assert runs[0] == runs[1]


def test_the_greedy_actions_are_not_asked_for_in_vain() -> None:
    def fail() -> np.ndarray:
        raise AssertionError

    rng, other = np.random.default_rng(0), np.random.default_rng(0)
    epsilon_greedy(fail, 5, 3, 1.0, rng)
    epsilon_greedy(lambda: np.zeros(5, np.int64), 5, 3, 0.5, other)
    assert rng.bit_generator.state == other.bit_generator.state
