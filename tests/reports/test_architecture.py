"""The networks that a configuration builds, layer by layer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from rltrain.core.errors import OK, UserError
from rltrain.reports.architecture import show_networks
from rltrain.settings.run import build_run
from rltrain.training.build import build_algorithm, spaces_of
from tests.conftest import ALGOS, algo_entry, small

EVERY = "env=rltrain.envs.sights:rltrain/EverySight-v0"


@pytest.fixture
def out(compose: Any, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    import logging

    def shown(*overrides: str) -> str:
        assert show_networks(compose(*overrides)) == OK
        return capsys.readouterr().out

    yield shown
    logging.getLogger("rltrain").setLevel(logging.INFO)


def row(text: str, start: str) -> list[str]:
    (line,) = [x for x in text.splitlines() if x.startswith(start + " ")]
    return re.split(r"\s{2,}", line.strip())


def test_parts_have_their_encoders_and_layers_their_shapes_and_counts(out: Any) -> None:
    text = out("algo=ppo", EVERY, "network=mlp", "tuned=none")
    assert row(text, "camera") == ["camera", "Box", "10 × 10, 3 channels", "small_cnn"]
    assert row(text, "inner.0") == ["inner.0", "Text", "up to 20 characters of 27", "characters"]
    first = row(text, "actor.0.encoder.parts.0.layers.0")
    assert first[1:] == ["Conv2d(3, 16, kernel_size=(3, 3), stride=(1, 1))", "16 × 8 × 8", "448"]
    assert row(text, "critic.1")[-2:] == ["1", "65"]


def test_counts_by_hand(out: Any) -> None:
    text = out("algo=ppo", "env=CartPole-v1", "network.hidden_sizes=[8]", "tuned=none")
    assert "networks: 107 parameters" in text  # (4·8 + 8) + (8·2 + 2), (4·8 + 8) + (8 + 1)
    text = out("algo=ppo", "env=Pendulum-v1", "network.hidden_sizes=[8]", "tuned=none")
    assert row(text, "log_std") == ["log_std", "parameter", "1", "1"]
    text = out("algo=sac", "env=Pendulum-v1", "network.hidden_sizes=[8]", "tuned=none")
    assert "critics: 98 parameters" in text  # twice ((3 + 1)·8 + 8) + (8 + 1)


@pytest.mark.parametrize("algo", [a for a in ALGOS if algo_entry(a).networks])
def test_every_algorithm_shows_what_it_learns(out: Any, compose: Any, algo: str) -> None:
    text = out(*small(algo))
    shown = int(text.rpartition("in all: ")[2].split()[0].replace(",", ""))
    run = build_run(compose(*small(algo)))
    learned = build_algorithm(run, spaces_of(run)).num_parameters
    assert shown == learned - (algo == "sac")  # whose temperature is in no network


def test_networks_of_curiosity_are_shown_too(out: Any) -> None:
    assert "predictor: " in out(*small("dqn", "intrinsic=rnd"))


def test_a_table_has_no_network(out: Any) -> None:
    assert "no network" in out("algo=q_learning", "env=FrozenLake-v1")


def test_what_does_not_fit_is_an_error(compose: Any) -> None:
    values = compose("algo=ppo", EVERY, "network=nature_cnn", "tuned=none")
    with pytest.raises(
        UserError, match=r"nature_cnn needs 36 pixels a side, and camera has 10 × 10"
    ):
        show_networks(values)
