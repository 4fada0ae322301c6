"""SimBa's residual blocks."""

from __future__ import annotations

import torch
from torch import nn

from rltrain.networks.simba import Block, SimBa
from rltrain.settings.networks import SimBaSettings


def test_shapes_and_count() -> None:
    net = SimBa(SimBaSettings("simba", 8, 2, 4), 3)
    assert net.out_features == 8
    assert net(torch.randn(2, 5, 3)).shape == (2, 5, 8)
    block = 2 * 8 + (8 * 32 + 32) + (32 * 8 + 8)
    assert sum(p.numel() for p in net.parameters()) == (3 * 8 + 8) + 2 * block + 2 * 8


def test_a_block_adds_to_what_it_is_given_behind_a_norm() -> None:
    block = Block(4, 16)
    x = torch.randn(3, 4)
    other = 10 * x + 5
    torch.testing.assert_close(block(x) - x, block(other) - other, atol=1e-3, rtol=1e-3)
    last = block.layers[-1]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    assert torch.equal(block(x), x)


def test_what_comes_out_is_normalised_however_deep_it_is() -> None:
    net = SimBa(SimBaSettings("simba", 64, 8, 4), 3)
    x = net(100 * torch.randn(7, 3))
    torch.testing.assert_close(x.mean(-1), torch.zeros(7), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.var(-1, correction=0), torch.ones(7), atol=1e-3, rtol=0)
