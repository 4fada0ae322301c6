from typing import Any

import pytest
import torch
from torch import nn

from rltrain.networks.mlp import MLP
from rltrain.networks.q_network import CategoricalQ, Dueling, QuantileQ, q_network
from rltrain.settings.networks import MLPSettings
from rltrain.settings.run import build_run

KINDS = [
    [],
    ["algo.dueling=true"],
    ["algo.distribution=c51"],
    ["algo.distribution=c51", "algo.dueling=true"],
    ["algo.distribution=qr"],
    ["algo.distribution=qr", "algo.dueling=true"],
]


def build(compose: Any, *overrides: str) -> Any:
    settings = build_run(compose("algo=dqn", "env=CartPole-v1", "tuned=none", *overrides)).algo
    torch.manual_seed(0)
    return q_network(MLP(MLPSettings("mlp", (8,), "relu", "uniform", False), 3), 2, settings)


def head(value: list[float], advantage: list[float], actions: int) -> Dueling:
    """Streams whose output is given, whatever the features."""
    net = Dueling(3, actions, len(value))
    with torch.no_grad():
        for stream, bias in ((net.value, value), (net.advantage, advantage)):
            stream[-1].weight.zero_()
            stream[-1].bias.copy_(torch.tensor(bias))
    return net


@pytest.mark.parametrize("overrides", KINDS)
def test_the_output_is_a_value_of_each_action(compose: Any, overrides: list[str]) -> None:
    assert build(compose, *overrides)(torch.randn(5, 3)).shape == (5, 2)


def test_duelling_by_hand() -> None:
    # 10 + (1, 2, 6) − 3
    net = head([10.0], [1.0, 2.0, 6.0], actions=3)
    assert net(torch.randn(2, 3)).tolist() == [[8.0, 9.0, 13.0]] * 2


def test_duelling_of_atoms_is_of_each_alone() -> None:
    # two actions of two atoms: 10 + (1 − 3), 20 + (2 − 5); 10 + (5 − 3), 20 + (8 − 5)
    net = head([10.0, 20.0], [1.0, 2.0, 5.0, 8.0], actions=2)
    assert net(torch.randn(1, 3)).tolist() == [[8.0, 17.0, 12.0, 23.0]]


def test_each_stream_has_a_hidden_layer(compose: Any) -> None:
    net = build(compose, "algo.dueling=true")
    for stream in (net[-1].value, net[-1].advantage):
        assert [type(m) for m in stream] == [nn.Linear, nn.ReLU, nn.Linear]
        assert stream[0].weight.shape == (8, 8)


def logits(*rows: list[float]) -> nn.Module:
    net = nn.Linear(3, sum(map(len, rows)))
    with torch.no_grad():
        net.weight.zero_()
        net.bias.copy_(torch.tensor([x for row in rows for x in row]))
    return net


def test_values_of_atoms_are_their_means() -> None:
    net = CategoricalQ(logits([0.0, 0.0, 0.0], [-99.0, 0.0, 0.0]), 3, -1.0, 3.0)
    assert net.atoms.tolist() == [-1.0, 1.0, 3.0]
    assert net(torch.zeros(1, 3)).tolist()[0] == pytest.approx([1.0, 2.0])
    probs = net.log_probs(torch.zeros(1, 3)).exp()
    assert probs.shape == (1, 2, 3)
    assert probs[0, 1].tolist() == pytest.approx([0.0, 0.5, 0.5])


def test_values_of_quantiles_are_their_means() -> None:
    net = QuantileQ(logits([1.0, 2.0, 6.0], [0.0, 0.0, 3.0]), 3)
    assert net(torch.zeros(1, 3)).tolist()[0] == pytest.approx([3.0, 1.0])
    assert net.quantiles(torch.zeros(1, 3)).tolist() == [[[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]]]


def test_atoms_are_no_part_of_what_is_learned(compose: Any) -> None:
    for overrides in KINDS:
        net = build(compose, *overrides)
        assert net.state_dict().keys() == {name for name, _ in net.named_parameters()}
