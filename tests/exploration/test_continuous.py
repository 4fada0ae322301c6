from __future__ import annotations

import numpy as np
import pytest

from rltrain.exploration.continuous import Gaussian, OrnsteinUhlenbeck
from rltrain.settings.explorations import GaussianSettings, OrnsteinUhlenbeckSettings


def gaussian(std: float = 0.1, final: float = 0.1, schedule: str = "constant") -> Gaussian:
    return Gaussian(GaussianSettings("gaussian", std, final, 1.0, schedule))  # type: ignore[arg-type]


def test_gaussian_noise_has_its_deviation_and_stays_within_bounds() -> None:
    zero = np.zeros((20_000, 2), np.float32)
    noisy, state = gaussian().perturb(zero, None, np.random.default_rng(0))
    assert state is None
    assert noisy.dtype == np.float32
    assert noisy.std(0) == pytest.approx([0.1, 0.1], abs=0.003)
    assert abs(noisy.mean()) < 0.003
    edge, _ = gaussian(0.5).perturb(zero + 1, None, np.random.default_rng(0))
    assert edge.max() == 1
    assert edge.min() < 0.5
    assert not zero.any()


def test_gaussian_noise_may_fall() -> None:
    noise = gaussian(0.4, 0.1, "linear")
    assert noise.advance(0.5) == {"rollout/noise_std": pytest.approx(0.25)}


def ou(std: float = 0.2, theta: float = 0.15, dt: float = 0.01) -> OrnsteinUhlenbeck:
    return OrnsteinUhlenbeck(OrnsteinUhlenbeckSettings("ornstein_uhlenbeck", std, theta, dt))


def test_the_process_is_its_equation() -> None:
    noise, action = ou(), np.zeros((2, 3), np.float32)
    rng, drawn = np.random.default_rng(5), np.random.default_rng(5)
    state = noise.initial_state(2)
    x = np.zeros((2, 3))
    for _ in range(4):
        noisy, state = noise.perturb(action, state, rng)
        x = x - 0.15 * x * 0.01 + 0.2 * np.sqrt(0.01) * drawn.standard_normal((2, 3), np.float32)
        np.testing.assert_allclose(noisy, x, atol=1e-6)


def test_an_episode_begins_at_zero_and_others_go_on() -> None:
    noise = ou(std=0.0)
    state = noise.restart(np.ones((3, 2), np.float32), np.array([False, True, False]))
    assert state.tolist() == [[1, 1], [0, 0], [1, 1]]
    noisy, _ = noise.perturb(np.zeros((3, 2), np.float32), state, np.random.default_rng(0))
    assert noisy[:, 0] == pytest.approx([1 - 0.0015, 0, 1 - 0.0015])


def test_no_action_leaves_the_bounds() -> None:
    noise = ou(std=50.0)
    noisy, state = noise.perturb(
        np.zeros((9, 2), np.float32), noise.initial_state(9), np.random.default_rng(0)
    )
    assert np.abs(noisy).max() == 1
    assert np.abs(state).max() > 1  # the process itself is not bounded
