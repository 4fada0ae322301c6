"""Heads: shapes, and products of what is independent."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium import Space, spaces

from rltrain.networks.actor_critic import ActorCritic, Zero
from rltrain.networks.heads import (
    Bernoulli,
    Categorical,
    Gaussian,
    Head,
    MultiCategorical,
    head_of,
)
from rltrain.networks.mlp import MLP
from rltrain.settings.networks import MLPSettings

KINDS: list[tuple[Space, type[Head], int, tuple[int, ...]]] = [
    (spaces.Discrete(4), Categorical, 4, ()),
    (spaces.Box(-1, 1, (2, 3)), Gaussian, 6, (6,)),
    (spaces.MultiDiscrete([2, 4]), MultiCategorical, 6, (2,)),
    (spaces.MultiDiscrete([[2, 4], [3, 3]]), MultiCategorical, 12, (4,)),
    (spaces.MultiBinary(3), Bernoulli, 3, (3,)),
    (spaces.MultiBinary([2, 2]), Bernoulli, 4, (4,)),
]
KIND = pytest.mark.parametrize(("space", "cls", "outputs", "event"), KINDS)


def networks(space: Space, critic: bool = True) -> ActorCritic:
    torch.manual_seed(0)
    settings = MLPSettings("mlp", (8,), "tanh", "orthogonal", False)
    return ActorCritic(lambda size: MLP(settings, size), 5, space, -0.5, critic)


@KIND
def test_the_head_of_a_space(
    space: Space, cls: type[Head], outputs: int, event: tuple[int, ...]
) -> None:
    head = head_of(space)
    assert type(head) is cls
    assert (head.outputs, head.event) == (outputs, event)


@KIND
def test_shapes(space: Space, cls: type[Head], outputs: int, event: tuple[int, ...]) -> None:
    module, rng = networks(space), np.random.default_rng(0)
    head, x = module.head, torch.randn(7, 5)
    noise = head.noise(7, rng)
    assert noise.dtype == np.float32
    action, log_prob, value = module.sample(x, torch.from_numpy(noise))
    assert action.shape == module.mode(x).shape == (7, *event)
    assert log_prob.shape == (7,)
    again, entropy, again_value = module.evaluate(x, action)
    torch.testing.assert_close(value, again_value)
    torch.testing.assert_close(again, log_prob)
    assert entropy.shape == (() if cls is Gaussian else (7,))
    p = module.distribution(x)
    assert head.kl(p, p).shape == (7,)
    torch.testing.assert_close(head.kl(p, p), torch.zeros(7))
    row = action.detach().reshape(7, *(space.shape or ()))[0].numpy()
    assert space.contains(row.astype(space.dtype)) or cls is Gaussian
    assert (module.log_std is not None) is (cls is Gaussian)


def test_two_choices_by_hand() -> None:
    head = MultiCategorical((2, 3))
    logits = torch.tensor([[0.25, 0.75, 0.5, 0.125, 0.375]]).log()
    p = head.parameters(logits, None)
    assert head.sample(p, torch.tensor([[0.3, 0.55]])).tolist() == [[1, 1]]
    assert head.sample(p, torch.tensor([[0.2, 0.7]])).tolist() == [[0, 2]]
    assert head.mode(p).tolist() == [[1, 0]]
    assert head.log_prob(p, torch.tensor([[1, 2]])).tolist() == pytest.approx(
        [math.log(0.75 * 0.375)]
    )
    first = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    second = -(0.5 * math.log(0.5) + 0.125 * math.log(0.125) + 0.375 * math.log(0.375))
    assert head.entropy(p).tolist() == pytest.approx([first + second])
    even = head.parameters(torch.zeros(1, 5), None)
    # KL to the uniform one is the entropy that is missing to it.
    missing = math.log(2) + math.log(3) - first - second
    assert head.kl(p, even).tolist() == pytest.approx([missing], rel=1e-5)


def test_the_likeliest_coins_are_those_above_a_half() -> None:
    head = Bernoulli(3)
    assert head.mode((torch.tensor([[0.1, -0.1, 3.0]]),)).tolist() == [[1, 0, 1]]


def test_the_parameters_of_the_policy_are_all_but_the_critics() -> None:
    for space, *_ in KINDS:
        module = networks(space)
        own = {id(p) for p in module.policy_parameters()}
        critic = {id(p) for p in module.critic.parameters()}
        assert own | critic == {id(p) for p in module.parameters()}
        assert not own & critic


def test_without_a_critic_v_is_0_and_has_no_parameters() -> None:
    module = networks(spaces.Discrete(2), critic=False)
    assert isinstance(module.critic, Zero)
    assert module.value(torch.ones(3, 5)).tolist() == [0, 0, 0]
    assert len(list(module.parameters())) == len(module.policy_parameters())
