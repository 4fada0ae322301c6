"""Every choice of every group through the real command, in a process of its own.

Tests import torch whole, and a run from a shell does not (`rltrain.core.lean_torch`): what
only a shell sees is seen here. Choices are read from the YAML and the settings, so that a
new one is tested without being named.
"""

from __future__ import annotations

import os
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from rltrain.core.errors import UserError
from rltrain.settings import registry
from rltrain.settings.defaults import choices
from rltrain.settings.run import RunSettings
from rltrain.training import session
from rltrain.training.run import read_result
from tests.conftest import small

Compose = Callable[..., dict[str, Any]]

PICTURES = ("ppo", "env=rltrain/Sight-v0", "env.kwargs.zoom=4")
# What a choice is tried with, the first that it fits: an algorithm and an environment.
BASES = (
    ("ppo", "env=CartPole-v1"),
    ("dqn", "env=CartPole-v1"),
    ("td3", "env=Pendulum-v1"),
    PICTURES,
    ("q_learning", "env=FrozenLake-v1"),
)
NARROW = {"network=simba": ["network.width=16"], "compile=on": ["network.hidden_sizes=[16]"]}


def named_choices() -> Iterator[str]:
    """`key=value` for each choice of a group and for each of a key's own, the default too."""
    for group in registry.GROUPS:
        yield from (f"{group}={name}" for name in choices(group))
    for name, hint in typing.get_type_hints(RunSettings).items():
        if typing.get_origin(hint) is Literal:
            yield from (f"{name}={value}" for value in typing.get_args(hint))


def start(*arguments: str) -> str:
    """Run `rltrain` as a user does; return what it printed, and fail where it did."""
    done = subprocess.run(
        [sys.executable, "-m", "rltrain", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def tried(choice: str, compose: Compose) -> list[str]:
    """Overrides of a small run with the choice, on the first base that it fits."""
    group, _, name = choice.partition("=")
    if group == "algo":
        return small(name)
    bases = (PICTURES, *BASES) if group == "network" else BASES
    for algo, *keys in bases:
        overrides = [o for o in small(algo) if not o.startswith("network.")]
        overrides += [*keys, choice, *NARROW.get(choice, [])]
        try:
            session._checked(compose(*overrides))
        except UserError:
            continue
        return overrides
    raise AssertionError(f"no algorithm here takes {choice}")


@pytest.mark.slow
@pytest.mark.parametrize("choice", list(named_choices()))
def test_a_choice_trains_and_resumes_from_a_shell(
    choice: str, in_tmp: Path, compose: Compose
) -> None:
    start(*tried(choice, compose), "run_name=a")
    assert read_result(in_tmp / "outputs/a")["state"] == "finished"
    if choice.startswith(("algo=", "optimizer=", "augment=")):  # they have state in torch
        start("resume=outputs/a", "total_timesteps=288")
        assert read_result(in_tmp / "outputs/a")["steps"] >= 288


def test_noise_trains_from_a_shell(in_tmp: Path) -> None:
    start(*small("ppo", "augment=noise", "eval.every=0"))


ENVIRONMENT = """
import gymnasium as gym
from gymnasium.envs.classic_control.cartpole import CartPoleEnv


class Mine(CartPoleEnv):
    def step(self, action):
        import torch
        torch.cdist(*[torch.ones(3, 2, device="meta")] * 2)
        assert torch.Generator().manual_seed(3).initial_seed() == 3
        return super().step(action)


gym.register("Mine-v0", Mine, max_episode_steps=50)
"""
NETWORK = """
import torch
from rltrain.networks.mlp import MLP
from rltrain.settings.networks import MLPNetworkSettings
from rltrain.settings.registry import Entry, register


class Mine(MLP):
    def forward(self, x, *extra):
        assert torch.Generator().manual_seed(3).initial_seed() == 3
        return super().forward(x, *extra)


register(Entry("network", "mine", MLPNetworkSettings, "my_torch_network:Mine", "Mine"))
"""


@pytest.mark.parametrize("piece", ["environment", "network"])
def test_others_code_finds_a_whole_torch(piece: str, in_tmp: Path) -> None:
    overrides = small("ppo", "eval.every=0")
    if piece == "environment":
        (in_tmp / "my_torch_env.py").write_text(ENVIRONMENT)
        overrides += ["env=my_torch_env:Mine-v0"]
    else:
        (in_tmp / "my_torch_network.py").write_text(NETWORK)
        (in_tmp / "configs/network").mkdir(parents=True)
        (in_tmp / "configs/network/mine.yaml").write_text("defaults: [mlp]\nname: mine\n")
        overrides += ["network=mine", "plugins=[my_torch_network]", "kernels=torch"]
    start(*overrides)
