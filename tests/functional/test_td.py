from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from rltrain.functional.td import action_values, huber_losses, one_step_target, squared_error

MAKERS = pytest.mark.parametrize("make", [np.array, torch.tensor], ids=["array", "tensor"])


@MAKERS
def test_one_step_target_by_hand(make: Callable[..., Any]) -> None:
    target = one_step_target(
        make([1.0, 2.0, 3.0]), make([0.0, 1.0, 0.0]), make([10.0, 20.0, -4.0]), 0.75
    )
    # 1 + 0.75·10; 2 + 0; 3 − 0.75·4
    assert target.tolist() == [8.5, 2.0, 0.0]


@MAKERS
def test_one_step_target_keeps_its_kind(make: Callable[..., Any]) -> None:
    one = make([1.0])
    assert type(one_step_target(one, one, one, 0.5)) is type(one)


@MAKERS
@pytest.mark.parametrize("odd", [0, 1, 2])
def test_one_step_target_refuses_to_broadcast(make: Callable[..., Any], odd: int) -> None:
    parts = [make([1.0, 2.0]) for _ in range(3)]
    parts[odd] = make([[1.0], [2.0]])
    with pytest.raises(ValueError, match="shapes differ"):
        one_step_target(*parts, 0.5)


def test_action_values_picks_one_of_each_row() -> None:
    q = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    taken = action_values(q, torch.tensor([2, 0]))
    assert taken.tolist() == [3.0, 4.0]
    taken.sum().backward()
    assert q.grad is not None
    assert q.grad.tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("value", "target", "expected"),
    [
        ([0.5], [0.0], [0.125]),  # 0.5²/2
        ([0.0], [0.5], [0.125]),
        ([1.0], [0.0], [0.5]),  # where the two pieces meet
        ([0.0], [3.0], [2.5]),  # 3 − 1/2
        ([-3.0], [0.0], [2.5]),
        ([0.5, 4.0], [0.0, 1.0], [0.125, 2.5]),
    ],
)
def test_huber_by_hand(value: list[float], target: list[float], expected: list[float]) -> None:
    losses = huber_losses(torch.tensor(value), torch.tensor(target))
    assert losses.tolist() == pytest.approx(expected)


def test_huber_gradient_is_clipped_to_one() -> None:
    value = torch.tensor([0.5, 100.0, -100.0], requires_grad=True)
    huber_losses(value, torch.zeros(3)).sum().backward()
    assert value.grad is not None
    assert value.grad.tolist() == pytest.approx([0.5, 1, -1])


def test_huber_refuses_to_broadcast() -> None:
    with pytest.raises(ValueError, match=r"shapes differ: \(2,\), \(2, 1\)"):
        huber_losses(torch.zeros(2), torch.zeros(2, 1))


@MAKERS
def test_each_sample_may_have_a_discount_of_its_own(make: Callable[..., Any]) -> None:
    one, zero = make([1.0, 1.0]), make([0.0, 0.0])
    assert one_step_target(one, zero, one, make([0.5, 0.25])).tolist() == [1.5, 1.25]
    with pytest.raises(ValueError, match="shapes differ"):
        one_step_target(one, zero, one, make([[0.5], [0.25]]))


def test_squared_error_by_hand() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    # errors (1, 0) and (3, 3) towards (0, 2): halves of the means .5 and 9
    assert squared_error(values, torch.tensor([0.0, 2.0])).item() == pytest.approx(4.75)
    with pytest.raises(ValueError, match="shapes differ"):
        squared_error(values, torch.zeros(2, 1))
