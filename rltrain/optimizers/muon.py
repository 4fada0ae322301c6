"""Muon for matrices between hidden layers, AdamW for all other parameters."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import Tensor


class Muon(torch.optim.Optimizer):
    """Steps whose matrices are orthogonal (Jordan et al. 2024, "Muon: An optimizer for hidden
    layers in neural networks"; Liu et al. 2025, arXiv 2502.16982).

    Those of `hidden` parameters are Muon's, and as large as AdamW's in the mean (lr · 0.2
    √max(A, B) for `[A, B]`: Liu et al., eq. 4), so that rates for Adam fit; the others have
    AdamW's own.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        hidden: Collection[Tensor],
        momentum: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        self._inner: list[torch.optim.Optimizer] = []
        for group in groups:
            parameters = list(group["params"])
            matrices = [p for p in parameters if p in hidden]
            others = [p for p in parameters if p not in hidden]
            if matrices:
                self._inner.append(
                    torch.optim.Muon(
                        [group | {"params": matrices}],
                        lr,
                        weight_decay,
                        momentum,
                        adjust_lr_fn="match_rms_adamw",
                    )
                )
            if others:
                own = [group | {"params": others}]
                self._inner.append(torch.optim.AdamW(own, lr, betas, eps, weight_decay, fused=True))
        super().__init__([g for inner in self._inner for g in inner.param_groups], {})

    def step(self, closure: Any = None) -> Any:
        # Groups and state are this object's, which is what is saved and put back.
        for inner, group in zip(self._inner, self.param_groups, strict=True):
            inner.param_groups, inner.state = [group], self.state
            inner.step()
