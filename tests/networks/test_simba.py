"""SimBa's residual blocks."""

from __future__ import annotations

import torch
from torch import nn

from rltrain.networks.simba import Block, SimBa
from rltrain.settings.networks import SimBaSettings


def test_shapes_and_count() -> None:
    net = SimBa(SimBaSettings("simba", 8, 2, 4, False), 3)
    assert net.out_features == 8
    assert net(torch.randn(2, 5, 3)).shape == (2, 5, 8)
    block = 2 * 8 + (8 * 32 + 32) + (32 * 8 + 8)
    assert sum(p.numel() for p in net.parameters()) == (3 * 8 + 8) + 2 * block + 2 * 8


def test_a_block_adds_to_what_it_is_given_behind_a_norm() -> None:
    block = Block(4, 16, False)
    x = torch.randn(3, 4)
    other = 10 * x + 5
    torch.testing.assert_close(block(x) - x, block(other) - other, atol=1e-3, rtol=1e-3)
    last = block.layers[-1]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    assert torch.equal(block(x), x)


def test_what_comes_out_is_normalised_however_deep_it_is() -> None:
    net = SimBa(SimBaSettings("simba", 64, 8, 4, False), 3)
    x = net(100 * torch.randn(7, 3))
    torch.testing.assert_close(x.mean(-1), torch.zeros(7), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.var(-1, correction=0), torch.ones(7), atol=1e-3, rtol=0)


def test_checkpointing_changes_no_number() -> None:
    plain = SimBa(SimBaSettings("simba", 8, 2, 4, False), 3)
    thrifty = SimBa(SimBaSettings("simba", 8, 2, 4, True), 3)
    thrifty.load_state_dict(plain.state_dict())
    x, weights = torch.randn(5, 3), torch.randn(5, 8)
    for network in (plain, thrifty):
        (network(x) * weights).sum().backward()
    for a, b in zip(plain.parameters(), thrifty.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-7)
    assert kept(thrifty, x) < kept(plain, x) / 2


def kept(network: nn.Module, x: torch.Tensor) -> int:
    """Numbers that a forward pass keeps for the backward pass, less parameters."""
    counts: list[int] = []

    def pack(saved: torch.Tensor) -> torch.Tensor:
        counts.append(0 if isinstance(saved, nn.Parameter) else saved.numel())
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        network(x)
    return sum(counts)
