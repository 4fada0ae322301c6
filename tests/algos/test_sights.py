"""What is seen decides, and each kind of observation is learned to its optimum, which is 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rltrain.core.types import Progress
from rltrain.envs.vector import VectorEnv
from rltrain.settings.run import build_run
from rltrain.training.build import build_algorithm, build_envs, env_factory
from rltrain.training.sampler import InlineSampler
from tests.conftest import slow
from tests.learning import over_seeds

ENV = "env=rltrain.envs.sights:rltrain/"
PPO = [
    "env.num_envs=32",
    "algo.n_steps=16",
    "algo.learning_rate=0.002",
    "algo.learning_rate_schedule=linear",
    "algo.batch_size=128",
    "algo.n_epochs=6",
    "network=mlp_relu",
    "network.hidden_sizes=[64]",
    "network.shared=true",
]
REPLAY = ["env.num_envs=1", "algo.learning_starts=64", "algo.batch_size=32"]
DQN = [
    *REPLAY,
    "algo.learning_rate=0.003",
    "algo.train_freq=4",
    "algo.target_update_interval=20",
    "network.hidden_sizes=[64]",
]
TD3 = [
    "env.num_envs=1",
    "algo.learning_starts=200",
    "algo.batch_size=32",
    "algo.learning_rate=0.0005",  # a larger one saturates the actor for some seeds
    "algo.train_freq=2",
    "algo.tau=0.05",
    "exploration.std=0.3",
    "network.hidden_sizes=[64]",
]
LEARN = {"ppo": PPO, "dqn": DQN, "td3": TD3}


def learned(compose: Any, seed: int, algo: str, env: str, steps: int, *more: str) -> float:
    """The mean reward of greedy actions after so many steps."""
    run = build_run(
        compose(
            f"algo={algo}", f"{ENV}{env}-v0", "tuned=none", f"total_timesteps={steps}",
            f"seed={seed}",
            *LEARN[algo], *more,
        )
    )  # fmt: skip
    envs = build_envs(run)
    algorithm = build_algorithm(run, envs)
    sampler, progress = InlineSampler(envs, algorithm, np.random.default_rng(seed)), Progress(steps)
    while progress.steps < steps:
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
    others, rng = VectorEnv(env_factory(run), 16, 7, "others"), np.random.default_rng(0)
    others.restart()
    rewards = []
    for _ in range(8):
        action, _, _ = algorithm.policy.act(others.obs, None, False, rng)
        rewards.append(others.step(action).reward)
    return float(np.mean(rewards))


@pytest.mark.parametrize("sees", ["Text", "picture", "MultiDiscrete", "MultiBinary", "Discrete"])
@pytest.mark.parametrize(("algo", "steps"), [("ppo", 2560), ("dqn", 600)])
@over_seeds
def test_one_kind(compose: Any, algo: str, steps: int, sees: str, seed: int) -> None:
    assert learned(compose, seed, algo, "Sight", steps, f"env.kwargs.sees={sees}") == 1


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
@over_seeds
def test_words(compose: Any, algo: str, seed: int) -> None:
    steps = {"ppo": 2560, "dqn": 600}[algo]
    more = ("env.kwargs.sees=Text", "network.text=words")
    assert learned(compose, seed, algo, "Sight", steps, *more) == 1


@pytest.mark.slow
@over_seeds
def test_a_picture_for_continuous_actions(compose: Any, seed: int) -> None:
    more = ("env.kwargs.sees=picture", "env.kwargs.continuous=true")
    assert learned(compose, seed, "td3", "Sight", 800, *more) > 0.9


@pytest.mark.parametrize("network", ["impala", "simba"])
@over_seeds
def test_other_networks(
    compose: Any, monkeypatch: pytest.MonkeyPatch, network: str, seed: int
) -> None:
    own = {"impala": "network.hidden_sizes=[32]", "simba": "network.width=32"}[network]
    monkeypatch.setitem(LEARN, "dqn", [o for o in DQN if not o.startswith("network")])
    more = ("env.kwargs.sees=picture", f"network={network}", own)
    assert learned(compose, seed, "dqn", "Sight", 600, *more) == 1


@pytest.mark.parametrize(
    ("algo", "steps", "actions"), [("ppo", 7680, "MultiBinary"), slow("dqn", 3000, "Discrete")]
)
@over_seeds
def test_a_nested_dictionary_of_which_each_part_is_needed(
    compose: Any, algo: str, steps: int, actions: str, seed: int
) -> None:
    assert learned(compose, seed, algo, "EverySight", steps, f"env.kwargs.actions={actions}") > 0.95


@over_seeds
def test_without_a_part_its_bit_is_not_known(compose: Any, seed: int) -> None:
    more = ("env.kwargs.actions=MultiBinary", "env.drop_keys=[camera]")
    assert learned(compose, seed, "ppo", "EverySight", 3072, *more) < 0.85  # 3 of 4 bits: 0.75
