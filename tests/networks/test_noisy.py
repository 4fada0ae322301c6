import copy

import numpy as np
import pytest
import torch
from torch import nn

from rltrain.networks.mlp import MLP, with_head
from rltrain.networks.noisy import NoisyLinear, draw_from, make_noisy, noisy_layers
from rltrain.settings.networks import MLPSettings


class Given:
    """A generator that hands out the numbers it was given."""

    def __init__(self, *numbers: float) -> None:
        self.numbers = list(numbers)

    def standard_normal(self, count: int, dtype: type) -> np.ndarray:
        drawn, self.numbers = self.numbers[:count], self.numbers[count:]
        return np.array(drawn, dtype)


def layer() -> NoisyLinear:
    plain = nn.Linear(2, 1)
    with torch.no_grad():
        plain.weight.copy_(torch.tensor([[1.0, 2.0]]))
        plain.bias.fill_(0.5)
    noisy = NoisyLinear(plain, 0.5)
    with torch.no_grad():
        noisy.weight_sigma.copy_(torch.tensor([[0.1, 0.2]]))
        noisy.bias_sigma.fill_(0.3)
    return noisy


def network() -> nn.Module:
    torch.manual_seed(0)
    net = with_head(MLP(MLPSettings("mlp", (8,), "relu", "uniform", True), 3), 2, None)
    make_noisy(net, 0.5)
    return net


def test_a_pass_by_hand() -> None:
    noisy = layer()
    noisy.source = Given(4.0, -9.0, 16.0)  # type: ignore[assignment] # f: 2, −3 for the inputs, 4
    # weights 1 + .1 · 4 · 2, 2 + .2 · 4 · −3; bias .5 + .3 · 4
    expected = 1.8 * 10 + -0.4 * 1 + 1.7
    assert noisy(torch.tensor([[10.0, 1.0]])).item() == pytest.approx(expected, rel=1e-6)


def test_without_noise_the_means_are_used() -> None:
    assert layer()(torch.tensor([[10.0, 1.0]])).item() == pytest.approx(12.5)


def test_sigma_begins_at_its_share_of_the_inputs() -> None:
    noisy = NoisyLinear(nn.Linear(16, 3), 0.5)
    assert (noisy.weight_sigma == 0.125).all()
    assert (noisy.bias_sigma == 0.125).all()
    assert noisy.weight_sigma.shape == (3, 16)


def test_gradients_reach_means_and_deviations() -> None:
    noisy = layer()
    noisy.source = Given(4.0, -9.0, 16.0)  # type: ignore[assignment] # all that a layer asks of it
    noisy(torch.tensor([[10.0, 1.0]])).sum().backward()
    assert noisy.weight.grad is not None
    assert noisy.weight_sigma.grad is not None
    assert noisy.bias_sigma.grad is not None
    assert noisy.weight.grad.tolist() == [[10.0, 1.0]]
    assert noisy.weight_sigma.grad.tolist() == [[10.0 * 4 * 2, 1.0 * 4 * -3]]
    assert noisy.bias_sigma.grad.tolist() == [4.0]


def test_every_linear_layer_is_replaced_and_keeps_its_means() -> None:
    torch.manual_seed(0)
    plain = with_head(MLP(MLPSettings("mlp", (8,), "relu", "uniform", True), 3), 2, None)
    net = network()
    x = torch.randn(5, 3)
    assert len(noisy_layers(net)) == 2
    assert not [m for m in net.modules() if isinstance(m, nn.Linear)]
    assert torch.equal(plain(x), net(x))


def test_every_pass_draws_anew_and_one_noise_is_for_all_rows() -> None:
    net, x = network(), torch.randn(1, 3).repeat(4, 1)
    draw_from(noisy_layers(net), np.random.default_rng(0))
    first, second = net(x), net(x)
    assert not torch.equal(first, second)
    torch.testing.assert_close(first, first[:1].expand_as(first))
    draw_from(noisy_layers(net), np.random.default_rng(0))
    assert torch.equal(net(x), first)
    draw_from(noisy_layers(net), None)
    assert torch.equal(net(x), net(x))


def test_the_noise_has_the_deviation_that_it_should() -> None:
    """Var y = σ_w² E|ε_out| Σ E|ε_in| x² + σ_b² E|ε_out|, and E|ε| = √(2/π)."""
    noisy = NoisyLinear(nn.Linear(4, 1), 0.5)
    noisy.source = np.random.default_rng(0)
    x = torch.tensor([[1.0, -2.0, 3.0, 0.5]])
    with torch.no_grad():
        drawn = np.array([noisy(x).item() for _ in range(20_000)])
        noisy.source = None
        mean = noisy(x).item()
    e = np.sqrt(2 / np.pi)
    variance = 0.25**2 * (e * e * float(x.square().sum()) + e)
    assert drawn.mean() == pytest.approx(mean, abs=0.03)
    assert drawn.var() == pytest.approx(variance, rel=0.1)


def test_a_copy_has_no_noise_of_its_own_and_its_own_parameters() -> None:
    net = network()
    other = copy.deepcopy(net)
    draw_from(noisy_layers(net), np.random.default_rng(0))
    assert all(m.source is None for m in noisy_layers(other))
    assert net.state_dict().keys() == other.state_dict().keys()
    assert sum(p.numel() for p in net.parameters()) == 2 * (8 * 3 + 8 + 2 * 8 + 2) + 2 * 8
