import pytest
import torch

from rltrain.functional.conjugate_gradient import conjugate_gradient

A = torch.tensor([[4.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
B = torch.tensor([1.0, 2.0], dtype=torch.float64)


def test_a_small_system_by_hand() -> None:
    # det 11: x = ((3·1 − 1·2)/11, (4·2 − 1·1)/11)
    x = conjugate_gradient(lambda v: A @ v, B, 2)
    assert x.tolist() == pytest.approx([1 / 11, 7 / 11], rel=1e-12)


def test_the_first_step_by_hand() -> None:
    # r = b, α = rᵀr / rᵀA r = 5/20
    x = conjugate_gradient(lambda v: A @ v, B, 1)
    assert x.tolist() == pytest.approx([0.25, 0.5], rel=1e-12)


def test_as_many_steps_as_unknowns_are_enough() -> None:
    root = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix = root @ root.T + torch.eye(6, dtype=torch.float64)
    x = torch.arange(6.0, dtype=torch.float64)
    found = conjugate_gradient(lambda v: matrix @ v, matrix @ x, 6, tolerance=0.0)
    torch.testing.assert_close(found, x, rtol=1e-8, atol=1e-8)


def test_it_ends_where_the_residual_is_small() -> None:
    asked: list[torch.Tensor] = []

    def product(v: torch.Tensor) -> torch.Tensor:
        asked.append(v)
        return 2 * v

    assert conjugate_gradient(product, B, 10).tolist() == [0.5, 1.0]
    assert len(asked) == 1
    assert conjugate_gradient(product, torch.zeros(2), 10).tolist() == [0.0, 0.0]
    assert len(asked) == 1


def test_b_is_left_as_it_is() -> None:
    b = B.clone()
    conjugate_gradient(lambda v: A @ v, b, 2)
    assert torch.equal(b, B)
