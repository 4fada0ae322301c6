from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from rltrain.algos.averaged import parameters_of
from rltrain.core.errors import UserError
from rltrain.core.types import Progress
from rltrain.settings.run import build_run
from rltrain.training import compiling, session
from rltrain.training.compiling import bodies_of, pays, samples_left
from rltrain.training.performance import Performance
from tests.algos.test_base import LEARNING, build
from tests.conftest import REMEMBERING, small


@pytest.mark.parametrize(
    ("device", "parameters", "samples", "expected"),
    [
        ("cpu", 10**9, 1e12, False),
        ("cuda", 400_000, 1e12, False),
        ("cuda", 10**8, 12_400_000, False),  # 6e8 operations each: 74.4 s of 372 are saved
        ("cuda", 10**8, 12_600_000, True),  # 75.6 s
    ],
)
def test_auto_weighs_what_it_saves(
    device: str, parameters: int, samples: float, expected: bool
) -> None:
    assert pays(device, parameters, 1, samples)[0] is expected


def test_samples_left_by_hand(compose: Any) -> None:
    common = ["env=Pendulum-v1", "total_timesteps=1000"]
    ppo = build_run(compose("algo=ppo", *common, "algo.n_epochs=4"))
    assert samples_left(ppo, 200) == 3200
    keys = ["algo.train_freq=4", "algo.gradient_steps=2", "algo.batch_size=16"]
    assert samples_left(build_run(compose("algo=sac", *common, *keys)), 0) == 250 * 2 * 16


def test_bodies_are_those_of_all_networks(compose: Any) -> None:
    run = build_run(compose(*small("sac", "ema=0.9")))
    algorithm, _ = build(compose, "sac", "ema=0.9")
    found = bodies_of(run, algorithm)
    assert len(found) == 5  # of the actor, two critics, two targets
    assert {body.out_features for body in found} == {16}


LINEAR = [*LEARNING, *(a for a in REMEMBERING if not a.endswith("transformer"))]


@pytest.mark.parametrize("algo", LINEAR)
def test_networks_without_hidden_layers_train(compose: Any, in_tmp: Path, algo: str) -> None:
    overrides = ["network.hidden_sizes=[]", "eval.every=0", "total_timesteps=96"]
    folder = session.start(compose(*small(algo, *overrides))).folder
    assert "performance: compile off (auto: " in (folder / "run.log").read_text()


def test_encoders_without_parameters_train(compose: Any, in_tmp: Path) -> None:
    sight = ["env=rltrain.envs.sights:rltrain/Sight-v0", "network.pictures=flat"]
    overrides = ["network.hidden_sizes=[]", "eval.every=0", "total_timesteps=96"]
    session.start(compose(*small("ppo", *sight, *overrides)))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["algo=ppo", "network=gru"], "lengths"),
        (["algo=ppo", "network.hidden_sizes=[]"], "no network with hidden layers"),
        (["algo=dqn", "exploration=noisy"], "noisy layers"),
        (["algo=ppo", "augment=noise"], "augmentations"),
    ],
)
def test_what_cannot_be_compiled_is_named(
    compose: Any, in_tmp: Path, overrides: list[str], message: str
) -> None:
    values = compose(*overrides, "env=CartPole-v1", "tuned=none", "compile=on")
    with pytest.raises(UserError, match=f"^compile=on: .*{message}"):
        session.start(values)


def test_without_a_compiler_it_is_refused(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match="needs a C\\+\\+ compiler, and there is no no-such-comp"):
        session.start(compose(*small("ppo", "compile=on")))
    folder = session.start(compose(*small("ppo", "total_timesteps=48"))).folder
    assert "performance: compile off (auto: it needs" in (folder / "run.log").read_text()


def trained(compose: Any, algo: str, *overrides: str) -> tuple[Any, list[torch.Tensor]]:
    algorithm, sampler = build(
        compose, algo, "kernels=torch", "optimizer=sgd", "algo.learning_rate=0.01", *overrides
    )
    run = build_run(compose(*small(algo, *overrides)))
    used = compiling.choose(run, algorithm, 0, Performance())
    assert used is (run.compile == "on")
    keys = list(algorithm.policy.state_dict())
    progress = Progress(1000)
    while not progress.updates:
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
    assert list(algorithm.policy.state_dict()) == keys
    return algorithm, parameters_of(algorithm.policy)


SIMBA = ["network=simba", "network.width=16", "network.blocks=1"]


@pytest.mark.parametrize(
    ("algo", "overrides"),
    [("ppo", [*SIMBA, "network.checkpointing=true"]), ("sac", []), ("dqn", ["precision=bf16"])],
)
@pytest.mark.slow
def test_what_is_traced_is_what_is_computed(
    compose: Any, monkeypatch: pytest.MonkeyPatch, algo: str, overrides: list[str]
) -> None:
    """The graph without the code of the compiler: parameters within 1e-5."""
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")
    torch.compiler.reset()
    _, plain = trained(compose, algo, *overrides, "compile=off")
    _, compiled = trained(compose, algo, *overrides, "compile=on")
    for a, b in zip(plain, compiled, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler here")
def test_compiled_networks_compute_the_same(compose: Any) -> None:
    """Parameters after an update: within 1e-5."""
    torch.compiler.reset()
    _, plain = trained(compose, "a2c", "network.hidden_sizes=[8]", "compile=off")
    _, compiled = trained(compose, "a2c", "network.hidden_sizes=[8]", "compile=on")
    for a, b in zip(plain, compiled, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
