"""Noise and scaling, by their moments and bounds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rltrain.augment.vectors import Noise, Scale


def test_noise_has_the_deviation_asked_for_in_units_of_white() -> None:
    noise = Noise(SimpleNamespace(std=0.1), np.random.default_rng(0))
    x = torch.full((100, 100), 100, dtype=torch.uint8)
    changed = noise(x, 255.0) - 100
    # Of 10,000 numbers the mean deviates by 25.5/100, the deviation by 25.5/√20,000.
    assert changed.mean().item() == pytest.approx(0, abs=1.0)
    assert changed.std().item() == pytest.approx(25.5, abs=0.8)
    assert not torch.equal(noise(x, 255.0), noise(x, 255.0))


def test_noise_follows_its_stream() -> None:
    x = torch.zeros(3, 4)
    one, other = (Noise(SimpleNamespace(std=1.0), np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(one(x, 1.0), other(x, 1.0))
    state = one.state_dict()
    after = one(x, 1.0)
    other.load_state_dict(state)
    assert torch.equal(other(x, 1.0), after)


def test_a_sample_has_one_factor_within_the_bounds() -> None:
    scale = Scale(SimpleNamespace(low=0.5, high=2.0), np.random.default_rng(0))
    x = torch.tensor([1.0, -2.0, 4.0]).repeat(500, 1)
    factors = scale(x, 1.0) / x
    assert torch.equal(factors[:, 0], factors[:, 2])
    assert 0.5 <= factors.min() < 0.52
    assert 1.98 < factors.max() <= 2.0
