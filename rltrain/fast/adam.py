"""Adam and gradient clipping on flat arrays, sharing torch's optimiser state.

Legend: P parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from rltrain.core.errors import TrainingError
from rltrain.fast.mlp import FlatParameters, Floats


def can_share(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimiser is one whose step `FlatAdam` knows."""
    if type(optimizer) is not torch.optim.Adam or len(optimizer.param_groups) != 1:
        return False
    group = optimizer.param_groups[0]
    return not (group["weight_decay"] or group["amsgrad"] or group["maximize"])


class FlatAdam:
    """The step of torch.optim.Adam (Kingma & Ba 2015), on the flat arrays of a module.

    The moments are views that torch's optimiser holds as its own state, so that its
    `state_dict` is true. `bind` comes before the steps of an update: it
    takes over what `load_state_dict` put there.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, flat: FlatParameters) -> None:
        self.optimizer = optimizer
        self.flat = flat
        self.first: Floats = np.zeros_like(flat.values)
        self.second: Floats = np.zeros_like(flat.values)
        self.count = 0
        self._scratch: Floats = np.empty_like(flat.values)
        optimizer.register_state_dict_pre_hook(self._publish)
        self._views = [
            (
                torch.from_numpy(self.first[part]).view_as(p),
                torch.from_numpy(self.second[part]).view_as(p),
            )
            for p in flat.parameters
            for part in (flat.slices[id(p)],)
        ]

    def bind(self) -> None:
        """Makes torch's state the views of this one, after copying what it holds."""
        for parameter, (first, second) in zip(self.flat.parameters, self._views, strict=True):
            state = self.optimizer.state[parameter]
            if state.get("exp_avg") is first:
                continue
            if state:
                first.copy_(state["exp_avg"])
                second.copy_(state["exp_avg_sq"])
                self.count = int(state["step"])
            state["step"] = torch.tensor(float(self.count))
            state["exp_avg"], state["exp_avg_sq"] = first, second

    def _publish(self, optimizer: torch.optim.Optimizer) -> None:
        """Tells torch's state how many steps were taken, before it is saved."""
        for parameter in self.flat.parameters:
            if "step" in self.optimizer.state[parameter]:
                self.optimizer.state[parameter]["step"].fill_(self.count)

    def check(self, part: slice, name: str) -> None:
        """Raises a TrainingError where a part of the gradient is no number."""
        gradient = self.flat.gradients[part]
        if not math.isfinite(float(np.dot(gradient, gradient))):
            raise TrainingError(f"the gradient of {name} is no number; no step was taken.")

    def descend(self, loss: float, name: str, max_norm: float) -> None:
        """Clips the gradient to `max_norm` and steps, as `rltrain.algos.base.descend` does.

        Raises:
            TrainingError: the loss or the gradient is no number; no step was taken.
        """
        if not math.isfinite(loss):
            raise TrainingError(f"{name} is {loss}; the update was not applied.")
        gradient = self.flat.gradients
        norm = math.sqrt(float(np.dot(gradient, gradient)))
        if not math.isfinite(norm):
            raise TrainingError(
                f"the gradient is no number, though {name} is {loss:.4g}; the update was not"
                " applied."
            )
        if norm + 1e-6 > max_norm:
            gradient *= max_norm / (norm + 1e-6)
        self._step()

    def fuse(self, part: slice) -> Callable[[], None]:
        """What moves a part of many parameters, by torch's own kernel: a third of the time.

        `count` is then that of this step already.
        """
        arrays = (self.flat.values, self.flat.gradients, self.first, self.second)
        values, gradients, first, second = ([torch.from_numpy(a[part])] for a in arrays)
        count = torch.tensor(0.0)

        def move() -> None:
            group = self.optimizer.param_groups[0]
            beta1, beta2 = group["betas"]
            count.fill_(self.count)
            torch._fused_adam_(
                values,
                gradients,
                first,
                second,
                [],
                [count],
                lr=group["lr"],
                beta1=beta1,
                beta2=beta2,
                weight_decay=0.0,
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )

        return move

    def _step(self) -> None:
        group = self.optimizer.param_groups[0]
        beta1, beta2 = group["betas"]
        self.count += 1
        gradient, scratch = self.flat.gradients, self._scratch
        np.multiply(gradient, 1 - beta1, out=scratch)
        self.first *= beta1
        self.first += scratch
        np.multiply(gradient, gradient, out=scratch)
        scratch *= 1 - beta2
        self.second *= beta2
        self.second += scratch
        # lr/c₁ · m / (√v/√c₂ + ε), with √c₂ taken out of the fraction
        root = math.sqrt(1 - beta2**self.count)
        np.sqrt(self.second, out=scratch)
        scratch += group["eps"] * root
        np.divide(self.first, scratch, out=scratch)
        scratch *= group["lr"] * root / (1 - beta1**self.count)
        self.flat.values -= scratch
