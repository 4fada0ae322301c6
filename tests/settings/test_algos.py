from typing import Any

import pytest

from rltrain.core.errors import UserError
from rltrain.settings.off_policy import (
    BCSettings,
    DDPGSettings,
    DQNSettings,
    IQLSettings,
    QLearningSettings,
    SACSettings,
    TD3Settings,
)
from rltrain.settings.on_policy import (
    A2CSettings,
    IPPOSettings,
    PPOSettings,
    PQNSettings,
    REINFORCESettings,
    TRPOSettings,
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
    "objective": "clip",
    "clip_range_schedule": "constant",
    "clip_range_vf": None,
    "kl_coef": 1.0,
    "kl_coef_target": None,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
    "normalize_advantage": True,
    "target_kl": None,
    "normalize_obs": False,
    "normalize_reward": False,
    "log_std_init": 0.0,
    "scale_actions": True,
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
    "double": False,
    "dueling": False,
    "n_steps": 1,
    "prioritized": False,
    "priority_alpha": 0.6,
    "priority_beta": 0.4,
    "distribution": "none",
    "n_atoms": 51,
    "v_min": -10.0,
    "v_max": 10.0,
    "n_quantiles": 50,
    "max_grad_norm": 10.0,
    "normalize_obs": False,
}
PQN = {
    "name": "pqn",
    "n_steps": 8,
    "batch_size": 4,
    "n_epochs": 2,
    "learning_rate": 1e-3,
    "learning_rate_schedule": "linear",
    "gamma": 0.99,
    "q_lambda": 0.65,
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
ON_POLICY = (
    "n_steps",
    "learning_rate",
    "learning_rate_schedule",
    "gamma",
    "gae_lambda",
    "normalize_advantage",
    "normalize_obs",
    "normalize_reward",
    "log_std_init",
    "scale_actions",
)
A2C = {k: PPO[k] for k in (*ON_POLICY, "vf_coef", "max_grad_norm")} | {"name": "a2c"}
REINFORCE = {k: v for k, v in A2C.items() if k in REINFORCESettings.__dataclass_fields__} | {
    "name": "reinforce",
    "n_episodes": 2,
    "baseline": True,
    "normalize_returns": "center",
}
TRPO = {k: PPO[k] for k in ON_POLICY} | {
    "name": "trpo",
    "target_kl": 0.01,
    "cg_max_steps": 10,
    "cg_damping": 0.1,
    "line_search_max_iter": 10,
    "line_search_shrink": 0.8,
    "n_critic_updates": 10,
    "batch_size": 64,
}
_REPLAY = {
    "learning_rate": 1e-3,
    "learning_rate_schedule": "constant",
    "gamma": 0.99,
    "buffer_size": 1e5,
    "batch_size": 32,
    "learning_starts": 0,
    "train_freq": 1,
    "gradient_steps": 1,
    "tau": 0.005,
    "normalize_obs": False,
}
SAC = _REPLAY | {
    "name": "sac",
    "policy_delay": 1,
    "n_critics": 2,
    "n_target_critics": 2,
    "actor_value": "min",
    "backup_entropy": True,
    "ent_coef": "auto",
    "target_entropy": "auto",
    "target_entropy_share": 0.5,
}
TD3 = _REPLAY | {"name": "td3", "policy_delay": 2, "target_noise": 0.2, "target_noise_clip": 0.5}
DDPG = _REPLAY | {"name": "ddpg"}
BC = {
    "name": "bc",
    "learning_rate": 1e-3,
    "learning_rate_schedule": "linear",
    "batch_size": 64,
    "loss": "log_prob",
    "max_grad_norm": 10.0,
    "validation_share": 0.1,
    "validation_every": 100,
    "normalize_obs": False,
    "log_std_init": 0.0,
    "scale_actions": True,
}
TEAM = {"share_parameters": True, "agent_id": False}
IQL, IPPO = DQN | TEAM | {"name": "iql"}, PPO | TEAM | {"name": "ippo"}
BASES = {
    "bc": BC,
    "ppo": PPO,
    "dqn": DQN,
    "pqn": PQN,
    "q_learning": Q_LEARNING,
    "a2c": A2C,
    "reinforce": REINFORCE,
    "trpo": TRPO,
    "sac": SAC,
    "td3": TD3,
    "ddpg": DDPG,
    "iql": IQL,
    "ippo": IPPO,
}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ppo", PPOSettings),
        ("bc", BCSettings),
        ("dqn", DQNSettings),
        ("pqn", PQNSettings),
        ("q_learning", QLearningSettings),
        ("a2c", A2CSettings),
        ("reinforce", REINFORCESettings),
        ("trpo", TRPOSettings),
        ("sac", SACSettings),
        ("td3", TD3Settings),
        ("ddpg", DDPGSettings),
        ("iql", IQLSettings),
        ("ippo", IPPOSettings),
    ],
)
def test_an_entry_builds_its_settings(name: str, settings: type) -> None:
    assert entry("algo", name).settings is settings
    assert build(settings, BASES[name], "algo").name == name


