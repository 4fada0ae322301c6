from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rltrain.core.errors import TrainingError
from rltrain.core.types import Progress, Transition
from rltrain.settings.run import build_run
from rltrain.training.build import build_algorithm, build_envs


def transition(obs: list[int], action: list[int], reward: list[float], **flags: Any) -> Transition:
    no = [False] * len(obs)
    return Transition(
        np.array(obs),
        np.array(action),
        np.array(reward, np.float32),
        np.array(flags.get("terminated", no)),
        np.array(flags.get("truncated", no)),
        np.array(flags["successor"]),
        {},
    )


@pytest.fixture
def algorithm(compose: Any) -> Any:
    run = build_run(
        compose(
            "algo=q_learning", "env=FrozenLake-v1", "tuned=none", "algo.gamma=0.5", "env.num_envs=2"
        )
    )
    return build_algorithm(run, build_envs(run))


def test_one_update_by_hand(algorithm: Any) -> None:
    q = algorithm.policy.table
    q[0, 1], q[5] = 2.0, [1.0, 4.0, 3.0, 0.0]
    algorithm.memory.add(transition([0, 1], [1, 2], [1.0, 1.0], successor=[5, 5]))
    algorithm.update(Progress(100))
    assert q[0, 1] == pytest.approx(2.0 + 0.1 * (1 + 0.5 * 4 - 2))
    assert q[1, 2] == pytest.approx(0.1 * (1 + 0.5 * 4))


def test_termination_does_not_bootstrap_and_truncation_does(algorithm: Any) -> None:
    q = algorithm.policy.table
    q[5] = 4.0
    algorithm.memory.add(
        transition(
            [0, 1],
            [0, 0],
            [1.0, 1.0],
            successor=[5, 5],
            terminated=[True, False],
            truncated=[False, True],
        )
    )
    algorithm.update(Progress(100))
    assert q[0, 0] == pytest.approx(0.1 * 1)
    assert q[1, 0] == pytest.approx(0.1 * (1 + 0.5 * 4))


def test_two_environments_in_one_state_both_count(algorithm: Any) -> None:
    algorithm.memory.add(transition([3, 3], [1, 1], [1.0, 2.0], successor=[3, 3]))
    algorithm.update(Progress(100))
    assert algorithm.policy.table[3, 1] == pytest.approx(0.1 * 1 + 0.1 * 2)


def test_a_target_that_is_no_number_is_not_applied(algorithm: Any) -> None:
    algorithm.memory.add(transition([0, 1], [0, 0], [np.nan, 1.0], successor=[2, 2]))
    with pytest.raises(TrainingError, match="td_error"):
        algorithm.update(Progress(100))
    assert not algorithm.policy.table.any()
