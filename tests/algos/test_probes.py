"""Every algorithm of one agent learns the known value or policy of what its spaces allow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rltrain.core.types import Progress
from rltrain.envs.probes import PROBES
from rltrain.settings.registry import entry
from rltrain.settings.run import build_run
from rltrain.training.build import build_algorithm, build_envs
from rltrain.training.sampler import InlineSampler
from tests.conftest import ALONE

GAMMA = 0.9
# What lets each algorithm learn a probe in about a second, and how many steps it takes.
LEARN: dict[str, tuple[int, list[str]]] = {
    "ppo": (
        3200,
        [
            "env.num_envs=4",
            "algo.n_steps=16",
            "algo.batch_size=32",
            "algo.n_epochs=8",
            "algo.learning_rate=0.005",
            "algo.learning_rate_schedule=constant",
            "algo.normalize_obs=false",
            "algo.normalize_reward=false",
            "algo.gae_lambda=0.95",
        ],
    ),
    "dqn": (
        1500,
        [
            "env.num_envs=1",
            "algo.learning_rate=0.005",
            "algo.learning_starts=64",
            "algo.train_freq=1",
            "algo.batch_size=32",
            "algo.target_update_interval=20",
            "exploration.final_eps=0.3",
        ],
    ),
    "q_learning": (1500, ["env.num_envs=1", "algo.learning_rate=0.2"]),
}


def observation(bit: int, discrete: bool) -> np.ndarray:
    return np.array([bit]) if discrete else np.array([[2 * bit - 1]], np.float32)


def value(policy: Any, obs: np.ndarray) -> float:
    """max_a Q(s, a), or V(s)."""
    if hasattr(policy, "table"):
        return float(policy.table[obs[0]].max())
    with torch.no_grad():
        x = policy.inputs(obs)
        if hasattr(policy, "network"):
            return float(policy.network(x).max())
        return float(policy.networks.value(x))


def learn(compose: Any, algo: str, probe: str, **kwargs: Any) -> tuple[Any, bool]:
    discrete = "Box" not in entry("algo", algo).observations
    steps, overrides = LEARN[algo]
    arguments = {"discrete": discrete, **kwargs}
    run = build_run(
        compose(
            f"algo={algo}",
            f"env=rltrain.envs.probes:rltrain/{probe}-v0",
            "tuned=none",
            f"algo.gamma={GAMMA}",
            f"total_timesteps={steps}",
            *overrides,
            *[f"env.kwargs.{k}={str(v).lower()}" for k, v in arguments.items()],
        )
    )
    envs = build_envs(run)
    algorithm = build_algorithm(run, envs)
    sampler = InlineSampler(envs, algorithm, np.random.default_rng(0))
    progress = Progress(steps)
    while progress.steps < steps:
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
    return algorithm.policy, discrete


@pytest.mark.parametrize("algo", ALONE)
@pytest.mark.parametrize(
    ("probe", "values"),
    [
        ("OneStep", {0: 1.0}),
        ("ObservedValue", {0: -1.0, 1: 1.0}),
        ("TwoSteps", {0: GAMMA, 1: 1.0}),
        ("TruncatedChain", {0: 1 / (1 - GAMMA)}),
    ],
)
def test_values(compose: Any, algo: str, probe: str, values: dict[int, float]) -> None:
    policy, discrete = learn(compose, algo, probe)
    for bit, expected in values.items():
        assert value(policy, observation(bit, discrete)) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("algo", ALONE)
@pytest.mark.parametrize(
    ("probe", "actions"), [("BestAction", {0: 1}), ("ObservedAction", {0: 0, 1: 1})]
)
def test_policies(compose: Any, algo: str, probe: str, actions: dict[int, int]) -> None:
    policy, discrete = learn(compose, algo, probe)
    rng = np.random.default_rng(0)
    for bit, expected in actions.items():
        action, _, _ = policy.act(observation(bit, discrete), None, False, rng)
        assert action.tolist() == [expected]


@pytest.mark.parametrize("algo", [a for a in ALONE if "Box" in entry("algo", a).actions])
@pytest.mark.parametrize(
    ("probe", "actions"), [("BestAction", {0: 0.5}), ("ObservedAction", {0: -0.5, 1: 0.5})]
)
def test_continuous_policies(
    compose: Any, algo: str, probe: str, actions: dict[int, float]
) -> None:
    policy, _ = learn(compose, algo, probe, continuous=True)
    for bit, expected in actions.items():
        action, _, _ = policy.act(observation(bit, False), None, False, np.random.default_rng(0))
        assert action.item() == pytest.approx(expected, abs=0.15)


def test_every_probe_is_used_or_needs_memory() -> None:
    used = {"OneStep", "ObservedValue", "TwoSteps", "TruncatedChain", "BestAction"}
    assert set(PROBES) == used | {"ObservedAction", "RememberedBit"}
