"""Recurrent networks inside the algorithms: the stored state is the one that acted."""

from typing import Any

import numpy as np
import pytest
import torch

from rltrain.core.errors import UserError
from rltrain.core.types import Progress
from rltrain.settings.run import build_run
from rltrain.training.build import build_algorithm, build_envs
from rltrain.training.sampler import InlineSampler
from tests.conftest import small


def build(compose: Any, algo: str, *overrides: str) -> tuple[Any, InlineSampler]:
    run = build_run(compose(*small(algo, *overrides)))
    envs = build_envs(run)
    algorithm = build_algorithm(run, envs)
    return algorithm, InlineSampler(envs, algorithm, np.random.default_rng(0))


def collect(algorithm: Any, sampler: InlineSampler, updates: int = 0) -> None:
    progress = Progress(10_000)
    for _ in range(updates):
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
    sampler.collect(algorithm.horizon, progress, lambda: False)


@pytest.mark.parametrize("network", ["lstm", "gru", "transformer"])
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_an_update_sees_what_the_policy_saw(compose: Any, env: str, network: str) -> None:
    """log π and V of the samples are those of acting, over starts of episodes and cuts."""
    more = (f"env={env}", "algo.n_steps=40", "env.num_envs=3", "algo.normalize_obs=false")
    algorithm, sampler = build(compose, f"ppo+{network}", *more)
    collect(algorithm, sampler, updates=1)  # the second rollout begins in mid-episode
    rollout, networks = algorithm.memory, algorithm.policy.networks
    assert (rollout.terminated | rollout.truncated).any() == (env == "CartPole-v1")
    _, _, values = algorithm.advantages()
    x, action, old = algorithm.samples()
    assert x.begins.sum() >= 3 * 7  # cut after six steps
    x = x.map(torch.from_numpy)
    with torch.no_grad():
        log_prob, _, _ = networks.evaluate(x, torch.from_numpy(action))
        np.testing.assert_allclose(log_prob, old, atol=1e-4)
        np.testing.assert_allclose(networks.value(x), values, atol=1e-4)


def test_minibatches_are_whole_sequences_and_all_of_them(compose: Any) -> None:
    algorithm, sampler = build(compose, "ppo+gru", "algo.n_steps=40")
    collect(algorithm, sampler)
    x, _, _ = algorithm.samples()
    starts = np.flatnonzero(x.begins)
    seen = []
    for rows in algorithm.order.minibatches(len(x), 16, np.random.default_rng(0)):
        first = np.flatnonzero(x.begins[rows])
        assert first[0] == 0
        for part in np.split(rows, first[1:]):
            i = int(np.flatnonzero(starts == part[0])[0])
            end = starts[i + 1] if i + 1 < len(starts) else len(x)
            assert part.tolist() == list(range(starts[i], end))
        seen += rows.tolist()
    assert sorted(seen) == list(range(len(x)))


def test_what_follows_a_rollout_is_valued_with_its_state(compose: Any) -> None:
    """V of the successors is that of a policy that goes on acting from there."""
    algorithm, sampler = build(compose, "ppo+lstm", "algo.normalize_obs=false")
    collect(algorithm, sampler)
    following = algorithm._next_values()
    rollout, policy = algorithm.memory, algorithm.policy
    _, _, extras = policy.act(
        sampler.envs.obs, sampler.policy_state, True, np.random.default_rng(0)
    )
    going = ~(rollout.terminated | rollout.truncated)[-1]
    assert going.any()
    np.testing.assert_allclose(following[-1][going], extras["value"][going], atol=1e-5)


