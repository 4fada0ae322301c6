import math
from typing import get_args, get_type_hints

import pytest
import torch
from torch import nn

from rltrain.core.state import digest
from rltrain.networks.mlp import ACTIVATIONS, MLP, linear, with_head
from rltrain.settings.networks import MLPSettings


def mlp(
    *hidden_sizes: int,
    activation: str = "tanh",
    in_features: int = 3,
    initialization: str = "orthogonal",
    layer_norm: bool = False,
) -> MLP:
    return MLP(
        MLPSettings("mlp", hidden_sizes, activation, initialization, layer_norm), in_features
    )  # type: ignore[arg-type]


def layers(module: nn.Module) -> list[nn.Linear]:
    return [m for m in module.modules() if isinstance(m, nn.Linear)]


def assert_orthogonal(weight: torch.Tensor, gain: float) -> None:
    """W Wᵀ = gain² I, or Wᵀ W where there are more rows than columns."""
    rows, columns = weight.shape
    square = weight @ weight.T if rows <= columns else weight.T @ weight
    torch.testing.assert_close(square, gain**2 * torch.eye(len(square)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("batch", [(5,), (2, 4), ()])
def test_the_last_dimension_is_mapped(batch: tuple[int, ...]) -> None:
    net = mlp(4, 6)
    assert net.out_features == 6
    assert net(torch.zeros(*batch, 3)).shape == (*batch, 6)


def test_hidden_layers_have_the_given_sizes() -> None:
    assert [tuple(layer.weight.shape) for layer in layers(mlp(4, 6, 2))] == [(4, 3), (6, 4), (2, 6)]


def test_without_hidden_layers_the_input_goes_through() -> None:
    net = mlp()
    x = torch.tensor([[1.0, -2.0, 3.0]])
    assert net.out_features == 3
    assert net(x).tolist() == x.tolist()
    assert with_head(net, 2, 1.0)(x).shape == (1, 2)


@pytest.mark.parametrize("shape", [(4, 4), (3, 8), (8, 3)], ids=["square", "wide", "tall"])
@pytest.mark.parametrize("gain", [0.01, 1.0, math.sqrt(2)])
def test_a_layer_is_orthogonal_with_its_gain(shape: tuple[int, int], gain: float) -> None:
    layer = linear(shape[1], shape[0], gain)
    assert layer.weight.shape == shape
    # The gain divided out, so that the tolerance is the same for a small one.
    assert_orthogonal(layer.weight.detach() / gain, 1.0)


def test_hidden_layers_have_gain_root_two_and_no_bias() -> None:
    for layer in layers(mlp(8, 4, 16)):
        assert_orthogonal(layer.weight.detach(), math.sqrt(2))
        assert not layer.bias.any()


def test_a_head_is_linear_with_its_own_gain() -> None:
    body = mlp(8)
    net = with_head(body, 2, 0.5)
    head = layers(net)[-1]
    assert net[0] is body
    assert_orthogonal(head.weight.detach(), 0.5)
    assert not head.bias.any()
    x = torch.ones(4, 3)
    torch.testing.assert_close(net(x), body(x) @ head.weight.T)


@pytest.mark.parametrize(
    ("activation", "x", "expected"),
    [
        ("tanh", 1.0, 0.76159416),  # (e − 1/e)/(e + 1/e)
        ("relu", 2.0, 2.0),
        ("relu", -2.0, 0.0),
        ("elu", 2.0, 2.0),
        ("elu", -1.0, -0.63212056),  # 1/e − 1
        ("gelu", 1.0, 0.84134475),  # 1 · Φ(1)
        ("gelu", -1.0, -0.15865525),  # −1 · Φ(−1)
        ("silu", 1.0, 0.73105858),  # 1/(1 + 1/e)
        ("silu", -1.0, -0.26894142),  # −1/(1 + e)
    ],
)
def test_an_activation_follows_each_hidden_layer(
    activation: str, x: float, expected: float
) -> None:
    net = mlp(1, activation=activation, in_features=1)
    layers(net)[0].weight.data.fill_(1.0)
    assert net(torch.tensor([x])).item() == pytest.approx(expected, abs=1e-6)


def test_two_layers_by_hand() -> None:
    net = with_head(mlp(2, activation="relu", in_features=1), 1, 1.0)
    hidden, head = layers(net)
    hidden.weight.data = torch.tensor([[2.0], [-1.0]])
    hidden.bias.data = torch.tensor([-1.0, 3.0])
    head.weight.data = torch.tensor([[10.0, 1.0]])
    # At 1: relu(1), relu(2): 10 + 2. At 5: relu(9), relu(−2): 90. At 0: relu(−1), relu(3): 3.
    assert net(torch.tensor([[1.0], [5.0], [0.0]])).tolist() == [[12.0], [90.0], [3.0]]


def test_every_activation_of_the_settings_is_there() -> None:
    assert set(get_args(get_type_hints(MLPSettings)["activation"])) == ACTIVATIONS.keys()


def test_one_seed_gives_one_network() -> None:
    with torch.random.fork_rng():
        nets = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            nets.append(digest(mlp(4).state_dict()))
    assert nets[0] == nets[1] != nets[2]


def test_state_round_trip_gives_the_same_outputs() -> None:
    source, copy = mlp(4), mlp(4)
    x = torch.ones(2, 3)
    assert not torch.equal(copy(x), source(x))
    copy.load_state_dict(source.state_dict())
    assert torch.equal(copy(x), source(x))


def test_uniform_weights_are_torchs_own() -> None:
    torch.manual_seed(0)
    net = mlp(50, initialization="uniform", in_features=16)
    layer = net.layers[0]
    assert isinstance(layer, nn.Linear)
    assert layer.bias.abs().max() > 0
    assert 0.2 < layer.weight.abs().max() <= 0.25  # ±1/√16


def test_layer_norm_stands_before_each_activation() -> None:
    net = mlp(4, 6, activation="relu", layer_norm=True)
    assert [type(m) for m in net.layers] == 2 * [nn.Linear, nn.LayerNorm, nn.ReLU]
    before = torch.randn(7, 3) * 50
    normalised = net.layers[1](net.layers[0](before))
    torch.testing.assert_close(normalised.mean(-1), torch.zeros(7), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalised.var(-1, correction=0), torch.ones(7), atol=1e-3, rtol=0)
