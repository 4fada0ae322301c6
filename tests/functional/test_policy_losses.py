import math
from collections.abc import Callable

import pytest
import torch

from rltrain.functional.policy_losses import (
    approx_kl,
    clipped_surrogate,
    clipped_value_loss,
    normalize,
    penalized_surrogate,
    policy_gradient,
    surrogate,
    value_loss,
)


def test_normalize_by_hand() -> None:
    # Mean 2, s = √((1 + 0 + 1)/2) = 1
    assert normalize(torch.tensor([1.0, 2.0, 3.0])).tolist() == pytest.approx([-1.0, 0.0, 1.0])


def test_normalize_divides_by_the_sample_deviation() -> None:
    # Mean 2, s = √((1 + 1)/1) = √2
    expected = [-1 / math.sqrt(2), 1 / math.sqrt(2)]
    assert normalize(torch.tensor([1.0, 3.0])).tolist() == pytest.approx(expected)


def test_normalize_leaves_a_single_sample() -> None:
    assert normalize(torch.tensor([7.0])).tolist() == [7.0]


def test_normalize_of_equal_samples_is_zero() -> None:
    assert normalize(torch.tensor([4.0, 4.0])).tolist() == [0.0, 0.0]


# ε = 1/4, so that the ratio is clipped to 0.75 … 1.25.
SURROGATES = [
    (1.125, 2.0, -2.25),  # inside: −1.125·2
    (1.5, 2.0, -2.5),  # min(3, 2.5)
    (0.5, 2.0, -1.0),  # min(1, 1.5)
    (1.125, -2.0, 2.25),  # inside
    (1.5, -2.0, 3.0),  # min(−3, −2.5)
    (0.5, -2.0, 1.5),  # min(−1, −1.5)
]


@pytest.mark.parametrize(("ratio", "advantage", "expected"), SURROGATES)
def test_clipped_surrogate_by_hand(ratio: float, advantage: float, expected: float) -> None:
    loss = clipped_surrogate(torch.tensor([ratio]), torch.tensor([advantage]), 0.25)
    assert loss.item() == pytest.approx(expected)


def test_clipped_surrogate_is_the_mean() -> None:
    ratio, advantages, _ = (torch.tensor(column) for column in zip(*SURROGATES, strict=True))
    # (−2.25 − 2.5 − 1 + 2.25 + 3 + 1.5)/6
    assert clipped_surrogate(ratio, advantages, 0.25).item() == pytest.approx(1 / 6)


def test_clipped_surrogate_has_no_gradient_where_the_clip_binds() -> None:
    ratio, advantages, _ = (torch.tensor(column) for column in zip(*SURROGATES, strict=True))
    ratio.requires_grad_()
    clipped_surrogate(ratio, advantages, 0.25).backward()
    assert ratio.grad is not None
    # −A/6 where ρ A is the smaller one, else 0.
    expected = [-1 / 3, 0.0, -1 / 3, 1 / 3, 1 / 3, 0.0]
    assert ratio.grad.tolist() == pytest.approx(expected)


def test_clipped_surrogate_refuses_to_broadcast() -> None:
    with pytest.raises(ValueError, match=r"shapes differ: \(3,\), \(3, 1\)"):
        clipped_surrogate(torch.ones(3), torch.ones(3, 1), 0.2)


@pytest.mark.parametrize(
    ("log_ratio", "expected"),
    [
        ([0.0], 0.0),
        ([math.log(2)], 0.30685282),  # (2 − 1) − ln 2
        ([-math.log(2)], 0.19314718),  # (1/2 − 1) + ln 2
        ([0.0, math.log(2)], 0.15342641),
    ],
)
def test_approx_kl_by_hand(log_ratio: list[float], expected: float) -> None:
    assert approx_kl(torch.tensor(log_ratio)).item() == pytest.approx(expected, abs=1e-7)


def test_approx_kl_of_a_tiny_step_does_not_cancel() -> None:
    # (ρ − 1) − log ρ ≈ x²/2; in float32, exp(x) − 1 − x would be off by as much as 6e-8.
    assert approx_kl(torch.tensor([1e-2])).item() == pytest.approx(5.0167e-5, rel=1e-4)


def test_value_loss_by_hand() -> None:
    # ((1 − 3)² + 0)/2
    assert value_loss(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0])).item() == 2.0


@pytest.mark.parametrize(("value", "returns"), [((3,), (3, 1)), ((3, 1), (3,)), ((1,), (3,))])
def test_value_loss_refuses_to_broadcast(value: tuple[int], returns: tuple[int]) -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        value_loss(torch.zeros(value), torch.zeros(returns))


def test_policy_gradient_by_hand() -> None:
    log_prob = torch.tensor([-1.0, -2.0], requires_grad=True)
    loss = policy_gradient(log_prob, torch.tensor([3.0, -4.0]))
    assert loss.item() == -2.5  # −(−3 + 8)/2
    loss.backward()
    assert log_prob.grad is not None
    assert log_prob.grad.tolist() == [-1.5, 2.0]


def test_surrogate_by_hand() -> None:
    assert surrogate(torch.tensor([2.0, 0.5]), torch.tensor([3.0, -4.0])).item() == 2.0


@pytest.mark.parametrize("loss", [policy_gradient, surrogate])
def test_policy_losses_refuse_to_broadcast(loss: Callable[..., torch.Tensor]) -> None:
    with pytest.raises(ValueError, match=r"shapes differ: \(3,\), \(3, 1\)"):
        loss(torch.ones(3), torch.ones(3, 1))


def test_penalized_surrogate_by_hand() -> None:
    # −((2·3 − ½·4) + (½·(−4) − ½·2))/2 = −(4 − 3)/2
    loss = penalized_surrogate(
        torch.tensor([2.0, 0.5]), torch.tensor([3.0, -4.0]), torch.tensor([4.0, 2.0]), 0.5
    )
    assert loss.item() == -0.5


@pytest.mark.parametrize(
    ("value", "expected", "slope"),
    [
        # Old value 1, range ½, target 3.
        (1.25, 1.75**2, -3.5),  # inside: V itself
        (2.0, 1.5**2, 0.0),  # nearer than allowed: as if it were 1.5, and no pull
        (0.0, 3.0**2, -6.0),  # away from the target: V itself, which is worse than .5
        (6.0, 3.0**2, 6.0),  # past the target, and worse than 1.5
    ],
)
def test_clipped_value_loss_by_hand(value: float, expected: float, slope: float) -> None:
    v = torch.tensor([value], requires_grad=True)
    loss = clipped_value_loss(v, torch.tensor([1.0]), torch.tensor([3.0]), 0.5)
    assert loss.item() == expected
    loss.backward()
    assert v.grad is not None
    assert v.grad.tolist() == [slope]


def test_clipped_value_loss_refuses_to_broadcast() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        clipped_value_loss(torch.ones(3), torch.ones(3, 1), torch.ones(3), 0.2)
