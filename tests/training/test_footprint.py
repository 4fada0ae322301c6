from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rltrain.core.state import digest
from rltrain.settings.run import build_run
from rltrain.training import footprint, session
from rltrain.training.footprint import activations, samples_at_once
from tests.algos.test_base import build
from tests.conftest import ALGOS, REMEMBERING, algo_entry, small, some


def sizes(compose: Any, algo: str, *overrides: str) -> tuple[dict[str, int], Any]:
    algorithm, _ = build(compose, algo, *overrides)
    return footprint.footprint(build_run(compose(*small(algo, *overrides))), algorithm), algorithm


def test_dqn_by_hand(compose: Any) -> None:
    """A network 4-8-2 of 58 numbers, its target, Adam's two moments, 64 transitions.

    A backward pass needs of each sample its 4 numbers and the hidden layer's 8, once: what the
    activation gave is what the head takes.
    """
    overrides = ["network.hidden_sizes=[8]", "kernels=torch", "algo.batch_size=16"]
    found, _ = sizes(compose, "dqn", *overrides)
    assert found == {
        "parameters": 2 * 58 * 4,
        "gradients": 58 * 4,
        "optimizer": 2 * 58 * 4,
        "activations": 16 * (4 + 8) * 4,
        "buffers": 64 * (2 * 4 * 4 + 8 + 4 + 4),
    }


@pytest.mark.parametrize(
    ("optimizer", "moments"), [("sgd", 0), ("rmsprop", 1), ("adamw", 2), ("radam", 2)]
)
def test_optimizers_by_their_moments(compose: Any, optimizer: str, moments: int) -> None:
    found, _ = sizes(compose, "dqn", f"optimizer={optimizer}")
    assert found["optimizer"] == moments * found["gradients"]


def test_an_average_and_muon_are_counted(compose: Any) -> None:
    plain, algorithm = sizes(compose, "dqn", "network.hidden_sizes=[8,8]")
    more, _ = sizes(compose, "dqn", "network.hidden_sizes=[8,8]", "ema=0.9", "optimizer=muon")
    own = sum(p.nbytes for p in algorithm.policy.network.parameters())
    assert more["parameters"] == plain["parameters"] + own
    matrices = (4 * 8 + 8 * 8) * 4
    assert more["optimizer"] == plain["optimizer"] - matrices


@pytest.mark.parametrize(
    "algo", some([*[a for a in ALGOS if algo_entry(a).networks], *REMEMBERING])
)
def test_every_algorithm_is_measured(compose: Any, algo: str) -> None:
    found, algorithm = sizes(compose, algo)
    assert found["gradients"] <= found["parameters"]
    assert found["activations"] > 0
    before = digest(algorithm.state_dict())
    assert activations(algorithm, 64) > activations(algorithm, 32)
    assert digest(algorithm.state_dict()) == before


def test_what_is_kept_less(compose: Any) -> None:
    simba = ["network=simba", "network.width=32", "kernels=torch"]
    plain = sizes(compose, "ppo", *simba)[0]["activations"]
    bf16 = sizes(compose, "ppo", *simba, "precision=bf16")[0]["activations"]
    thrifty = sizes(compose, "ppo", *simba, "network.checkpointing=true")[0]["activations"]
    parts = sizes(compose, "ppo", *simba, "optimizer.accumulation=4")[0]["activations"]
    assert thrifty < plain / 3
    assert parts == pytest.approx(plain / 4, rel=0.01)
    assert bf16 != plain


def test_samples_at_once(compose: Any) -> None:
    def count(*overrides: str) -> int:
        return samples_at_once(build_run(compose("env=CartPole-v1", "tuned=none", *overrides)))

    rollout = ["algo.n_steps=10", "env.num_envs=3"]
    assert count("algo=ppo", "algo.batch_size=100", "optimizer.accumulation=3") == 34
    assert count("algo=a2c", *rollout, "optimizer.accumulation=4") == 8
    assert count("algo=trpo", *rollout, "optimizer.accumulation=4") == 30


def test_it_is_said_and_warned_of(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(footprint, "LARGE", 1000)
    monkeypatch.setattr(footprint.os, "sysconf", lambda name: 100)
    folder = session.start(compose(*small("ppo", "total_timesteps=48"))).folder
    log = (folder / "run.log").read_text()
    assert "performance: memory 0.00 GiB (parameters 0.00, gradients 0.00, optimizer 0.00" in log
    assert "What would help: optimizer.accumulation=2; network.checkpointing=true; prec" in log
    monkeypatch.setattr(footprint, "LARGE", 10**6)
    folder = session.start(compose(*small("ppo", "total_timesteps=48", "run_name=b"))).folder
    assert "memory" not in (folder / "run.log").read_text()


def test_arrays_are_counted_once() -> None:
    whole = np.zeros(10, np.float32)
    value = {"a": whole[:5], "b": [whole[5:], whole], "c": np.zeros(2, np.int8), "d": None}
    assert sum(footprint._arrays(value, set())) == 42
