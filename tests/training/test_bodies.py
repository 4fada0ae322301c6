"""The size of a network's body, and which linear layers are hidden ones."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from torch import Tensor

from rltrain.core.layout import layout_of
from rltrain.settings.run import build_run
from rltrain.training.bodies import build_body, look_at, network_size

FOUR = gym.spaces.Box(-1, 1, (4,), np.float32)


@pytest.mark.parametrize(
    ("overrides", "parameters", "known"),
    [
        (["algo=ppo", "network.hidden_sizes=[64,64]"], 4 * 64 + 64 + 64 * 64 + 64, True),
        (["algo=dqn", "network.hidden_sizes=[3]"], 4 * 3 + 3, True),
        (["algo=ppo", "network.hidden_sizes=[3]", "network.shared=true"], 4 * 3 + 3, False),
        (["algo=q_learning", "env=FrozenLake-v1"], 0, False),
    ],
)
def test_parameters_of_a_body(
    compose: Any, overrides: list[str], parameters: int, known: bool
) -> None:
    run = build_run(compose("env=CartPole-v1", "tuned=none", *overrides))
    assert look_at(run, FOUR) == (parameters, known)
    assert network_size(run, FOUR) == parameters


def test_matrices_of_a_body_are_hidden_ones(compose: Any) -> None:
    run = build_run(compose("algo=ppo", "env=CartPole-v1", "tuned=none"))
    hidden: set[Tensor] = set()
    body = build_body(run, hidden, layout_of(FOUR))
    assert {tuple(w.shape) for w in hidden} == {(64, 4), (64, 64)}
    assert hidden <= set(body.parameters())
