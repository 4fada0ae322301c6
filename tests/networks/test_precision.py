from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from rltrain.core.types import Progress
from rltrain.networks.precision import in_bfloat16
from tests.algos.test_base import build

NETWORKS = {
    "mlp": [],
    "simba": ["network.width=16", "network.checkpointing=true"],
    "lstm": ["network.hidden_sizes=[8]", "network.state_size=8"],
    "gru": ["network.hidden_sizes=[8]", "network.state_size=8"],
    "transformer": ["network.width=8", "network.window=4"],
}


class Gain(nn.Module):
    out_features = 2

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2, bias=False)
        nn.init.eye_(self.layer.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layer(x)
        return y


def test_products_are_rounded_and_features_are_float32() -> None:
    """bfloat16 has 8 bits: 1 + 2⁻⁹ is 1 in it, 1 + 2⁻⁷ is itself."""
    body = in_bfloat16(Gain())
    x = torch.tensor([[1 + 2**-9, 1 + 2**-7]])
    assert body(x).dtype == torch.float32
    assert body(x).tolist() == [[1, 1 + 2**-7]]
    assert list(body.state_dict()) == ["layer.weight"]
    body(x).sum().backward()
    assert body.layer.weight.grad.dtype == torch.float32


def test_a_copy_computes_with_its_own_parameters() -> None:
    body = in_bfloat16(Gain())
    other = copy.deepcopy(body)
    nn.init.zeros_(other.layer.weight)
    assert other(torch.ones(1, 2)).tolist() == [[0, 0]]
    assert body(torch.ones(1, 2)).tolist() == [[1, 1]]


def gradients(compose: Any, *overrides: str) -> tuple[Any, torch.Tensor]:
    """A PPO after its first update, and the gradient of its last minibatch."""
    algorithm, sampler = build(
        compose,
        "ppo",
        f"network={overrides[0]}",
        *overrides[1:],
        "kernels=torch",
        "algo.n_epochs=1",
        "algo.batch_size=1000",
        "algo.max_grad_norm=1e9",
        "optimizer=sgd",
        "algo.learning_rate=1e-12",
    )
    progress = Progress(1000)
    sampler.collect(algorithm.horizon, progress, lambda: False)
    algorithm.update(progress)
    found = [p.grad.flatten() for p in algorithm.policy.networks.parameters() if p.grad is not None]
    assert all(p.dtype == torch.float32 for p in algorithm.policy.networks.parameters())
    return algorithm, torch.cat(found)


@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_are_those_of_float32_within_a_percent(compose: Any, network: str) -> None:
    """All of a PPO minibatch together: the cosine is above 0.999, the norm within 1 %."""
    _, plain = gradients(compose, network, *NETWORKS[network])
    _, rounded = gradients(compose, network, *NETWORKS[network], "precision=bf16")
    assert plain.shape == rounded.shape
    assert not torch.equal(plain, rounded)
    assert torch.cosine_similarity(plain, rounded, 0) > 0.999
    assert float(rounded.norm() / plain.norm()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("algo", ["dqn+lstm", "dqn+transformer", "sac", "trpo", "ppo"])
def test_every_kind_of_learner_takes_a_step(compose: Any, algo: str) -> None:
    algorithm, sampler = build(compose, algo, "precision=bf16")
    progress = Progress(1000)
    while not progress.updates:
        sampler.collect(algorithm.horizon, progress, lambda: False)
        metrics = algorithm.update(progress)
    assert all(torch.isfinite(torch.as_tensor(m)).all() for m in metrics.values())
