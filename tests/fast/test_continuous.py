"""NumPy's losses, gradients and steps of actor-critics with replay equal torch's."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from rltrain import fast
from rltrain.algos.sac import DiscreteSACLearner, SACLearner
from rltrain.algos.td3 import TD3Learner
from rltrain.core.errors import TrainingError
from rltrain.fast.continuous import NumpySACLearner, squashed, squashed_backward
from rltrain.fast.deterministic import NumpyTD3Learner
from rltrain.functional.distributions import squashed_gaussian
from rltrain.networks.critics import Critics
from rltrain.networks.mlp import with_head
from rltrain.settings.run import build_run
from tests.fast.test_parity import adam, body, close, rmsprop, rows, same_state

N, D, A = 17, 5, 3


def settings(compose: Any, *overrides: str) -> Any:
    return build_run(compose("env=Pendulum-v1", "tuned=none", *overrides)).algo


def batch(step: int, size: int = N) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(step)
    return (
        rows(size, D, seed=step),
        rng.uniform(-1, 1, (size, A)).astype(np.float32),
        rows(size, seed=step + 50),
        rng.integers(2, size=size).astype(np.float32),
        rows(size, D, seed=step + 100),
    )


class Parts:
    """Networks and optimisers, of which every copy begins the same."""

    def __init__(
        self,
        activation: str,
        outputs: int,
        optimizer: Any = adam,
        sizes: tuple[int, ...] = (16, 8),
    ) -> None:
        torch.manual_seed(0)
        self.actor = with_head(body(activation, sizes)(D), outputs, None)
        with torch.no_grad():  # so that log σ is beyond its upper bound at times
            self.actor[-1].weight.mul_(8)
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.critics = Critics(body(activation, sizes), D + A, 1, count=2)
        self.targets = Critics(body(activation, sizes), D + A, 1, count=2).requires_grad_(False)
        self.log_ent_coef = torch.tensor(-1.0, requires_grad=True)
        self.optimizers = [optimizer(self.actor), optimizer(self.critics)]
        self.temperature = torch.optim.Adam([self.log_ent_coef], lr=1e-2)

    def sac(self, kind: type, s: Any, threads: int = 1, learned: bool = True) -> Any:
        return kind(
            self.actor,
            self.critics,
            self.targets,
            self.log_ent_coef,
            *self.optimizers,
            self.temperature if learned else None,
            s,
            -3.0,
            threads,
        )

    def td3(self, kind: type, s: Any, threads: int = 1) -> Any:
        networks = (self.actor, self.target_actor, self.critics, self.targets)
        return kind(*networks, *self.optimizers, s, threads)

    def numbers(self) -> list[torch.Tensor]:
        networks = (self.actor, self.target_actor, self.critics, self.targets)
        own = [p.detach() for network in networks for p in network.parameters()]
        return [*own, self.log_ent_coef.detach()]


def compare(one: Parts, other: Parts) -> None:
    for a, b in zip(one.numbers(), other.numbers(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    for a, b in zip(one.optimizers, other.optimizers, strict=True):
        same_state(a, b)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("optimizer", [adam, rmsprop])
@pytest.mark.parametrize("sizes", [(16, 8), ()])
def test_sac_steps(
    compose: Any, activation: str, learned: bool, optimizer: Any, sizes: tuple[int, ...]
) -> None:
    s = settings(compose, "algo=sac", "algo.tau=0.3")
    one, other = (Parts(activation, 2 * A, optimizer, sizes) for _ in range(2))
    learners = (
        one.sac(SACLearner, s, learned=learned),
        other.sac(NumpySACLearner, s, learned=learned),
    )
    bounded = False
    for step in range(6):
        columns = (*batch(step), rows(2, N, A, seed=step + 200))
        with torch.no_grad():
            bounded |= bool((one.actor(torch.from_numpy(columns[0]))[:, A:] > 2).any())
        for learner in learners:
            learner.begin()
        reference, numpy = (learner.step(*columns) for learner in learners)
        np.testing.assert_allclose([float(t) for t in reference], numpy, rtol=1e-4, atol=1e-5)
    assert bounded
    compare(one, other)


@pytest.mark.parametrize("optimizer", [adam, rmsprop])
@pytest.mark.parametrize("sizes", [(16, 8), ()])
def test_td3_steps(compose: Any, optimizer: Any, sizes: tuple[int, ...]) -> None:
    s = settings(compose, "algo=td3", "algo.tau=0.3", "algo.target_noise=0.6")
    one, other = (Parts("relu", A, optimizer, sizes) for _ in range(2))
    learners = one.td3(TD3Learner, s), other.td3(NumpyTD3Learner, s)
    for step in range(6):
        obs, *rest = (*batch(step), rows(N, A, seed=step + 200))
        for learner in learners:
            learner.begin()
        reference, numpy = (learner.evaluate(obs, *rest) for learner in learners)
        np.testing.assert_allclose([float(t) for t in reference], numpy, rtol=1e-4, atol=1e-5)
        if step % 2:
            losses = [float(learner.improve(obs)) for learner in learners]
            assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    compare(one, other)


@pytest.mark.parametrize("algo", ["sac", "td3"])
@pytest.mark.parametrize("size", [N, 1])
def test_threads_change_no_bit(compose: Any, algo: str, size: int) -> None:
    ends = []
    for threads in (1, 2):
        parts = Parts("relu", 2 * A if algo == "sac" else A)
        s = settings(compose, f"algo={algo}")
        learner = (
            parts.sac(NumpySACLearner, s, threads)
            if algo == "sac"
            else parts.td3(NumpyTD3Learner, s, threads)
        )
        learner.begin()
        for step in range(4):
            columns = batch(step, size)
            if algo == "sac":
                learner.step(*columns, rows(2, size, A, seed=step))
            else:
                learner.evaluate(*columns, rows(size, A, seed=step))
                learner.improve(columns[0])
        ends.append(parts.numbers())
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_the_squashed_gaussian_and_its_gradient() -> None:
    output = 3 * rows(N, 2 * A)
    noise, weights = rows(N, A, seed=1), rows(N, A, seed=2)
    tensor = torch.from_numpy(output).requires_grad_()
    mean, log_std = tensor.chunk(2, -1)
    action, log_prob = squashed_gaussian(mean, log_std.clamp(-20, 2), torch.from_numpy(noise))
    (0.7 * log_prob.sum() + (torch.from_numpy(weights) * action).sum()).backward()
    a, b, drawn = squashed(output, noise)
    close(action.detach(), a)
    np.testing.assert_allclose(log_prob.detach(), b, rtol=1e-4, atol=1e-4)
    assert tensor.grad is not None
    close(tensor.grad, squashed_backward(a, drawn, weights, 0.7))


def test_numbers_that_are_none_are_not_applied(compose: Any) -> None:
    parts = Parts("relu", 2 * A)
    learner = parts.sac(NumpySACLearner, settings(compose, "algo=sac"))
    before = [n.clone() for n in parts.numbers()]
    columns = [*batch(0), rows(2, N, A)]
    columns[2][3] = np.nan
    learner.begin()
    with pytest.raises(TrainingError, match=r"train/critic_loss is nan; the update was not app"):
        learner.step(*columns)
    assert all(torch.equal(a, b) for a, b in zip(before, parts.numbers(), strict=True))


def test_which_learner_is_chosen(compose: Any) -> None:
    s = settings(compose, "algo=sac")

    def chosen(kind: type, kernels: str, activation: str = "relu") -> type:
        parts = Parts(activation, 2 * A)
        return type(parts.sac(lambda *a: fast.choose(kind, kernels, *a), s))

    assert chosen(SACLearner, "numpy") is NumpySACLearner
    assert chosen(SACLearner, "torch") is SACLearner
    assert chosen(SACLearner, "numpy", "gelu") is SACLearner
    assert chosen(DiscreteSACLearner, "numpy") is DiscreteSACLearner
