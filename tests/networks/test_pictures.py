"""Convolutions: shapes and counts of the papers, order of channels, bytes scaled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from rltrain.core.layout import layout_of
from rltrain.networks.encoders import encoder_of
from rltrain.networks.pictures import Picture, Residual
from tests.networks.settings import encoding


def picture(name: str, *shape: int, **changes: Any) -> Picture:
    leaf = layout_of(spaces.Box(0, 255, shape, np.uint8)).leaves[0]
    encoder = encoder_of(encoding(**changes), leaf, name)
    assert isinstance(encoder, Picture)
    return encoder


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_nature_cnn_is_that_of_the_paper() -> None:
    encoder = picture("nature_cnn", 4, 84, 84)
    convolutions = [m for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    found = [(c.out_channels, c.kernel_size[0], c.stride[0]) for c in convolutions]
    assert found == [(32, 8, 4), (64, 4, 2), (64, 3, 1)]
    assert encoder.out_features == 64 * 7 * 7  # the 3136 that its layer of 512 takes
    # 4·8·8·32 + 32, 32·4·4·64 + 64, 64·3·3·64 + 64
    assert count(encoder) == 8224 + 32832 + 36928


def test_impala_is_that_of_the_paper() -> None:
    encoder = picture("impala", 72, 96, 3)
    assert sum(isinstance(m, nn.Conv2d) for m in encoder.modules()) == 15
    assert encoder.out_features == 32 * 9 * 12  # 72 × 96, halved three times
    # 3·9·16 + 16 and 4 (16·9·16 + 16); 16·9·32 + 32 and 4 (32·9·32 + 32); 5 (32·9·32 + 32)
    assert count(encoder) == 448 + 4 * 2320 + 4640 + 4 * 9248 + 5 * 9248


@pytest.mark.parametrize(
    ("width", "depth", "features", "convolutions"), [(2, 1, 64, 9), (1, 3, 32, 21)]
)
def test_impala_grows_by_width_and_depth(
    width: int, depth: int, features: int, convolutions: int
) -> None:
    encoder = picture("impala", 8, 8, 3, cnn_width=width, cnn_depth=depth)
    assert encoder.out_features == features  # of 8 × 8 one pixel is left
    assert sum(isinstance(m, nn.Conv2d) for m in encoder.modules()) == convolutions


def test_a_block_adds_to_what_it_is_given() -> None:
    block = Residual(encoding(), 4)
    for layer in block.layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(("side", "features"), [(7, 32 * 3 * 3), (10, 32 * 6 * 6), (16, 32 * 36)])
def test_small_cnn_halves_what_is_not_so_small(side: int, features: int) -> None:
    assert picture("small_cnn", side, side, 3).out_features == features


def test_the_order_of_channels_makes_no_difference() -> None:
    last = picture("small_cnn", 9, 8, 3)
    first = picture("small_cnn", 3, 9, 8)
    first.load_state_dict(last.state_dict())
    x = torch.randint(0, 256, (5, 9, 8, 3), dtype=torch.uint8)
    torch.testing.assert_close(first(x.permute(0, 3, 1, 2)), last(x))
    assert last.size == first.size == (3, 9, 8)


def test_the_order_can_be_told() -> None:
    assert picture("small_cnn", 8, 8, 10, channels="first").size == (8, 8, 10)
    assert picture("small_cnn", 8, 8, 10).size == (10, 8, 8)


def test_a_stack_lies_in_the_channels_the_first_picture_first() -> None:
    encoder = picture("small_cnn", 2, 8, 8, 3)
    seen: list[torch.Tensor] = []
    encoder.layers.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randint(0, 256, (1, 2, 8, 8, 3), dtype=torch.uint8)
    encoder(x)
    assert seen[0].shape == (1, 6, 8, 8)
    torch.testing.assert_close(seen[0][0, 4] * 255, x[0, 1, :, :, 1].float())


def test_bytes_are_scaled_on_the_device() -> None:
    encoder = picture("small_cnn", 8, 8, 3)
    seen: list[torch.Tensor] = []
    encoder.layers.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder(torch.full((1, 8, 8, 3), 51, dtype=torch.uint8))
    assert seen[0].unique().tolist() == pytest.approx([0.2])


@pytest.mark.parametrize("name", ["nature_cnn", "impala", "small_cnn"])
def test_norms_and_activations_by_key(name: str) -> None:
    encoder = picture(name, 36, 36, 3, cnn_layer_norm=True, cnn_activation="silu")
    kinds = [type(m) for m in encoder.modules() if not list(m.children())]
    assert kinds.count(nn.GroupNorm) == kinds.count(nn.SiLU) > 0
    assert nn.ReLU not in kinds


def test_first_weights_by_key() -> None:
    weights = {
        how: picture("nature_cnn", 36, 36, 3, cnn_initialization=how).layers[0].weight
        for how in ("orthogonal", "uniform", "xavier", "kaiming")
    }
    rows = weights["orthogonal"].detach().reshape(32, -1)
    torch.testing.assert_close(rows @ rows.T, 2 * torch.eye(32), atol=1e-5, rtol=0)
    assert weights["uniform"].abs().max() <= 1 / (3 * 64) ** 0.5
    assert weights["xavier"].std().item() == pytest.approx((2 / (192 + 2048)) ** 0.5, rel=0.05)
    assert weights["kaiming"].std().item() == pytest.approx((2 / 192) ** 0.5, rel=0.05)


def test_beside_other_parts_a_picture_comes_to_a_few_features() -> None:
    box = spaces.Box(0, 255, (84, 84, 3), np.uint8)
    leaf = layout_of(spaces.Dict({"camera": box})).leaves[0]
    encoder: Any = encoder_of(encoding(picture_size=5), leaf, "nature_cnn")
    assert encoder.out_features == 5
    assert encoder(torch.zeros(2, 84, 84, 3, dtype=torch.uint8)).shape == (2, 5)


def test_checkpointing_changes_no_number() -> None:
    plain = picture("impala", 16, 16, 3)
    thrifty = picture("impala", 16, 16, 3, checkpointing=True)
    thrifty.load_state_dict(plain.state_dict())
    x = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    for network in (plain, thrifty):
        network(x).square().sum().backward()
    for a, b in zip(plain.parameters(), thrifty.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-6)
    assert sum(m.checkpointing for m in thrifty.modules() if isinstance(m, Residual)) == 6
