from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rltrain.core.types import Progress
from rltrain.settings.run import build_run
from rltrain.training.build import build_algorithm, build_envs
from rltrain.training.sampler import InlineSampler
from tests.conftest import small


def build(compose: Any, *overrides: str) -> tuple[Any, InlineSampler]:
    run = build_run(compose(*small("pqn", *overrides)))
    envs = build_envs(run)
    algorithm = build_algorithm(run, envs)
    return algorithm, InlineSampler(envs, algorithm, np.random.default_rng(0))


def test_its_network_is_normalised_and_there_is_neither_target_nor_replay(compose: Any) -> None:
    algorithm, _ = build(compose)
    kinds = [type(m) for m in algorithm.policy.network.modules()]
    assert kinds.count(nn.LayerNorm) == 2
    assert not hasattr(algorithm, "target")
    assert len(algorithm.memory.reward) == algorithm.horizon == 16


def test_values_of_successors_are_those_of_the_observations_that_followed(compose: Any) -> None:
    algorithm, sampler = build(compose, "env.max_episode_steps=4")
    sampler.collect(algorithm.horizon, Progress(1000), lambda: False)
    rollout, policy = algorithm.memory, algorithm.policy
    x = policy.inputs.array(rollout.obs.reshape(-1, 4))
    found = algorithm._next_values(x)
    assert rollout.truncated.any()
    with torch.no_grad():
        for t in range(15):
            going_on = ~(rollout.terminated[t] | rollout.truncated[t])
            after = policy.network(policy.inputs(rollout.obs[t + 1])).amax(-1).numpy()
            np.testing.assert_allclose(found[t, going_on], after[going_on], rtol=1e-5)
        for t, b, obs in rollout.final_obs:
            after = policy.network(policy.inputs(obs[None])).amax()
            assert found[t, b] == pytest.approx(float(after), rel=1e-5)
        after = policy.network(policy.inputs(rollout.successor)).amax(-1).numpy()
        np.testing.assert_allclose(found[-1], after, rtol=1e-5)


def test_the_loss_of_one_batch_by_hand(compose: Any) -> None:
    overrides = ["algo.n_epochs=1", "algo.batch_size=1000", "algo.gamma=0.5", "algo.q_lambda=0.5"]
    algorithm, sampler = build(compose, *overrides, "env.num_envs=1", "algo.n_steps=3")
    head = algorithm.policy.network[-1]
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor([2.0, 4.0]))
    sampler.collect(algorithm.horizon, Progress(1000), lambda: False)
    # CartPole pays 1, and max Q is 4: 1 + .5 · 4 = 3; 1 + .5 (.5 · 4 + .5 · 3) = 2.75;
    # 1 + .5 (.5 · 4 + .5 · 2.75) = 2.6875
    targets = np.array([2.6875, 2.75, 3.0])
    values = np.array([2.0, 4.0])[algorithm.memory.action[:, 0]]
    metrics = algorithm.update(Progress(1000))
    assert float(metrics["train/loss"]) == pytest.approx(0.5 * np.square(values - targets).mean())
    assert float(metrics["train/q_value"]) == pytest.approx(values.mean())


def test_epochs_and_minibatches_are_counted(compose: Any) -> None:
    algorithm, sampler = build(compose, "algo.n_epochs=3", "algo.batch_size=20")
    progress = Progress(1000)
    sampler.collect(algorithm.horizon, progress, lambda: False)
    algorithm.update(progress)
    assert progress.updates == 3 * 3  # 48 samples in 20, 20 and 8


def test_the_rate_falls_by_the_start_of_each_rollout(compose: Any) -> None:
    algorithm, sampler = build(compose, "algo.learning_rate_schedule=linear")
    progress = Progress(96)
    for share in (1.0, 0.5):  # two rollouts of 48 steps: the last one still learns
        sampler.collect(algorithm.horizon, progress, lambda: False)
        metrics = algorithm.update(progress)
        rate = algorithm.settings.learning_rate
        assert metrics["train/learning_rate"] == pytest.approx(share * rate)


@pytest.mark.parametrize("network", ["mlp_norm", "mlp_relu"])
@pytest.mark.parametrize("optimizer", ["radam", "adam"])
def test_kernels_make_no_difference(compose: Any, network: str, optimizer: str) -> None:
    """Where NumPy acts and torch learns, they share what is learned."""
    found = []
    for kernels in ("numpy", "torch"):
        overrides = [f"kernels={kernels}", f"network={network}", f"optimizer={optimizer}"]
        algorithm, sampler = build(compose, *overrides)
        progress = Progress(1000)
        for _ in range(3):
            sampler.collect(algorithm.horizon, progress, lambda: False)
            metrics = algorithm.update(progress)
        found.append([float(metrics["train/loss"]), float(metrics["train/q_value"])])
    assert found[0] == pytest.approx(found[1], rel=1e-3)
