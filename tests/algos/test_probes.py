"""Every algorithm of one agent learns the known value or policy of what its spaces allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from rltrain.core.types import Progress
from rltrain.envs.probes import PROBES
from rltrain.settings.defaults import choices
from rltrain.settings.run import RunSettings, build_run
from rltrain.training.build import build_algorithm, build_envs
from rltrain.training.sampler import InlineSampler
from tests.conftest import algo_entry, slow
from tests.learning import over_seeds

GAMMA = 0.9
DQN = [
    "env.num_envs=1",
    "algo.learning_rate=0.005",
    "algo.learning_starts=64",
    "algo.train_freq=1",
    "algo.batch_size=32",
    "algo.target_update_interval=20",
    "exploration.final_eps=0.3",
]
ATOMS = ["algo.v_min=-2", "algo.v_max=12"]
REPLAY = [
    "env.num_envs=1",
    "network.hidden_sizes=[32,32]",
    "algo.learning_rate=0.005",
    "algo.learning_starts=100",
    "algo.batch_size=32",
    "algo.tau=0.05",
]
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
            "algo.learning_rate_schedule=linear",
            "algo.normalize_obs=false",
            "algo.normalize_reward=false",
            "algo.gae_lambda=0.95",
        ],
    ),
    "a2c": (
        16_000,
        [
            "env.num_envs=16",
            "algo.n_steps=8",
            "algo.learning_rate=0.005",
            "algo.learning_rate_schedule=linear",
            "algo.normalize_advantage=true",
            "algo.normalize_obs=false",
            "algo.normalize_reward=false",
            "algo.log_std_init=-1",  # actions beyond the bounds look as good as those on them
        ],
    ),
    "reinforce": (
        16_000,
        [
            "env.num_envs=16",
            "algo.n_steps=8",
            "algo.n_episodes=4",
            "algo.learning_rate=0.01",
            "algo.learning_rate_schedule=linear",
            "algo.normalize_obs=false",
            "algo.log_std_init=-1",
        ],
    ),
    "trpo": (
        3200,
        [
            "env.num_envs=4",
            "algo.n_steps=16",
            "algo.batch_size=32",
            "algo.learning_rate=0.005",
            "algo.normalize_obs=false",
            "algo.normalize_reward=false",
        ],
    ),
    "dqn": (1500, DQN),
    "d3qn": (1500, DQN),
    "qr_dqn": (1500, DQN),
    "c51": (1500, [*DQN, *ATOMS]),
    "rainbow": (1500, [o for o in [*DQN, *ATOMS] if not o.startswith("exploration.")]),
    "pqn": (
        3200,
        [
            "env.num_envs=4",
            "algo.n_steps=16",
            "algo.batch_size=32",
            "algo.n_epochs=8",
            "algo.learning_rate=0.005",
            "exploration.final_eps=0.3",
        ],
    ),
    "q_learning": (1500, ["env.num_envs=1", "algo.learning_rate=0.2"]),
    "sac": (1200, REPLAY),
    "redq": (
        600,
        [
            *REPLAY,
            "algo.train_freq=2",
            "algo.gradient_steps=2",
            "algo.policy_delay=2",
            "algo.n_critics=3",
            "algo.ent_coef=0.02",
        ],
    ),
    "td3": (1200, [*REPLAY, "exploration.std=0.3"]),
    "ddpg": (1200, [*REPLAY, "exploration.std=0.3"]),
}
# What needs a dataset is tried with one: test_bc.py, test_datasets.py.
NEEDING = [a for a in choices("algo") if algo_entry(a).data == "only"] + ["rlpd"]
ALGOS = [a for a in choices("algo") if not algo_entry(a).multi_agent and a not in NEEDING]


def taking(kind: str) -> list[str]:
    """Algorithms that take actions of this kind."""
    return [a for a in ALGOS if kind in algo_entry(a).actions]


def takes(algo: str) -> tuple[str, ...]:
    return algo_entry(algo).actions


def observation(bit: int, discrete: bool) -> np.ndarray:
    return np.array([bit]) if discrete else np.array([[2 * bit - 1]], np.float32)


def value(algorithm: Any, obs: np.ndarray) -> float:
    """max_a Q(s, a), Q(s, π(s)), or V(s)."""
    policy = algorithm.policy
    if hasattr(algorithm, "value"):
        return float(algorithm.value(obs))
    if hasattr(policy, "table"):
        return float(policy.table[obs[0]].max())
    with torch.no_grad():
        x = policy.inputs(obs)
        if hasattr(policy, "network"):
            return float(policy.network(x).max())
        return float(policy.networks.value(x))


def learn(
    compose: Any,
    algo: str,
    probe: str,
    more: Sequence[str] = (),
    share: float = 1.0,  # of the steps that it usually takes
    seed: int = 0,
    **kwargs: Any,
) -> tuple[Any, bool]:
    discrete = "Box" not in algo_entry(algo).observations
    steps, overrides = LEARN[algo]
    steps = int(share * steps)
    arguments = {"discrete": discrete, **kwargs}  # Hydra reads True as well as true
    run = build_run(
        compose(
            f"algo={algo}",
            f"env=rltrain.envs.probes:rltrain/{probe}-v0",
            "tuned=none",
            f"algo.gamma={GAMMA}",
            f"total_timesteps={steps}",
            f"seed={seed}",
            *overrides,
            *more,
            *[f"env.kwargs.{k}={v}" for k, v in arguments.items()],
        )
    )
    return trained(run, steps), discrete


def trained(run: RunSettings, steps: int) -> Any:
    """The algorithm of a run after as many steps."""
    envs = build_envs(run)
    algorithm = build_algorithm(run, envs)
    sampler = InlineSampler(envs, algorithm, np.random.default_rng(run.seed))
    progress = Progress(steps)
    while progress.steps < steps:
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
    return algorithm


# A newcomer's tests have the policy of ObservedAction for each algorithm: of values and actions.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("algo", "actions"), [(a, k) for k in ("Box", "Discrete") for a in taking(k)]
)
@pytest.mark.parametrize(
    ("probe", "values"),
    [
        ("OneStep", {0: 1.0}),
        ("ObservedValue", {0: -1.0, 1: 1.0}),
        ("TwoSteps", {0: GAMMA, 1: 1.0}),
        ("TruncatedChain", {0: 1 / (1 - GAMMA)}),
    ],
)
@over_seeds
def test_values(
    compose: Any, algo: str, actions: str, probe: str, values: dict[int, float], seed: int
) -> None:
    algorithm, discrete = learn(compose, algo, probe, seed=seed, continuous=actions == "Box")
    for bit, expected in values.items():
        assert value(algorithm, observation(bit, discrete)) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    "algo", [a if a != "rainbow" else slow(a) for a in ALGOS if "Discrete" in takes(a)]
)
@pytest.mark.parametrize(
    ("probe", "actions"), [slow("BestAction", {0: 1}), ("ObservedAction", {0: 0, 1: 1})]
)
@over_seeds
def test_policies(compose: Any, algo: str, probe: str, actions: dict[int, int], seed: int) -> None:
    algorithm, discrete = learn(compose, algo, probe, seed=seed)
    rng = np.random.default_rng(0)
    for bit, expected in actions.items():
        action, _, _ = algorithm.policy.act(observation(bit, discrete), None, False, rng)
        assert action.tolist() == [expected]


@pytest.mark.parametrize("algo", taking("Box"))
@pytest.mark.parametrize(
    ("probe", "actions"), [slow("BestAction", {0: 0.5}), ("ObservedAction", {0: -0.5, 1: 0.5})]
)
@over_seeds
def test_continuous_policies(
    compose: Any, algo: str, probe: str, actions: dict[int, float], seed: int
) -> None:
    algorithm, _ = learn(compose, algo, probe, seed=seed, continuous=True)
    for bit, expected in actions.items():
        action, _, _ = algorithm.policy.act(
            observation(bit, False), None, False, np.random.default_rng(0)
        )
        assert action.item() == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize(
    ("algo", "kind"), [(a, k) for k in ("MultiDiscrete", "MultiBinary") for a in taking(k)]
)
@pytest.mark.slow
@pytest.mark.parametrize("probe", ["BestAction", "ObservedAction"])
@over_seeds
def test_policies_of_several_components(
    compose: Any, algo: str, kind: str, probe: str, seed: int
) -> None:
    best = {
        "MultiDiscrete": {"BestAction": {0: [1, 2]}, "ObservedAction": {0: [0, 0], 1: [1, 2]}},
        "MultiBinary": {"BestAction": {0: [1, 0]}, "ObservedAction": {0: [0, 1], 1: [1, 0]}},
    }
    more = ["algo.learning_rate=0.002"] if algo == "ppo" else []  # else one choice ends too soon
    algorithm, _ = learn(compose, algo, probe, more, seed=seed, actions=kind)
    rng = np.random.default_rng(0)
    for bit, expected in best[kind][probe].items():
        action, _, _ = algorithm.policy.act(observation(bit, False), None, False, rng)
        assert action.tolist() == [expected]


def remembered(algorithm: Any) -> list[int]:
    """For either bit: what is done a step after it was seen."""
    policy, rng, actions = algorithm.policy, np.random.default_rng(0), []
    for bit in (0, 1):
        state = policy.initial_state(1)
        for obs in (observation(bit, False), np.zeros((1, 1), np.float32)):
            action, state, _ = policy.act(obs, state, False, rng)
        actions.append(int(action[0]))
    return actions


MEMORY = {
    "lstm": ["network.state_size=16"],
    "gru": ["network.state_size=16"],
    "transformer": ["network.width=16", "network.window=2", "network.num_layers=1"],
}


@pytest.mark.parametrize("network", [slow("lstm"), "gru", slow("transformer")])
@pytest.mark.parametrize("algo", ["a2c", slow("dqn"), slow("ppo")])
@over_seeds
def test_memory_of_one_step(compose: Any, algo: str, network: str, seed: int) -> None:
    more = [f"network={network}", *MEMORY[network]]
    if algo == "dqn":  # sequences end with episodes, after two steps
        more += ["network.sequence_length=2", "network.burn_in=1"]
    if network == "transformer":
        more += [f"algo.learning_rate={0.001 if algo == 'dqn' else 0.002}"]
    algorithm, _ = learn(compose, algo, "RememberedBit", more, seed=seed)
    assert remembered(algorithm) == [0, 1]


def test_without_memory_both_bits_look_alike(compose: Any) -> None:
    algorithm, _ = learn(compose, "ppo", "RememberedBit", share=0.1)
    first, second = remembered(algorithm)
    assert first == second


def test_every_probe_is_used() -> None:
    used = {"OneStep", "ObservedValue", "TwoSteps", "TruncatedChain", "BestAction"}
    assert set(PROBES) == used | {"ObservedAction", "RememberedBit"}
