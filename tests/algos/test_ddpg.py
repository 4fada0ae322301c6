from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rltrain.settings.run import build_run
from rltrain.training import session
from rltrain.training.build import build_algorithm, build_envs
from tests.algos.test_sac import say, two_rows
from tests.conftest import small
from tests.training.test_resume import newest


def test_losses_and_targets_by_hand(compose: Any) -> None:
    overrides = ["algo.gamma=0.5", "algo.learning_rate=1e-12", "algo.tau=0.25"]
    run = build_run(compose(*small("ddpg", *overrides)))
    algorithm = build_algorithm(run, build_envs(run))
    say(algorithm.policy.actor, 8.0)
    say(algorithm.target_actor, 4.0)
    say(algorithm.critic.members[0], 1.0)
    say(algorithm.target.members[0], 3.0)
    algorithm.learner.begin()
    columns = two_rows(np.zeros((2, 1), np.float32), np.zeros(0))[:-1]
    critic_loss, actor_loss, value = map(float, algorithm.learner.step(*columns))
    # targets 1 + .5 · 3 = 2.5 and .5: errors −1.5 and .5
    assert critic_loss == pytest.approx(0.5 * (1.5**2 + 0.5**2) / 2)
    assert actor_loss == pytest.approx(-1.0)
    assert value == pytest.approx(1.0)
    assert algorithm.target.members[0][-1].bias.item() == pytest.approx(2.5)
    assert algorithm.target_actor[-1].bias.item() == pytest.approx(5.0)


def test_the_noises_state_is_saved(compose: Any, in_tmp: Any) -> None:
    folder = session.start(compose(*small("ddpg"), "run_name=a")).folder
    state = newest(folder).content["sampler"]["policy_state"]
    assert state.shape == (2, 1)
    assert state.any()
