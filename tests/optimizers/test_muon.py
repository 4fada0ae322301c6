from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from rltrain.optimizers.muon import Muon
from tests.algos.test_base import build


def muon(parameters: list[nn.Parameter], hidden: set[nn.Parameter], **changes: Any) -> Muon:
    options = {"momentum": 0.9, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0} | changes
    return Muon([{"params": parameters}], 0.1, hidden, **options)


def test_a_step_by_hand() -> None:
    """Of a gradient of rank 1 and √2·√2 = 2 in norm Muon keeps the direction: all ±½ · s.

    s is near 1; the step is lr · 0.2 √2 of it. AdamW's first step is lr · sign.
    """
    matrix, vector = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2))
    optimizer = muon([matrix, vector], {matrix})
    matrix.grad, vector.grad = torch.tensor([[3.0, -3.0], [3.0, -3.0]]), torch.tensor([4.0, -5.0])
    optimizer.step()
    unit = 0.1 * 0.2 * 2**0.5 / 2
    size = (-matrix / unit * torch.tensor([[1.0, -1.0], [1.0, -1.0]])).detach()
    assert 0.6 < float(size.min()) <= float(size.max()) < 1.3  # what five iterations leave
    assert vector.tolist() == pytest.approx([-0.1, 0.1])


def test_steps_are_those_of_torch_s_two_optimizers() -> None:
    torch.manual_seed(0)
    first = [nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(2, 4))]
    second = [nn.Parameter(p.detach().clone()) for p in first]
    ours = muon(first, {first[0]}, weight_decay=0.1)
    theirs = [
        torch.optim.Muon([second[0]], 0.1, 0.1, 0.9, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW([second[1]], 0.1, weight_decay=0.1, fused=True),
    ]
    for _ in range(3):
        for a, b in zip(first, second, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        ours.step()
        for optimizer in theirs:
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_its_state_comes_back_to_the_bit() -> None:
    def run(stop: int | None) -> torch.Tensor:
        torch.manual_seed(1)
        parameters = [nn.Parameter(torch.randn(3, 3)), nn.Parameter(torch.randn(3))]
        optimizer = muon(parameters, {parameters[0]})
        for i in range(6):
            if i == stop:
                saved = optimizer.state_dict()
                optimizer = muon(parameters, {parameters[0]})
                optimizer.load_state_dict(saved)
            for p in parameters:
                p.grad = torch.randn_like(p)
            optimizer.step()
        return torch.cat([p.detach().flatten() for p in parameters])

    assert torch.equal(run(None), run(3))


def test_matrices_of_bodies_are_hidden_and_heads_are_not(compose: Any) -> None:
    algorithm, _ = build(compose, "sac", "optimizer=muon", "algo.learning_rate=0.02")
    groups = algorithm.critic_optimizer.param_groups
    shapes = [[tuple(p.shape) for p in group["params"]] for group in groups]
    assert shapes[0] == [(16, 4), (16, 16)] * 2
    assert (1, 16) in shapes[1]
    assert len(algorithm.ent_coef_optimizer.param_groups) == 1
    own = [algorithm.policy.actor, algorithm.critics]
    expected = sum(p.numel() for module in own for p in module.parameters()) + 1
    assert algorithm.num_parameters == expected
