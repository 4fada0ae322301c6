"""Small runs for tests, built from the same YAML as those of users."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rltrain import config
from rltrain.settings import registry

torch.set_num_threads(1)

# What makes a run of each algorithm small; one that is not named here runs as its YAML says.
SMALL = {
    "ppo": ["env.num_envs=3", "algo.n_steps=16", "algo.batch_size=16", "algo.n_epochs=2"],
    "dqn": [
        "env.num_envs=2",
        "algo.learning_starts=20",
        "algo.train_freq=8",
        "algo.batch_size=8",
        "algo.target_update_interval=16",
        "algo.buffer_size=64",
    ],
    "q_learning": ["env.num_envs=2"],
}
SMALL |= {"iql": SMALL["dqn"], "ippo": SMALL["ppo"]}

ALGOS = sorted(registry.entries("algo"))
ALONE = [a for a in ALGOS if not registry.entry("algo", a).multi_agent]


def fitting_env(algo: str) -> str:
    """An environment that an algorithm can learn: of numbers where it can, else a table's."""
    entry = registry.entry("algo", algo)
    if entry.multi_agent:
        return "two_carts"
    return "CartPole-v1" if "Box" in entry.observations else "FrozenLake-v1"


def small(algo: str, *overrides: str) -> list[str]:
    """Overrides of a run that takes a second."""
    return [
        f"algo={algo}",
        f"env={fitting_env(algo)}",
        "tuned=none",
        "total_timesteps=192",
        "logger.every=48",
        "logger.console=off",
        "eval.every=96",
        "eval.episodes=2",
        "eval.max_episode_steps=50",
        "checkpoint.every=96",
        "sampler=inline",
        *SMALL.get(algo, []),
        *overrides,
    ]


@pytest.fixture
def compose() -> Callable[..., dict[str, Any]]:
    """Composed values of overrides."""
    return lambda *overrides: config.compose(list(overrides))


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
