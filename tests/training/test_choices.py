"""What is chosen for speed follows from sizes and devices, and is said with its reason."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from rltrain.core.errors import UserError
from rltrain.settings.run import build_run
from rltrain.training.build import build_algorithm, spaces_of
from rltrain.training.choices import SMALL, choose_device, choose_kernels, choose_threads
from rltrain.training.performance import Performance

CPU = torch.device("cpu")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(logging.getLogger("rltrain"), "propagate", True)
    caplog.set_level(logging.INFO, "rltrain")
    return lambda: [m for m in caplog.messages if m.startswith("performance: ")]


@pytest.fixture
def threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("parameters", "kernels"), [(SMALL - 1, "numpy"), (SMALL, "torch")])
def test_kernels_follow_the_size(said: Any, parameters: int, kernels: str) -> None:
    performance = Performance()
    assert choose_kernels("auto", CPU, parameters, performance) == kernels
    assert performance.choices == {"kernels": kernels}
    assert len(said()) == 1
    assert "(auto: " in said()[0]


def test_a_linear_network_has_kernels_and_a_table_has_none(said: Any) -> None:
    performance = Performance()
    assert choose_kernels("auto", CPU, 0, performance, known=True) == "numpy"
    assert choose_kernels("auto", CPU, 0, performance, known=False) == "torch"
    assert [m.partition("auto: ")[2] for m in said()] == [
        "a linear network on cpu)",
        "a table on cpu)",
    ]


def test_kernels_that_the_device_has_not() -> None:
    performance = Performance()
    with pytest.raises(UserError, match="kernels=numpy computes on the CPU"):
        choose_kernels("numpy", torch.device("cuda"), 1, performance)
    assert not performance.choices


def test_threads_follow_the_size_and_what_is_allowed(
    said: Any, threads: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    performance = Performance()
    assert choose_threads("auto", SMALL - 1, performance) == 1
    assert choose_threads("auto", SMALL, performance) == torch.get_num_threads() == 3
    assert choose_threads(2, SMALL, performance) == performance.choices["threads"] == 2
    assert said()[-1] == "performance: threads 2 (asked for)"


def test_a_device_that_is_not_there_is_no_choice() -> None:
    performance = Performance()
    with pytest.raises(UserError, match="Devices here: cpu"):
        choose_device("cuda:99", 1, performance)
    assert not performance.choices


def test_what_numpy_has_no_layers_for_is_left_to_torch(said: Any) -> None:
    performance = Performance()
    assert choose_kernels("auto", CPU, 1000, performance, known=False) == "torch"
    assert said()[-1].endswith(
        "torch (auto: the network is no chain of layers that NumPy's are written for)"
    )
    assert choose_kernels("auto", CPU, 1000, performance, known=True) == "numpy"


@pytest.mark.parametrize(
    ("overrides", "kernels"),
    [
        (["env=rltrain.envs.sights:rltrain/Sight-v0", "env.kwargs.sees=Text"], "torch"),
        (["env=rltrain.envs.sights:rltrain/Sight-v0", "env.kwargs.sees=MultiBinary"], "numpy"),
        (["env=CartPole-v1", "network=mlp_norm"], "torch"),
        (["env=CartPole-v1", "network=simba", "network.width=8"], "torch"),
        (["env=CartPole-v1", "network.shared=true"], "torch"),
        (["env=CartPole-v1", "network=mlp_relu"], "numpy"),
    ],
)
def test_kernels_are_chosen_by_the_network(
    compose: Any, overrides: list[str], kernels: str
) -> None:
    run = build_run(compose("algo=ppo", *overrides, "device=cpu", "tuned=none"))
    performance = Performance()
    build_algorithm(run, spaces_of(run), performance)
    assert performance.choices["kernels"] == kernels
