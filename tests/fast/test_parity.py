"""NumPy's acting, losses, gradients and steps equal torch's, on random inputs."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from rltrain import fast
from rltrain.algos.actor_critic import PolicyGradientLearner
from rltrain.algos.dqn import DQNLearner
from rltrain.algos.ppo import PPOLearner
from rltrain.core.errors import TrainingError
from rltrain.fast.actor_critic import (
    NumpyActorCritic,
    NumpyPolicyGradientLearner,
    NumpyPPOLearner,
)
from rltrain.fast.mlp import NumpyMLP, flatten, linear_layers
from rltrain.fast.q_network import NumpyDQNLearner, dueling_layers
from rltrain.networks.actor_critic import ActorCritic
from rltrain.networks.mlp import MLP, with_head
from rltrain.networks.noisy import make_noisy
from rltrain.networks.q_network import CategoricalQ, Dueling
from rltrain.settings.networks import MLPSettings
from rltrain.settings.run import build_run

N, D, A = 17, 5, 3
ACTIONS = {"discrete": spaces.Discrete(A), "box": spaces.Box(-1, 1, (A,), np.float32)}


def body(activation: str, sizes: tuple[int, ...] = (16, 8)) -> Any:
    return lambda size: MLP(MLPSettings("mlp", sizes, activation, "orthogonal", False), size)  # type: ignore[arg-type]


def rows(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


LEARNING_RATE = 1e-2


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=2e-5, atol=2e-6)


def same_parameters(a: nn.Module, b: nn.Module) -> None:
    """Compare up to a thousandth of a step of the optimizers below.

    They divide by the root of a second moment: where the terms of a gradient cancel, its last
    bits, which are the processor's, become a part of a step. Moments have the close tolerance.
    """
    for one, two in zip(a.parameters(), b.parameters(), strict=True):
        one, two = one.detach().numpy(), two.detach().numpy()
        np.testing.assert_allclose(one, two, rtol=2e-5, atol=1e-3 * LEARNING_RATE)


def adam(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameters(), lr=LEARNING_RATE, betas=(0.8, 0.95), eps=1e-5)


def rmsprop(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(module.parameters(), lr=LEARNING_RATE, alpha=0.9, eps=1e-5)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("sizes", [(), (16,), (16, 8)])
def test_forward_and_backward(activation: str, sizes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = with_head(body(activation, sizes)(D), A, 1.0)
    layers = linear_layers(module)
    assert layers is not None
    flat = flatten(module)
    net = NumpyMLP(layers, flat)
    x, weights = rows(N, D), rows(N, A, seed=1)
    output = module(torch.from_numpy(x))
    close(net.forward(x), output.detach())
    (output * torch.from_numpy(weights)).sum().backward()
    net.backward(weights)
    for parameter in module.parameters():
        assert parameter.grad is not None
        close(flat.gradient(parameter), parameter.grad)


@pytest.mark.parametrize("kind", ACTIONS)
def test_acting(kind: str) -> None:
    torch.manual_seed(0)
    networks = ActorCritic(body("tanh"), D, ACTIONS[kind], -0.5)
    nn.init.normal_(networks.actor[1].weight)
    reference, numpy = fast.TorchActor(networks), NumpyActorCritic(networks)
    x = rows(N, D)
    noise = rows(N, A) if kind == "box" else np.random.default_rng(1).random(N, np.float32)
    for a, b in zip(reference.sample(x, noise), numpy.sample(x, noise), strict=True):
        close(a, b)
    close(reference.mode(x), numpy.mode(x))
    close(reference.value(x), numpy.value(x))


def ppo_settings(compose: Any, *overrides: str) -> Any:
    return build_run(compose("env=CartPole-v1", "tuned=none", *overrides)).algo


def bonus(overrides: list[str]) -> float:
    return 0.1 if "exploration=entropy" in overrides else 0.0


@pytest.mark.parametrize("kind", ACTIONS)
@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["exploration=entropy", "algo.normalize_advantage=false"],
        ["algo.max_grad_norm=0.01", "algo.vf_coef=1.5"],
        ["algo.clip_range_vf=0.5"],
        ["algo.objective=kl_penalty"],
        ["algo.objective=kl_penalty", "exploration=entropy", "algo.normalize_advantage=false"],
    ],
)
def test_ppo_steps(compose: Any, kind: str, overrides: list[str]) -> None:
    torch.manual_seed(0)
    networks = ActorCritic(body("tanh"), D, ACTIONS[kind], -0.5)
    nn.init.normal_(networks.actor[1].weight, std=0.5)
    other = copy.deepcopy(networks)
    optimizers = adam(networks), adam(other)
    settings = ppo_settings(compose, *overrides)
    learners = (
        PPOLearner(networks, optimizers[0], settings),
        NumpyPPOLearner(other, optimizers[1], settings),
    )
    x, noise = rows(64, D), rows(64, A, seed=3)
    if kind == "discrete":
        noise = np.random.default_rng(3).random(64, np.float32)
    action, log_prob, value = fast.TorchActor(networks).sample(x, noise)
    # Old log-probabilities that differ, so that some ratios are clipped on either side.
    old_log_prob = log_prob + 0.3 * rows(64, seed=4)
    old_value = value + 0.5 * rows(64, seed=6)  # some outside the range of values, some inside
    columns = (x, action, old_log_prob, rows(64, seed=5), value + rows(64), old_value)
    for learner in learners:
        learner.ent_coef = bonus(overrides)
        learner.begin(*columns)
    for step in range(6):
        index = np.random.default_rng(step).permutation(64)[:N]
        reference, fast_terms = (learner.step(index, 0.2, 0.7) for learner in learners)
        close([float(t) for t in reference], fast_terms)
        assert 0 < fast_terms[-1] < 1  # some were clipped, some not
    if settings.objective == "kl_penalty":
        reference, found = (learner.divergence() for learner in learners)
        assert reference > 1e-3
        assert found == pytest.approx(reference, rel=1e-4)
    same_parameters(networks, other)
    same_state(*optimizers)


def same_state(a: torch.optim.Optimizer, b: torch.optim.Optimizer) -> None:
    one, two = a.state_dict()["state"], b.state_dict()["state"]
    assert one.keys() == two.keys()
    for index in one:
        assert one[index].keys() == two[index].keys()
        for name in one[index]:
            close(one[index][name], two[index][name])


@pytest.mark.parametrize("critic", [True, False])
@pytest.mark.parametrize("optimizer", [adam, rmsprop])
@pytest.mark.parametrize("kind", ACTIONS)
def test_policy_gradient_steps(compose: Any, kind: str, optimizer: Any, critic: bool) -> None:
    torch.manual_seed(0)
    networks = ActorCritic(body("tanh"), D, ACTIONS[kind], -0.5, critic)
    nn.init.normal_(networks.actor[1].weight, std=0.5)
    other = copy.deepcopy(networks)
    optimizers = optimizer(networks), optimizer(other)
    settings = ppo_settings(compose, "algo=a2c", "algo.vf_coef=1.5")
    learners = (
        PolicyGradientLearner(networks, optimizers[0], settings),
        NumpyPolicyGradientLearner(other, optimizers[1], settings),
    )
    noise = networks.head.noise(N, np.random.default_rng(3))
    for learner in learners:
        learner.ent_coef = 0.1
        learner.begin()
    for step in range(6):
        x = rows(N, D, seed=step)
        action, _, _ = fast.TorchActor(networks).sample(x, noise)
        columns = (x, action, rows(N, seed=step + 50), rows(N, seed=step + 100))
        reference, fast_terms = (learner.step(*columns) for learner in learners)
        close([float(t) for t in reference], fast_terms)
    same_parameters(networks, other)
    same_state(*optimizers)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("double", ["false", "true"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dueling", [False, True])
def test_dqn_steps(
    compose: Any, activation: str, double: str, weighted: bool, dueling: bool
) -> None:
    def make() -> nn.Module:
        if dueling:
            return nn.Sequential(body(activation)(D), Dueling(8, A, 1))
        return with_head(body(activation)(D), A, None)

    torch.manual_seed(0)
    network, target = make(), make()
    pair = copy.deepcopy(network), copy.deepcopy(target)
    optimizers = adam(network), adam(pair[0])
    overrides = ["algo.tau=0.3", "algo.max_grad_norm=0.2", f"algo.double={double}"]
    settings = ppo_settings(compose, "algo=dqn", *overrides)
    learners = (
        DQNLearner(network, target, optimizers[0], settings),
        NumpyDQNLearner(*pair, optimizers[1], settings),
    )
    rng = np.random.default_rng(0)
    for learner in learners:
        learner.begin()
    for step in range(6):
        columns: tuple[Any, ...] = (
            rows(N, D, seed=step),
            rng.integers(A, size=N),
            3 * rows(N, seed=step + 50),  # errors inside and outside Huber's threshold
            rng.integers(2, size=N).astype(np.float32),
            rows(N, D, seed=step + 100),
        )
        if weighted:  # of several steps, from a prioritised memory
            columns += (rng.random(N, np.float32), rng.random(N, np.float32))
        (*reference, errors), (*fast_terms, fast_errors) = (
            learner.step(*columns) for learner in learners
        )
        close([float(t) for t in reference], fast_terms)
        assert (errors is None) == (fast_errors is None) == (not weighted)
        if weighted:
            close(errors, fast_errors)
        for learner in learners:
            learner.update_target()
    for one, two in ((network, pair[0]), (target, pair[1])):
        same_parameters(one, two)
    same_state(*optimizers)


@pytest.mark.parametrize("kind", [adam, rmsprop])
def test_a_loaded_state_is_taken_over(compose: Any, kind: Any) -> None:
    """Three steps, a save and a load into fresh objects, three more: as six in one go."""
    settings = ppo_settings(compose)

    def make() -> tuple[ActorCritic, torch.optim.Optimizer, NumpyPPOLearner]:
        torch.manual_seed(0)
        networks = ActorCritic(body("tanh"), D, ACTIONS["discrete"], 0.0)
        optimizer = kind(networks)
        return networks, optimizer, NumpyPPOLearner(networks, optimizer, settings)

    columns = (rows(8, D), np.zeros(8, np.int64), *rows(4, 8))
    whole, _, learner = make()
    learner.begin(*columns)
    for _ in range(6):
        learner.step(np.arange(8), 0.2, 1.0)
    halved, optimizer, learner = make()
    for _ in range(2):
        learner.begin(*columns)
        for _ in range(3):
            learner.step(np.arange(8), 0.2, 1.0)
        saved = copy.deepcopy((halved.state_dict(), optimizer.state_dict()))
        halved, optimizer, learner = make()
        halved.load_state_dict(saved[0])
        optimizer.load_state_dict(saved[1])
    for a, b in zip(whole.parameters(), halved.parameters(), strict=True):
        assert torch.equal(a, b)


def test_numbers_that_are_none_are_not_applied(compose: Any) -> None:
    networks = ActorCritic(body("tanh"), D, ACTIONS["discrete"], 0.0)
    learner = NumpyPPOLearner(networks, adam(networks), ppo_settings(compose))
    before = [p.clone() for p in networks.parameters()]
    bad = rows(8)
    bad[3] = np.nan
    learner.begin(rows(8, D), np.zeros(8, np.int64), rows(8), rows(8), bad, rows(8))
    with pytest.raises(TrainingError, match=r"train/loss is nan; the update was not applied"):
        learner.step(np.arange(8), 0.2, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, networks.parameters(), strict=True))


def test_what_has_no_counterpart_stays_with_torch(compose: Any) -> None:
    settings = ppo_settings(compose)
    known = ActorCritic(body("tanh"), D, ACTIONS["discrete"], 0.0)
    unknown = ActorCritic(body("gelu"), D, ACTIONS["discrete"], 0.0)
    sgd = torch.optim.SGD(known.parameters(), lr=0.1)
    decayed = torch.optim.Adam(known.parameters(), weight_decay=0.1)
    heavy = torch.optim.RMSprop(known.parameters(), momentum=0.9)
    coins = ActorCritic(body("tanh"), D, spaces.MultiBinary(2), 0.0)

    def learner(networks: ActorCritic, optimizer: torch.optim.Optimizer, kernels: str) -> type:
        return type(fast.choose(PPOLearner, kernels, networks, optimizer, settings))

    assert learner(known, adam(known), "numpy") is NumpyPPOLearner
    assert learner(known, adam(known), "torch") is PPOLearner
    assert learner(known, sgd, "numpy") is PPOLearner
    assert learner(known, decayed, "numpy") is PPOLearner
    assert learner(known, heavy, "numpy") is PPOLearner
    assert learner(known, rmsprop(known), "numpy") is NumpyPPOLearner
    assert learner(coins, adam(coins), "numpy") is PPOLearner
    assert isinstance(fast.actor_critic(coins, "numpy"), fast.TorchActor)
    assert learner(unknown, adam(unknown), "numpy") is PPOLearner
    assert isinstance(fast.actor_critic(unknown, "numpy"), fast.TorchActor)
    assert isinstance(fast.actor_critic(known, "torch"), fast.TorchActor)


def test_networks_that_are_no_chain_are_not_taken_for_one() -> None:
    """Their leaves alone would look like one; duelling streams have a form of their own."""
    duelling = nn.Sequential(body("relu")(D), Dueling(8, A, 1))
    normalised = MLP(MLPSettings("mlp", (8,), "relu", "uniform", True), D)
    noisy = with_head(body("relu")(D), A, None)
    make_noisy(noisy, 0.5)
    atoms = CategoricalQ(with_head(body("relu")(D), 3 * A, None), 3, -1.0, 1.0)
    for network in (duelling, normalised, noisy, atoms):
        assert linear_layers(network) is None
        assert (dueling_layers(network) is not None) == (network is duelling)
        x = rows(N, D)
        expected = network(torch.from_numpy(x)).detach()
        close(fast.q_network(network, "numpy")(x), expected)
