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


def test_environments_in_one_state_move_it_in_turn(algorithm: Any) -> None:
    algorithm.memory.add(transition([3, 3], [1, 1], [1.0, 2.0], successor=[3, 3]))
    algorithm.update(Progress(100))
    first = 0.1 * 1
    assert algorithm.policy.table[3, 1] == pytest.approx(first + 0.1 * (2 - first))


def test_many_environments_in_one_state_never_pass_their_target(compose: Any) -> None:
    """After n updates of B environments with target y, Q is y (1 − (1 − α)^(n B))."""
    algorithm = of(compose, "algo.learning_rate=0.5", "env.num_envs=32", "algo.gamma=0")
    for _ in range(3):
        algorithm.memory.add(transition([3] * 32, [1] * 32, [4.0] * 32, successor=[3] * 32))
        algorithm.update(Progress(100))
    assert algorithm.policy.table[3, 1] == pytest.approx(4 * (1 - 0.5**96))
    slow = of(compose, "algo.learning_rate=0.01", "env.num_envs=32", "algo.gamma=0")
    slow.memory.add(transition([3] * 32, [1] * 32, [4.0] * 32, successor=[3] * 32))
    slow.update(Progress(100))
    assert slow.policy.table[3, 1] == pytest.approx(4 * (1 - 0.99**32))


def test_a_target_that_is_no_number_is_not_applied(algorithm: Any) -> None:
    algorithm.memory.add(transition([0, 1], [0, 0], [np.nan, 1.0], successor=[2, 2]))
    with pytest.raises(TrainingError, match="td_error"):
        algorithm.update(Progress(100))
    assert not algorithm.policy.table.any()


def of(compose: Any, *overrides: str) -> Any:
    settings = ["algo=q_learning", "env=FrozenLake-v1", "tuned=none", "algo.gamma=0.5"]
    run = build_run(compose(*settings, "env.num_envs=2", *overrides))
    return build_algorithm(run, build_envs(run))


def rates(algorithm: Any, *steps: tuple[list[int], list[int]]) -> list[float]:
    found = []
    for i, (obs, action) in enumerate(steps):
        algorithm.memory.add(transition(obs, action, [1.0, 1.0], successor=[9, 9]))
        progress = Progress(10)
        progress.steps = 2 * i
        found.append(algorithm.update(progress)["train/learning_rate"])
    return found


def test_a_linear_rate_falls_to_zero(compose: Any) -> None:
    algorithm = of(compose, "algo.learning_rate_schedule=linear", "algo.learning_rate=0.5")
    step = ([0, 1], [0, 0])
    assert rates(algorithm, step, step, step) == pytest.approx([0.5, 0.4, 0.3])


def test_an_inverse_rate_is_over_the_visits_of_the_pair(compose: Any) -> None:
    algorithm = of(compose, "algo.learning_rate_schedule=inverse", "algo.learning_rate=0.8")
    found = rates(
        algorithm,
        ([0, 1], [0, 0]),  # first visits of both: .8
        ([0, 2], [0, 0]),  # a second and a first: .4 and .8
        ([0, 0], [0, 1]),  # a third, and another action: .8/3 and .8
        ([0, 0], [0, 0]),  # a fourth and a fifth: .8/4 and .8/5
    )
    assert found == pytest.approx([0.8, 0.6, (0.8 / 3 + 0.8) / 2, (0.8 / 4 + 0.8 / 5) / 2])
    assert algorithm.visits[0, :2].tolist() == [5, 1]


def test_an_inverse_rate_of_one_averages_all_targets(compose: Any) -> None:
    algorithm = of(compose, "algo.learning_rate_schedule=inverse", "algo.learning_rate=1.0")
    for rewards in ([1.0, 2.0], [6.0, 3.0]):
        algorithm.memory.add(transition([0, 0], [2, 2], rewards, successor=[9, 9]))
        algorithm.update(Progress(100))
    # (1 + 2 + 6 + 3) / 4
    assert algorithm.policy.table[0, 2] == pytest.approx(3.0)


def test_boltzmann_prefers_better_actions_and_evaluation_takes_the_best(compose: Any) -> None:
    algorithm = of(
        compose,
        "exploration=boltzmann",
        "exploration.initial_temperature=1.0",
        "exploration.schedule=constant",
    )
    policy, rng = algorithm.policy, np.random.default_rng(0)
    policy.table[3] = np.log([1.0, 2.0, 3.0, 4.0])
    obs = np.full(20_000, 3)
    action, _, _ = policy.act(obs, None, True, rng)
    # One deviation of a share is at most √(.25/20000) = .0035.
    assert np.bincount(action) / 20_000 == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.015)
    assert policy.act(obs[:2], None, False, rng)[0].tolist() == [3, 3]
