from __future__ import annotations

from typing import Any

import pytest
import torch

from rltrain.algos.descent import descend, parts_of
from rltrain.core.errors import TrainingError
from rltrain.core.types import Progress
from rltrain.networks.recurrent import Sequences
from tests.algos.test_base import build
from tests.conftest import ALGOS, REMEMBERING, algo_entry, some

# Noise of the network would be drawn anew for each part: refused.
LEARNING = [a for a in ALGOS if algo_entry(a).networks and a != "rainbow"]


def line(count: int = 1) -> tuple[torch.nn.Linear, Any]:
    """y = w x with w = 1, and gradient descent with rate 1."""
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(layer.weight)
    group = {"params": layer.parameters(), "accumulation": count}
    return layer, torch.optim.SGD([group], lr=1.0)


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_a_step_by_hand(count: int) -> None:
    """½ mean (w x − t)²: errors 0, −1, −4, gradient (0·1 − 1·2 − 4·3)/3 = −14/3."""
    layer, optimizer = line(count)

    def terms(x: torch.Tensor, target: torch.Tensor, none: None) -> tuple[torch.Tensor, ...]:
        error = layer(x).squeeze(-1) - target
        return 0.5 * error.square().mean(), error.mean(), error

    x, target = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([1.0, 3.0, 7.0])
    loss, mean, error = descend(terms, (x, target, None), "loss", layer, optimizer)
    assert loss.item() == pytest.approx(17 / 6)
    assert mean.item() == pytest.approx(-5 / 3)
    assert error.tolist() == [0, -1, -4]
    assert layer.weight.item() == pytest.approx(1 + 14 / 3)
    assert not loss.requires_grad


def test_a_part_that_is_no_number_moves_nothing() -> None:
    layer, optimizer = line(2)
    x = torch.tensor([[1.0], [float("nan")]])
    with pytest.raises(TrainingError, match="loss is nan"):
        descend(lambda x: (layer(x).mean(),), (x,), "loss", layer, optimizer)
    assert layer.weight.item() == 1


def test_parts_are_as_equal_as_can_be() -> None:
    found = list(parts_of((torch.arange(7),), 3))
    assert [share for share, _ in found] == pytest.approx([2 / 7, 2 / 7, 3 / 7])
    assert [rows.tolist() for _, (rows,) in found] == [[0, 1], [2, 3], [4, 5, 6]]


def sequences(pick: list[int] | None) -> Sequences:
    """Three, of 2, 3 and 1 rows."""
    begins = torch.tensor([True, False, True, False, False, True])
    rows = torch.arange(6.0).unsqueeze(1)
    picked = None if pick is None else torch.tensor(pick)
    return Sequences(rows, rows.unsqueeze(1), begins, None if pick is None else begins, picked)


def test_sequences_stay_whole() -> None:
    found = [columns for _, columns in parts_of((sequences(None), torch.arange(6)), 2)]
    assert [x.x.flatten().tolist() for x, _ in found] == [[0, 1, 2, 3, 4], [5]]
    assert [rows.tolist() for _, rows in found] == [[0, 1, 2, 3, 4], [5]]


def test_sequences_of_picked_rows_stay_whole() -> None:
    """Samples 0 of the first, 1 and 2 of the second, 3 of the third sequence."""
    found = [columns for _, columns in parts_of((sequences([1, 3, 4, 5]), torch.arange(4)), 4)]
    assert [x.x.flatten().tolist() for x, _ in found] == [[0, 1], [2, 3, 4], [5]]
    assert [x.pick.tolist() for x, _ in found] == [[1], [1, 2], [0]]
    assert [x.burn_in.tolist() for x, _ in found] == [[True, False], [True, False, False], [True]]
    assert [rows.tolist() for _, rows in found] == [[0], [1, 2], [3]]


def trained(compose: Any, algo: str, *overrides: str) -> tuple[Any, dict[str, Any]]:
    algorithm, sampler = build(compose, algo, "kernels=torch", *overrides)
    progress = Progress(10_000)
    metrics: dict[str, Any] = {}
    while progress.updates == 0:
        sampler.collect(algorithm.horizon, progress, lambda: False)
        metrics = dict(algorithm.update(progress))
    return algorithm, metrics


@pytest.mark.parametrize("algo", some([*LEARNING, *REMEMBERING]))
def test_accumulated_gradients_are_those_of_the_whole_minibatch(compose: Any, algo: str) -> None:
    """Within 1e-5 after the first update, by gradient descent, which Adam would blur."""
    overrides = ["optimizer=sgd", "algo.learning_rate=0.01"]
    whole, expected = trained(compose, algo, *overrides)
    parts, found = trained(compose, algo, *overrides, "optimizer.accumulation=3")
    for name in expected:
        assert float(found[name]) == pytest.approx(float(expected[name]), rel=1e-4, abs=1e-5), name
    old, _ = trained(compose, algo, *overrides, "algo.learning_rate=1e-12")
    moved = 0.0
    for a, b, c in zip(*(parameters(x) for x in (whole, parts, old)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
        moved += float((a - c).abs().max())
    assert moved > 1e-4


def parameters(algorithm: Any) -> list[torch.Tensor]:
    owners = [algorithm, algorithm.policy, *getattr(algorithm.policy, "policies", [])]
    modules = [m for o in owners for m in vars(o).values() if isinstance(m, torch.nn.Module)]
    found = [p.detach() for module in modules for p in module.parameters()]
    assert found
    return found
