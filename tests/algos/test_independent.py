"""Independent learners: whose rows are whose, what the dead leave behind, and what is learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rltrain.algos.base import Policy
from rltrain.algos.dqn import DQN
from rltrain.algos.independent import mean_of
from rltrain.algos.ppo import PPO
from rltrain.core.errors import UserError
from rltrain.core.state import digest
from rltrain.core.types import Progress, Transition
from rltrain.settings.run import build_run
from rltrain.training import session
from rltrain.training.build import build_algorithm, build_envs
from rltrain.training.sampler import InlineSampler
from tests.learning import over_seeds

GAMMA = 0.9
SHARED = ("algo.share_parameters=true", "algo.agent_id=true")
OWN = ("algo.share_parameters=false",)
LEARN = {
    "iql": (
        1600,
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
    "ippo": (
        6400,
        [
            "env.num_envs=4",
            "network.hidden_sizes=[32,32]",
            "algo.n_steps=16",
            "algo.batch_size=32",
            "algo.n_epochs=8",
            "algo.learning_rate=0.006",
            "algo.learning_rate_schedule=linear",  # a constant rate leaves the values noisy
            "exploration=entropy",
            "exploration.ent_coef=0.1",
            # Of equal rewards it makes noise of unit size, which undoes what was learned.
            "algo.normalize_advantage=false",
            "algo.normalize_obs=false",
            "algo.normalize_reward=false",
        ],
    ),
}


def make(compose: Any, *overrides: str) -> tuple[Any, Any]:
    run = build_run(compose(*overrides, "tuned=none"))
    envs = build_envs(run)
    return build_algorithm(run, envs), envs


def learn(compose: Any, seed: int, algo: str, *overrides: str) -> Any:
    steps, more = LEARN[algo]
    command = (f"algo={algo}", "env=rltrain.envs.teams:rltrain/OwnBits-v0", f"algo.gamma={GAMMA}")
    algorithm, envs = make(compose, *command, *more, *overrides, f"seed={seed}")
    sampler = InlineSampler(envs, algorithm, np.random.default_rng(seed))
    progress = Progress(steps)
    while progress.steps < steps:
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
    return algorithm


def value(algorithm: Any, agent: int, obs: list[float]) -> float:
    """max_a Q(o, a), or V(o), of an agent."""
    rows = np.zeros((2, 2), np.float32)
    rows[agent] = obs
    views, policies = algorithm.views, algorithm.policy.policies
    shared = len(views) == 1
    policy, own = policies[0 if shared else agent], views[0 if shared else agent].obs(rows)
    with torch.no_grad():
        x = policy.inputs(own[agent : agent + 1] if shared else own)
        net = policy.network if hasattr(policy, "network") else policy.networks.value
        return float(net(x).max())


@pytest.mark.parametrize("algo", ["iql", "ippo"])
@pytest.mark.parametrize(
    ("how", "opposed"), [(OWN, False), (OWN, True), (SHARED, True), (SHARED[:1], False)]
)
@over_seeds
def test_each_agent_learns_the_action_and_the_value_of_its_own_bit(
    compose: Any, algo: str, how: tuple[str, ...], opposed: bool, seed: int
) -> None:
    also = ("algo.agent_id=false",) if len(how) == 1 else ()
    kwargs = f"env.kwargs.opposed={str(opposed).lower()}"
    algorithm = learn(compose, seed, algo, *how, *also, kwargs)
    rng = np.random.default_rng(0)
    for bits in ((0, 0), (0, 1), (1, 0), (1, 1)):
        obs = np.array([[2 * bits[0] - 1, 1], [2 * bits[1] - 1, 2]], np.float32)
        action, _, _ = algorithm.policy.act(obs, None, False, rng)
        assert action.tolist() == [bits[0], 1 - bits[1] if opposed else bits[1]]
    # ε or the policy's own chance is left: what agent 1 does next is right most of the time.
    for bit in (-1, 1):
        assert value(algorithm, 0, [bit, 1]) == pytest.approx(1, abs=0.15)
        assert value(algorithm, 1, [bit, 1]) == pytest.approx(1, abs=0.15)
        assert value(algorithm, 1, [bit, 2]) == pytest.approx(1 + GAMMA, abs=0.25)


@over_seeds
def test_without_an_id_agents_that_need_different_actions_cannot_share(
    compose: Any, seed: int
) -> None:
    """What the id is for: the same observations, and opposite actions that are right."""
    algorithm = learn(
        compose,
        seed,
        "iql",
        "algo.share_parameters=true",
        "algo.agent_id=false",
        "env.kwargs.opposed=true",
        "env.kwargs.lengths=[1,1]",
    )
    obs = np.array([[1, 1], [1, 1]], np.float32)
    action, _, _ = algorithm.policy.act(obs, None, False, np.random.default_rng(0))
    assert action[0] == action[1]
    assert abs(value(algorithm, 0, [1, 1])) < 0.5  # right half of the time


def transition(rng: np.random.Generator, valid: list[bool], scale: float) -> Transition:
    """Rows of two agents in as many environments as fit; those that are not valid vary."""
    mask, count = np.array(valid), len(valid)

    def column(*shape: int) -> np.ndarray:
        live = rng.normal(size=(count, *shape)).astype(np.float32)
        other = np.full((count, *shape), scale, np.float32)
        return np.where(mask.reshape(-1, *[1] * len(shape)), live, other)

    flags = np.zeros(count, np.bool_)
    return Transition(
        obs=column(4),
        action=np.where(mask, rng.integers(2, size=count), int(scale) % 2),
        reward=column(),
        terminated=flags,
        truncated=flags,
        successor=column(4),
        extras={"log_prob": column(), "value": column()},
        valid=mask,
    )


@pytest.mark.parametrize("how", [OWN, SHARED])
@pytest.mark.parametrize("algo", ["iql", "ippo"])
def test_whatever_stands_in_rows_of_the_dead_nothing_depends_on_it(
    compose: Any, algo: str, how: tuple[str, ...]
) -> None:
    """Losses, buffers, normalisers and random streams are the same for any filling."""
    small = ["algo.learning_starts=0", "algo.batch_size=8", "algo.train_freq=12"]
    if algo == "ippo":
        small = ["algo.n_steps=6", "algo.batch_size=8", "algo.normalize_reward=true"]
    found = []
    for scale in (0.0, 55.0):
        algorithm, _ = make(
            compose,
            f"algo={algo}",
            "env=two_carts",
            "env.num_envs=2",
            "algo.normalize_obs=true",
            *small,
            *how,
        )
        rng, progress = np.random.default_rng(3), Progress(1000)
        deaths = [[False] * 4, [True, False, False, False], [False, False, False, True]]
        alive = [[True] * 4, [True] * 4, [False, True, True, True]]
        for t in range(2 * algorithm.horizon):
            step = transition(rng, alive[t % 3], scale)
            algorithm.memory.add(step._replace(terminated=np.array(deaths[t % 3])))
            progress.steps += 2
            if t % algorithm.horizon == algorithm.horizon - 1:
                metrics = algorithm.update(progress)
        found.append((algorithm, metrics, progress.updates))
    assert found[0][2] == found[1][2] > 0
    assert digest(found[0][0].policy.state_dict()) == digest(found[1][0].policy.state_dict())
    assert {k: float(v) for k, v in found[0][1].items()} == {
        k: float(v) for k, v in found[1][1].items()
    }
    policy = found[0][0].policy.policies[0]
    # Row 0 is valid in 8 of 12 steps, the others always; the first learner has rows 0 and 2.
    assert policy.inputs.moments.count == (8 + 3 * 12 if how == SHARED else 8 + 12)


def test_every_learner_gets_its_own_rows_flags_and_stream(compose: Any) -> None:
    algorithm, envs = make(compose, "algo=iql", "env=two_carts", "env.num_envs=2", *OWN)
    rng = np.random.default_rng(0)
    step = transition(rng, [True, True, False, True], 0.0)
    algorithm.memory.add(step._replace(terminated=np.array([False, True, False, False])))
    first, second = algorithm.learners
    assert isinstance(first, DQN)
    assert first.memory.columns["obs"][: first.memory.size].tolist() == step.obs[[0]].tolist()
    assert second.memory.columns["obs"][: second.memory.size].tolist() == step.obs[[1, 3]].tolist()
    assert second.memory.columns["terminated"][:2].tolist() == [1, 0]
    assert first.rng.integers(2**60) != second.rng.integers(2**60)
    weights = [next(x.policy.network.parameters()) for x in (first, second)]
    assert not torch.equal(*weights)
    assert algorithm.num_parameters == first.num_parameters + second.num_parameters
    assert envs.num_rows == 4


def test_a_shared_learner_sees_every_row_with_its_agents_number(compose: Any) -> None:
    algorithm, _ = make(
        compose, "algo=ippo", "env=two_carts", "env.num_envs=2", "algo.n_steps=3", *SHARED
    )
    step = transition(np.random.default_rng(0), [True, True, False, True], 0.0)
    algorithm.memory.add(step)
    (learner,) = algorithm.learners
    assert isinstance(learner, PPO)
    assert learner.memory.obs[0][:, 4:].tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    assert np.array_equal(learner.memory.obs[0][:, :4], step.obs)
    assert np.array_equal(learner.memory.successor[:, :4], step.successor)
    assert learner.memory.valid[0].tolist() == [True, True, False, True]


@pytest.mark.parametrize(("how", "factor"), [(OWN, 1), (SHARED, 2)])
def test_keys_and_schedules_count_environment_steps(
    compose: Any, how: tuple[str, ...], factor: int
) -> None:
    """A shared learner has two rows for each of them, and trains no more often for it."""
    algorithm, envs = make(
        compose,
        "algo=iql",
        "env=two_carts",
        "env.num_envs=2",
        "algo.learning_starts=16",
        "algo.train_freq=8",
        "algo.batch_size=4",
        "exploration.fraction=1.0",
        "exploration.final_eps=0.0",
        *how,
    )
    assert algorithm.horizon == 4  # vector steps of two environments
    sampler, progress = InlineSampler(envs, algorithm, np.random.default_rng(0)), Progress(64)
    updates = []
    for _ in range(4):
        sampler.collect(algorithm.horizon, progress, lambda: False)
        metrics = algorithm.update(progress)
        updates.append(progress.updates)
        assert metrics["rollout/exploration_rate"] == pytest.approx(1 - progress.steps / 64)
    assert progress.steps == 32
    assert updates == [0, 0, 2 // factor, 4 // factor]  # of two learners, or of one


def test_the_ppo_schedule_is_of_the_rollouts_start(compose: Any) -> None:
    for how in (OWN, SHARED):
        algorithm, envs = make(
            compose,
            "algo=ippo",
            "env=two_carts",
            "env.num_envs=2",
            "algo.n_steps=4",
            "algo.learning_rate=1.0e-3",
            "algo.learning_rate_schedule=linear",
            *how,
        )
        sampler, progress = InlineSampler(envs, algorithm, np.random.default_rng(0)), Progress(32)
        for expected in (1e-3, 7.5e-4, 5e-4):
            sampler.collect(algorithm.horizon, progress, lambda: False)
            assert algorithm.update(progress)["train/learning_rate"] == pytest.approx(expected)


def test_a_rollout_in_which_an_agent_was_gone_all_along_is_passed_over(compose: Any) -> None:
    algorithm, _ = make(
        compose, "algo=ippo", "env=two_carts", "env.num_envs=1", "algo.n_steps=3", *OWN
    )
    rng, progress = np.random.default_rng(0), Progress(100)
    for _ in range(2):
        before = digest(algorithm.learners[1].policy.state_dict())
        for _ in range(3):
            algorithm.memory.add(transition(rng, [True, False], 0.0))
        metrics = algorithm.update(progress)
        assert "cart_0/train/loss" in metrics
        assert "cart_1/train/loss" not in metrics
        assert digest(algorithm.learners[1].policy.state_dict()) == before


def test_metrics_are_means_over_learners_and_each_ones_own(compose: Any) -> None:
    algorithm, _ = make(
        compose, "algo=ippo", "env=two_carts", "env.num_envs=1", "algo.n_steps=3", *OWN
    )
    rng = np.random.default_rng(0)
    for _ in range(3):
        algorithm.memory.add(transition(rng, [True, True], 0.0))
    metrics = {k: float(v) for k, v in algorithm.update(Progress(100)).items()}
    a, b = metrics["cart_0/train/value_loss"], metrics["cart_1/train/value_loss"]
    assert a != b
    assert metrics["train/value_loss"] == pytest.approx((a + b) / 2)


def test_means_keep_the_kind_of_what_they_are_of() -> None:
    assert mean_of([torch.tensor(1.0), torch.tensor(4.0)]) == torch.tensor(2.5)
    assert isinstance(mean_of([np.asarray(1.0), np.asarray(2.0)]), np.ndarray)
    assert mean_of([1.0, 2.0]) == 1.5
    assert mean_of(["as it is"]) == "as it is"


def test_agents_that_differ_have_a_learner_each_of_their_own_size(compose: Any) -> None:
    algorithm, envs = make(
        compose,
        "algo=ippo",
        "env=tests.algos.test_independent:unlike",
        "env.num_envs=2",
        "algo.n_steps=4",
        "algo.batch_size=4",
        *OWN,
    )
    assert [x.policy.inputs.size for x in algorithm.learners] == [2, 4]
    sampler, progress = InlineSampler(envs, algorithm, np.random.default_rng(0)), Progress(16)
    for _ in range(2):
        sampler.collect(algorithm.horizon, progress, lambda: False)
        assert algorithm.learners[1].memory.obs.shape == (4, 2, 4)
        assert [x.memory.action.shape for x in algorithm.learners] == [(4, 2, 1), (4, 2, 3)]
        algorithm.update(progress)


def unlike() -> Any:
    """An environment whose agents see and do different things."""
    from tests.envs.parallel_toys import make_script

    return make_script(
        observations={
            "a": spaces.Box(-9, 9, (2,), np.float32),
            "b": spaces.Box(-9, 9, (4,), np.float32),
        },
        actions={
            "a": spaces.Box(-1, 1, (1,), np.float32),
            "b": spaces.Box(-1, 1, (3,), np.float32),
        },
    )


def discrete() -> Any:
    from tests.envs.parallel_toys import make_script

    kind = spaces.Discrete(4)
    return make_script(observations={"a": kind, "b": kind})


def pictures() -> Any:
    from tests.envs.parallel_toys import make_script

    kind = spaces.Box(0, 255, (2, 2), np.uint8)
    return make_script(observations={"a": kind, "b": kind})


def test_the_number_of_an_agent_and_a_discrete_observation_are_one_index(compose: Any) -> None:
    algorithm, _ = make(compose, "algo=iql", "env=tests.algos.test_independent:discrete", *SHARED)
    (view,) = algorithm.views
    assert view.parts.observation_space.n == 8
    assert view.obs(np.array([1, 1, 3, 0])).tolist() == [2, 3, 6, 1]


def test_an_id_cannot_be_appended_to_bytes(compose: Any) -> None:
    with pytest.raises(UserError, match=r"algo.agent_id=true: .*not to Box"):
        make(compose, "algo=iql", "env=tests.algos.test_independent:pictures", *SHARED)


class Drawing(Policy):
    """Acts by numbers that it draws, `count` of them in each act."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.drawn: list[list[float]] = []

    def act(self, obs: Any, state: Any, explore: bool, rng: np.random.Generator) -> Any:
        self.drawn.append(rng.random(self.count).tolist())
        return np.zeros(len(obs), np.int64), state, {}


