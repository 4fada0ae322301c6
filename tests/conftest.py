"""Small runs for tests, built from the same YAML as those of users."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from rltrain import config
from rltrain.settings import registry
from rltrain.settings.defaults import defaults
from tests import datasets

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))  # a plug-in may import torch first

_REPLAY = (
    "algo.learning_starts=20",
    "algo.train_freq=8",
    "algo.gradient_steps=3",
    "algo.batch_size=8",
    "algo.buffer_size=64",
    "network.hidden_sizes=[16,16]",
)
# What makes a run of each algorithm small; one that is not named here runs as its YAML says.
SMALL = {
    "ppo": ["env.num_envs=3", "algo.n_steps=16", "algo.batch_size=16", "algo.n_epochs=2"],
    "a2c": ["env.num_envs=3", "algo.n_steps=8"],
    "reinforce": ["env.num_envs=3", "algo.n_steps=16", "algo.n_episodes=2"],
    "trpo": [
        "env.num_envs=3",
        "algo.n_steps=16",
        "algo.batch_size=16",
        "algo.n_critic_updates=2",
    ],
    "dqn": [
        "env.num_envs=2",
        "algo.learning_starts=20",
        "algo.train_freq=8",
        "algo.batch_size=8",
        "algo.target_update_interval=16",
        "algo.buffer_size=64",
    ],
    "pqn": ["env.num_envs=3", "algo.n_steps=16", "algo.batch_size=16", "algo.n_epochs=2"],
    "bc": ["algo.batch_size=16", "algo.validation_every=64"],
    "q_learning": ["env.num_envs=2"],
    "sac": ["env=Pendulum-v1", "env.num_envs=2", *_REPLAY],
    "td3": ["env.num_envs=2", *_REPLAY],
    "ddpg": ["env.num_envs=2", "exploration=ornstein_uhlenbeck", *_REPLAY],
}
SMALL |= {"rainbow": SMALL["dqn"], "redq": SMALL["sac"], "rlpd": SMALL["td3"]}
SMALL |= {"iql": SMALL["dqn"], "ippo": SMALL["ppo"]}

# Rainbow is DQN with everything that DQN can be.
ALGOS = sorted([*registry.entries("algo"), "rainbow"])


def algo_entry(choice: str) -> registry.Entry:
    """The entry that a YAML of the group is for: its own, or that of another algorithm."""
    return registry.entry("algo", defaults("algo", choice).get("name", choice))


# Those that can be, with a network that remembers.
REMEMBERING = ["a2c+gru", "dqn+lstm", "iql+gru", "ippo+lstm", "ppo+gru", "ppo+transformer"]
_CELLS = ["network.hidden_sizes=[8]", "network.state_size=8"]
_ATTENTION = ["network.width=8", "network.window=4"]
_MEMORY = ["network.burn_in=3", "network.sequence_length=6"]
ALONE = [a for a in ALGOS if not algo_entry(a).multi_agent]
# Those that step environments, and learn from what comes of it.
STEPPING = [a for a in ALGOS if algo_entry(a).data != "only"]


def fitting_env(algo: str) -> str:
    """An environment that an algorithm can learn: of numbers where it can, else a table's."""
    found = algo_entry(algo)
    if found.multi_agent:
        return "two_carts"
    if "Discrete" not in found.actions:
        return "Pendulum-v1"
    return "CartPole-v1" if "Box" in found.observations else "FrozenLake-v1"


def data_for(algo: str, env_id: str) -> list[str]:
    """The override that gives a dataset to what cannot do without one."""
    needed = algo_entry(algo).data == "only" or algo == "rlpd"
    return [f"dataset={datasets.random_play(env_id)}"] if needed else []


def small(algo: str, *overrides: str) -> list[str]:
    """Overrides of a run that takes a second; `ppo+lstm` is ppo with network=lstm."""
    algo, _, network = algo.partition("+")
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
        *data_for(algo, fitting_env(algo)),
        *([f"network={network}", *_MEMORY] if network else []),
        *{"": [], "transformer": _ATTENTION}.get(network, _CELLS),
        *overrides,
    ]


# The choices of algorithm that a newcomer's tests have where CI has every one. For every algorithm
# they have its own tests and its exact resume (test_resumed_from_a_checkpoint_between_updates).
QUICK = ("ppo", "dqn", "td3", "ppo+gru", "iql")


def some(choices: Iterable[str]) -> list[Any]:
    """Return parameters of a test over algorithms: those that are not `QUICK` are slow."""
    return [choice if choice in QUICK else slow(choice) for choice in choices]


def slow(*values: Any) -> Any:
    """Return parameters of a test that take it more than about three seconds."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture
def compose() -> Callable[..., dict[str, Any]]:
    """Composed values of overrides."""
    return lambda *overrides: config.compose(list(overrides))


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session", autouse=True)
def own_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The key that signs runs is one of this process of tests, and of those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Put back handlers and levels that a command sets, so that no test depends on others."""
    loggers = (logging.root, logging.getLogger("rltrain"))
    before = [(x.handlers[:], x.level, x.propagate) for x in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def own_datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Minari's folder is one of this process of tests, and of those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("minari")))
        yield
