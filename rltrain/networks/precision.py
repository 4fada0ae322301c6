"""Bodies of networks in bfloat16 (Kalamkar et al. 2019, arXiv 1905.12322).

Parameters, their gradients and what is learned from the features stay float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class _InBFloat16:
    """A forward pass whose matrix products are in bfloat16, and its features float32."""

    def __init__(self, forward: Callable[..., Tensor]) -> None:
        self.forward = forward

    def __call__(self, x: Any, *beside: Tensor) -> Tensor:
        observed = x if isinstance(x, Tensor) else x.x
        # Cast weights are not kept: those of a part without gradient would serve the rest too.
        with torch.autocast(observed.device.type, torch.bfloat16, cache_enabled=False):
            features = self.forward(x, *beside)
        return features.float()


def in_bfloat16(body: nn.Module) -> nn.Module:
    """The same module, which computes in bfloat16 from now on."""
    body.forward = _InBFloat16(body.forward)  # a wrapper would change the keys of its state
    return body