def test_what_an_agent_draws_does_not_depend_on_the_others(compose: Any) -> None:
    algorithm, envs = make(compose, "algo=iql", "env=rltrain.envs.teams:rltrain/OwnBits-v0", *OWN)

    def drawn(*counts: int) -> list[list[list[float]]]:
        joint = algorithm.policy
        joint.policies = [Drawing(count) for count in counts]
        rng = np.random.default_rng(3)
        for _ in range(3):
            joint.act(envs.restart(), None, True, rng)
        return [policy.drawn for policy in joint.policies]

    (a, b), (c, d) = drawn(4, 4), drawn(4, 9)
    assert a == c
    assert b == [row[:4] for row in d]
    assert len({tuple(row) for row in a + b}) == 6  # no two alike
    numbers = np.array(drawn(4000, 4000)).reshape(6, -1)
    assert np.abs(np.corrcoef(numbers) - np.eye(6)).max() < 0.08  # five deviations


@pytest.mark.parametrize(
    "overrides",
    [
        ("algo=iql",),
        ("algo=iql", "algo.n_steps=3"),
        ("algo=iql", "algo.prioritized=true", "algo.n_steps=3"),
        ("algo=iql", "network=gru", "network.hidden_sizes=[8]", "network.state_size=8"),
        ("algo=ippo", "algo.n_steps=16", "algo.batch_size=16"),
    ],
)
def test_an_agent_that_never_appears_keeps_nobody_from_learning(
    compose: Any, in_tmp: Path, overrides: tuple[str, ...]
) -> None:
    keys = ["env=tests.envs.parallel_toys:make_absent", *OWN, "sampler=inline", "eval.episodes=2"]
    if overrides[0] == "algo=iql":
        keys += ["algo.learning_starts=20", "algo.train_freq=8", "algo.batch_size=8"]
    values = compose(*overrides, *keys, "tuned=none", "total_timesteps=64", "logger.console=off")
    outcome = session.start(values)
    assert outcome.score == 10 * 5 + sum(range(1, 6))
    columns = (outcome.folder / "evaluations.csv").read_text().splitlines()[0]
    assert "eval/a/mean_reward" in columns
    assert "eval/b/mean_reward" not in columns
