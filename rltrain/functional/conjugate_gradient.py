"""Linear systems of which only matrix-vector products are known."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], b: Tensor, max_steps: int, tolerance: float = 1e-10
) -> Tensor:
    """x `[P]` with A x ≈ b, for a symmetric positive definite A (Hestenes & Stiefel 1952).

    `product(v)` is A v. Ends after `max_steps`, or where ‖b − A x‖² is below `tolerance`;
    exact after P steps, but for rounding.
    """
    x = torch.zeros_like(b)
    residual, direction = b.clone(), b.clone()
    squared = residual @ residual
    for _ in range(max_steps):
        if squared < tolerance:
            break
        image = product(direction)
        step = squared / (direction @ image)
        x += step * direction
        residual -= step * image
        before, squared = squared, residual @ residual
        direction = residual + squared / before * direction
    return x
