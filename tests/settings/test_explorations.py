from __future__ import annotations

from typing import Any

import pytest

from rltrain.core.errors import UserError
from rltrain.settings.run import build_run


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["algo=ppo", "exploration=boltzmann"],
            "boltzmann does not fit algo=ppo, which",
        ),
        (["algo=dqn", "exploration=gaussian"], "takes epsilon_greedy or boltzmann"),
        (
            ["algo=dqn", "exploration.initial_eps=1.5"],
            "initial_eps=1.5 is out of range",
        ),
        (["algo=dqn", "exploration=epsilon_gredy"], "Did you mean epsilon_greedy"),
        (["algo=dqn", "exploration.final_epsilon=0"], "Did you mean exploration.final_eps"),
    ],
)
def test_what_does_not_fit_is_explained(compose: Any, overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_run(compose("env=CartPole-v1", "tuned=none", *overrides))


def test_a_preset_does_not_stand_in_the_way_of_another_choice(compose: Any) -> None:
    run = build_run(compose("algo=dqn", "env=CartPole-v1", "exploration=boltzmann"))
    assert run.tuned == "dqn/CartPole-v1"
    assert run.exploration.name == "boltzmann"
    tuned = build_run(compose("algo=dqn", "env=CartPole-v1"))
    assert tuned.exploration.final_eps == 0.04


def test_a_key_that_was_typed_is_not_left_out(compose: Any) -> None:
    with pytest.raises(UserError, match=r"exploration\.final_eps"):
        build_run(
            compose(
                "algo=dqn", "env=CartPole-v1", "exploration=boltzmann", "+exploration.final_eps=0.1"
            )
        )
