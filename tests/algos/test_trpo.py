from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from rltrain.algos.trpo import fisher_product, flat, line_search, put
from rltrain.core.errors import TrainingError
from rltrain.core.types import Progress
from rltrain.networks.actor_critic import ActorCritic
from rltrain.networks.mlp import MLP
from rltrain.settings.networks import MLPSettings
from rltrain.settings.run import build_run
from rltrain.training.build import build_algorithm, build_envs
from rltrain.training.sampler import InlineSampler
from tests.conftest import small

SPACES = {
    "discrete": spaces.Discrete(3),
    "box": spaces.Box(-1, 1, (2,), np.float32),
    "multi_discrete": spaces.MultiDiscrete([2, 3]),
    "multi_binary": spaces.MultiBinary(2),
}


def build(compose: Any, *overrides: str) -> tuple[Any, InlineSampler]:
    run = build_run(compose(*small("trpo", *overrides)))
    envs = build_envs(run)
    algorithm = build_algorithm(run, envs)
    return algorithm, InlineSampler(envs, algorithm, np.random.default_rng(0))


@pytest.mark.parametrize("kind", SPACES)
def test_the_fisher_product_is_the_hessian_of_the_kl(kind: str) -> None:
    """Against torch's own Hessian, built column by column from a function of the parameters."""
    torch.manual_seed(0)
    settings = MLPSettings("mlp", (3,), "tanh", "orthogonal", False)
    networks = ActorCritic(lambda size: MLP(settings, size), 2, SPACES[kind], -0.3).double()
    nn.init.normal_(networks.actor[1].weight)
    x = torch.randn(5, 2, dtype=torch.float64)
    parameters = networks.policy_parameters()
    names = [n for n, _ in networks.named_parameters() if not n.startswith("critic")]
    old = tuple(p.detach().clone() for p in networks.distribution(x))

    def kl_of(values: torch.Tensor) -> torch.Tensor:
        parts = values.split([p.numel() for p in parameters])
        moved = {n: v.view_as(p) for n, v, p in zip(names, parts, parameters, strict=True)}
        new = torch.func.functional_call(networks, moved, (x,))
        return networks.head.kl(old, new).mean()

    networks.forward = networks.distribution  # type: ignore[method-assign]
    at = flat([p.detach() for p in parameters])
    hessian = torch.autograd.functional.hessian(kl_of, at)
    assert hessian.abs().max() > 0.05
    kl = networks.head.kl(old, networks.distribution(x)).mean()
    product = fisher_product(kl, parameters, damping=0.25)
    for v in torch.randn(3, len(at), dtype=torch.float64):
        torch.testing.assert_close(product(v), hessian @ v + 0.25 * v)


def test_a_line_search_that_fails_restores_every_bit() -> None:
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(3, 2)), nn.Parameter(torch.randn(4) * 1e-8)]
    before = [p.detach().clone() for p in parameters]
    tried: list[torch.Tensor] = []

    def holds() -> bool:
        tried.append(flat([p.detach() for p in parameters]))
        return False

    step = torch.full((10,), 1e4)
    assert not line_search(parameters, step, holds, 0.5, 3)
    assert all(torch.equal(a, b) for a, b in zip(before, parameters, strict=True))
    for k, values in enumerate(tried):
        torch.testing.assert_close(values, flat(before) + 0.5**k * step)


def test_a_line_search_takes_the_first_step_that_holds() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    found = line_search(
        [parameter], torch.tensor([8.0, 4.0]), lambda: bool(parameter[0] <= 3), 0.5, 10
    )
    assert found
    assert parameter.tolist() == [2.0, 1.0]


def test_parameters_are_written_in_place() -> None:
    parameter = nn.Parameter(torch.zeros(2, 2))
    view = parameter.detach().numpy()
    put([parameter], torch.arange(4.0))
    assert view.tolist() == [[0, 1], [2, 3]]


def policy_and_old(algorithm: Any) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    inputs, _, _ = algorithm.samples()
    x = torch.from_numpy(inputs)
    with torch.no_grad():
        return x, tuple(p.clone() for p in algorithm.policy.networks.distribution(x))


@pytest.mark.parametrize("kernels", ["torch", "numpy"])
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_a_step_holds_the_constraint_and_uses_most_of_it(
    compose: Any, env: str, kernels: str
) -> None:
    overrides = [f"env={env}", "algo.normalize_obs=false", "algo.cg_damping=0.001"]
    algorithm, sampler = build(compose, *overrides, f"kernels={kernels}", "algo.n_steps=64")
    networks, progress = algorithm.policy.networks, Progress(10_000)
    for _ in range(3):
        sampler.collect(algorithm.horizon, progress, lambda: False)
        x, old = policy_and_old(algorithm)
        metrics = algorithm.update(progress)
        with torch.no_grad():
            kl = float(networks.head.kl(old, networks.distribution(x)).mean())
        assert float(metrics["train/is_line_search_success"]) == 1
        assert 0.001 < kl <= 0.01 + 1e-6
        assert kl == pytest.approx(float(metrics["train/kl_divergence_loss"]), rel=1e-3)
        assert float(metrics["train/policy_objective"]) > 0  # advantages have mean 0
        # What acts sees the step: its arrays are views of the parameters.
        array = x.numpy()
        np.testing.assert_allclose(
            algorithm.policy.actor.mode(array), networks.mode(x).detach(), rtol=1e-4, atol=1e-5
        )


def test_where_no_step_holds_the_policy_stays_and_the_critic_learns(
    compose: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm, sampler = build(compose)
    sampler.collect(algorithm.horizon, Progress(1000), lambda: False)
    networks = algorithm.policy.networks
    before = copy.deepcopy(networks)
    kl = type(networks.head).kl
    # The KL of any step is too large; its gradients are as they were.
    monkeypatch.setattr(type(networks.head), "kl", lambda *a: kl(*a) + 1)
    metrics = algorithm.update(Progress(1000))
    assert float(metrics["train/is_line_search_success"]) == 0
    assert float(metrics["train/kl_divergence_loss"]) == 0
    pairs = zip(before.policy_parameters(), networks.policy_parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(before.critic[-1].weight, networks.critic[-1].weight)


def test_the_critic_takes_minibatches_of_every_pass(compose: Any) -> None:
    algorithm, sampler = build(compose, "algo.batch_size=20", "algo.n_critic_updates=4")
    progress = Progress(1000)
    sampler.collect(algorithm.horizon, progress, lambda: False)
    algorithm.update(progress)
    assert progress.updates == 1 + 4 * 3  # 48 samples: 20, 20 and 8


def test_a_gradient_that_is_no_number_changes_nothing(compose: Any) -> None:
    algorithm, sampler = build(compose, "algo.normalize_reward=false")
    sampler.collect(algorithm.horizon, Progress(1000), lambda: False)
    algorithm.memory.reward[3] = np.nan
    before = copy.deepcopy(algorithm.policy.networks)
    with pytest.raises(TrainingError, match="policy's gradient is no number"):
        algorithm.update(Progress(1000))
    pairs = zip(before.parameters(), algorithm.policy.networks.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_all_parameters_are_counted(compose: Any) -> None:
    algorithm, _ = build(compose, "network.hidden_sizes=[8]")
    # CartPole: 4·8 + 8 twice, 8·2 + 2, 8 + 1
    assert algorithm.num_parameters == 2 * 40 + 18 + 9
