from typing import Any

import pytest

from rltrain.core.errors import UserError
from rltrain.settings.algos import (
    DQNSettings,
    IPPOSettings,
    IQLSettings,
    PPOSettings,
    QLearningSettings,
)
from rltrain.settings.registry import entry
from rltrain.settings.schema import build

PPO = {
    "name": "ppo",
    "n_steps": 8,
    "batch_size": 4,
    "n_epochs": 2,
    "learning_rate": 1e-3,
    "learning_rate_schedule": "linear",
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
    "clip_range_schedule": "constant",
    "ent_coef": 0.0,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
    "normalize_advantage": True,
    "target_kl": None,
    "normalize_obs": False,
    "normalize_reward": False,
    "log_std_init": 0.0,
}
DQN = {
    "name": "dqn",
    "learning_rate": 1e-3,
    "learning_rate_schedule": "constant",
    "gamma": 0.99,
    "buffer_size": 1e5,
    "batch_size": 32,
    "learning_starts": 0,
    "train_freq": 4,
    "gradient_steps": 1,
    "target_update_interval": 100,
    "tau": 1.0,
    "max_grad_norm": 10.0,
    "normalize_obs": False,
}
Q_LEARNING = {
    "name": "q_learning",
    "learning_rate": 0.1,
    "learning_rate_schedule": "constant",
    "gamma": 1.0,
    "initial_value": 0.0,
}
TEAM = {"share_parameters": True, "agent_id": False}
IQL, IPPO = DQN | TEAM | {"name": "iql"}, PPO | TEAM | {"name": "ippo"}
BASES = {"ppo": PPO, "dqn": DQN, "q_learning": Q_LEARNING, "iql": IQL, "ippo": IPPO}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ppo", PPOSettings),
        ("dqn", DQNSettings),
        ("q_learning", QLearningSettings),
        ("iql", IQLSettings),
        ("ippo", IPPOSettings),
    ],
)
def test_an_entry_builds_its_settings(name: str, settings: type) -> None:
    assert entry("algo", name).settings is settings
    assert build(settings, BASES[name], "algo").name == name


def test_integers_may_be_written_as_floats() -> None:
    assert build(DQNSettings, DQN, "algo").buffer_size == 100_000


@pytest.mark.parametrize("target_kl", [None, 0.02])
def test_target_kl_is_optional(target_kl: float | None) -> None:
    assert build(PPOSettings, PPO | {"target_kl": target_kl}, "algo").target_kl == target_kl


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("ppo", "n_steps", 0),
        ("ppo", "batch_size", 0),
        ("ppo", "n_epochs", 0),
        ("ppo", "learning_rate", 0.0),
        ("ppo", "gamma", 1.01),
        ("ppo", "gae_lambda", -0.1),
        ("ppo", "clip_range", 0.0),
        ("ppo", "ent_coef", -0.1),
        ("ppo", "vf_coef", -0.1),
        ("ppo", "max_grad_norm", 0.0),
        ("ppo", "target_kl", 0.0),
        ("ppo", "log_std_init", 2.5),
        ("dqn", "learning_rate", 0.0),
        ("dqn", "gamma", -0.1),
        ("dqn", "buffer_size", 0),
        ("dqn", "batch_size", 0),
        ("dqn", "learning_starts", -1),
        ("dqn", "train_freq", 0),
        ("dqn", "gradient_steps", 0),
        ("dqn", "target_update_interval", 0),
        ("dqn", "tau", 0.0),
        ("dqn", "tau", 1.5),
        ("dqn", "max_grad_norm", 0.0),
        ("q_learning", "learning_rate", 1.5),
        ("q_learning", "gamma", 1.5),
    ],
)
def test_senseless_values_are_out_of_range(name: str, key: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^algo.{key}={value} is out of range"):
        build(entry("algo", name).settings, BASES[name] | {key: value}, "algo")


@pytest.mark.parametrize("name", list(BASES))
def test_a_schedule_is_constant_or_linear(name: str) -> None:
    with pytest.raises(UserError, match=r"^algo.learning_rate_schedule=liner: .*mean linear"):
        build(
            entry("algo", name).settings, BASES[name] | {"learning_rate_schedule": "liner"}, "algo"
        )


@pytest.mark.parametrize(
    ("name", "observations", "actions", "networks"),
    [
        ("ppo", {"Box", "Discrete"}, {"Box", "Discrete"}, True),
        ("dqn", {"Box", "Discrete"}, {"Discrete"}, True),
        ("q_learning", {"Discrete"}, {"Discrete"}, False),
        ("iql", {"Box", "Discrete"}, {"Discrete"}, True),
        ("ippo", {"Box", "Discrete"}, {"Box", "Discrete"}, True),
    ],
)
def test_what_an_algorithm_declares(
    name: str, observations: set[str], actions: set[str], networks: bool
) -> None:
    found = entry("algo", name)
    assert set(found.observations) == observations
    assert set(found.actions) == actions
    assert found.networks is networks
    assert found.multi_agent is (name in ("iql", "ippo"))