def test_integers_may_be_written_as_floats() -> None:
    assert build(DQNSettings, DQN, "algo").buffer_size == 100_000


@pytest.mark.parametrize("key", ["ent_coef", "target_entropy"])
@pytest.mark.parametrize("value", ["auto", 0.25])
def test_what_sac_learns_may_be_set(key: str, value: Any) -> None:
    assert getattr(build(SACSettings, SAC | {key: value}, "algo"), key) == value


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
        ("ppo", "clip_range_vf", 0.0),
        ("ppo", "kl_coef", 0.0),
        ("ppo", "kl_coef_target", 0.0),
        ("ppo", "vf_coef", -0.1),
        ("ppo", "max_grad_norm", 0.0),
        ("ppo", "target_kl", 0.0),
        ("ppo", "log_std_init", 2.5),
        ("a2c", "vf_coef", -0.1),
        ("reinforce", "n_episodes", 0),
        ("reinforce", "n_steps", 0),
        ("trpo", "target_kl", 0.0),
        ("trpo", "cg_max_steps", 0),
        ("trpo", "cg_damping", -0.1),
        ("trpo", "line_search_max_iter", 0),
        ("trpo", "line_search_shrink", 0.0),
        ("trpo", "line_search_shrink", 1.0),
        ("trpo", "n_critic_updates", 0),
        ("trpo", "batch_size", 0),
        ("bc", "batch_size", 0),
        ("bc", "validation_share", 1.0),
        ("bc", "validation_every", -1),
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
        ("dqn", "n_steps", 0),
        ("dqn", "priority_alpha", -0.1),
        ("dqn", "priority_beta", 1.5),
        ("dqn", "n_atoms", 1),
        ("dqn", "n_quantiles", 0),
        ("pqn", "n_steps", 0),
        ("pqn", "batch_size", 0),
        ("pqn", "n_epochs", 0),
        ("pqn", "q_lambda", 1.5),
        ("pqn", "max_grad_norm", 0.0),
        ("sac", "ent_coef", -0.1),
        ("sac", "tau", 0.0),
        ("sac", "train_freq", 0),
        ("sac", "target_entropy_share", 1.1),
        ("sac", "n_critics", 0),
        ("sac", "n_target_critics", 0),
        ("sac", "policy_delay", 0),
        ("td3", "policy_delay", 0),
        ("td3", "target_noise", -0.1),
        ("td3", "target_noise_clip", -0.1),
        ("ddpg", "tau", 1.5),
        ("ddpg", "learning_starts", -1),
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


EVERY_KIND = {"Box", "Discrete", "MultiDiscrete", "MultiBinary", "Text", "Dict", "Tuple"}
EVERY_ACTION = {"Box", "Discrete", "MultiDiscrete", "MultiBinary"}


@pytest.mark.parametrize(
    ("name", "observations", "actions", "networks"),
    [
        ("ppo", EVERY_KIND, EVERY_ACTION, True),
        ("a2c", EVERY_KIND, EVERY_ACTION, True),
        ("reinforce", EVERY_KIND, EVERY_ACTION, True),
        ("trpo", EVERY_KIND, EVERY_ACTION, True),
        ("bc", EVERY_KIND, EVERY_ACTION, True),
        ("dqn", EVERY_KIND, {"Discrete"}, True),
        ("pqn", EVERY_KIND, {"Discrete"}, True),
        ("q_learning", {"Discrete"}, {"Discrete"}, False),
        ("sac", EVERY_KIND, {"Box", "Discrete"}, True),
        ("td3", EVERY_KIND, {"Box"}, True),
        ("ddpg", EVERY_KIND, {"Box"}, True),
        ("iql", EVERY_KIND, {"Discrete"}, True),
        ("ippo", EVERY_KIND, EVERY_ACTION, True),
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