@pytest.mark.parametrize("network", ["lstm", "gru", "transformer"])
def test_replayed_sequences_are_as_they_were_lived(compose: Any, network: str) -> None:
    """Q of every sampled step is that of the whole episode, walked through from its start."""
    more = ("algo.learning_starts=10000", "algo.buffer_size=400", "algo.n_steps=3")
    algorithm, sampler = build(compose, f"dqn+{network}", *more)
    progress = Progress(10_000)
    for _ in range(20):
        sampler.collect(algorithm.horizon, progress, lambda: False)
    memory, policy = algorithm.memory, algorithm.policy
    obs, state = memory.columns["obs"], None
    lived: dict[bytes, np.ndarray] = {}
    for b in range(2):
        state = policy.initial_state(1)
        for row in range(b, memory.size, 2):
            assert np.allclose(memory.state[row], state[0], atol=1e-5)
            moment = policy.recall.moment(policy.inputs.array(obs[row : row + 1]), state)
            lived[obs[row].tobytes()] = policy.q_values(moment)[0]
            state = policy.recall.after(moment, state)
            ended = memory.columns["terminated"][row] or memory.columns["truncated"][row]
            state = policy.restart(state, np.array([bool(ended)]))
    batch = memory.sample(120, np.random.default_rng(0))
    for sequences in (batch.obs, batch.successor):
        found = policy.q_values(policy.inputs.array(sequences))
        rows = sequences.x[sequences.pick]
        known = [i for i, row in enumerate(rows) if row.tobytes() in lived]
        assert len(known) > 0.8 * len(rows)  # ends of episodes were never acted on
        expected = np.stack([lived[rows[i].tobytes()] for i in known])
        np.testing.assert_allclose(found[known], expected, atol=1e-4)


@pytest.mark.parametrize("variant", ["dqn", "d3qn", "c51", "qr_dqn"])
def test_the_extensions_of_dqn_remember_too(compose: Any, variant: str) -> None:
    more = ("algo.prioritized=false", "exploration=noisy") if variant == "d3qn" else ()
    overrides = [o for o in small("dqn+lstm", *more) if not o.startswith("algo=")]
    run = build_run(compose(f"algo={variant}", *overrides))
    envs = build_envs(run)
    algorithm = build_algorithm(run, envs)
    sampler = InlineSampler(envs, algorithm, np.random.default_rng(0))
    collect(algorithm, sampler, updates=8)
    rnn = next(m for m in algorithm.policy.network.modules() if isinstance(m, torch.nn.LSTM))
    assert all(p.grad is not None and p.grad.any() for p in (rnn.weight_ih_l0, rnn.weight_hh_l0))


def test_agents_keep_states_of_their_own(compose: Any) -> None:
    algorithm, sampler = build(compose, "ippo+lstm", "algo.share_parameters=false")
    policy = algorithm.policy
    rows = sampler.envs.num_rows
    state = policy.initial_state(rows)
    obs = np.ones((rows, 4), np.float32)
    _, after, extras = policy.act(obs, state, True, np.random.default_rng(0))
    assert after.shape == state.shape == extras["state"].shape
    assert np.allclose(after[0], after[2])  # one agent of two environments
    assert not np.allclose(after[0], after[1])  # its neighbour has another network
    assert not policy.restart(after, np.eye(rows, dtype=bool)[1])[1].any()


def test_prioritised_sequences_are_refused(compose: Any) -> None:
    with pytest.raises(UserError, match=r"^algo.prioritized=true: a recurrent network"):
        build(compose, "dqn+lstm", "algo.prioritized=true")


def test_an_algorithm_without_order_is_refused(compose: Any) -> None:
    with pytest.raises(UserError, match=r"^network=lstm: algo=trpo .* a2c, dqn, .*ppo"):
        build_run(compose("algo=trpo", "env=CartPole-v1", "network=lstm"))


@pytest.mark.parametrize("network", ["", "+gru", "+lstm", "+transformer"])
def test_noise_changes_actions_with_and_without_memory(compose: Any, network: str) -> None:
    """And evaluation, whose actions are greedy, goes without it."""
    noisy = ["exploration=noisy", "exploration.sigma=3"]
    algorithm, _ = build(compose, f"dqn{network}", *noisy)
    policy, rng = algorithm.policy, np.random.default_rng(0)
    obs = np.random.default_rng(1).standard_normal((64, 4), np.float32)
    state = policy.initial_state(64)
    greedy, _, _ = policy.act(obs, state, False, rng)
    again, _, _ = policy.act(obs, state, False, rng)
    drawn = [policy.act(obs, state, True, rng)[0] for _ in range(20)]
    assert (greedy == again).all()
    assert any((action != greedy).any() for action in drawn)
    assert all(layer.source is None for layer in policy.noisy)
