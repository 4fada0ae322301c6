"""Adam, RMSprop and gradient clipping on flat arrays, sharing torch's optimiser state.

Legend: P parameters.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch

from rltrain.core.errors import TrainingError
from rltrain.fast.mlp import FlatParameters, Floats


class FlatOptimizer(ABC):
    """A step of one of torch's optimisers on the flat arrays of a module.

    The moments are views that torch's optimiser holds as its own state, so that its
    `state_dict` is true. `bind` comes before the steps of an update: it
    takes over what `load_state_dict` put there.
    """

    moments: ClassVar[tuple[str, ...]]  # by their names in torch's state

    def __init__(self, optimizer: torch.optim.Optimizer, flat: FlatParameters) -> None:
        self.optimizer = optimizer
        self.flat = flat
        self.count = 0
        self._moments: list[Floats] = [np.zeros_like(flat.values) for _ in self.moments]
        scratch: Floats = np.empty_like(flat.values)
        self._arrays = (flat.values, flat.gradients, *self._moments, scratch)
        optimizer.register_state_dict_pre_hook(self._publish)
        self._views = [
            [torch.from_numpy(moment[part]).view_as(p) for moment in self._moments]
            for p in flat.parameters
            for part in (flat.slices[id(p)],)
        ]

    def bind(self) -> None:
        """Makes torch's state the views of this one, after copying what it holds."""
        for parameter, views in zip(self.flat.parameters, self._views, strict=True):
            state = self.optimizer.state[parameter]
            if state.get(self.moments[0]) is views[0]:
                continue
            if state:
                for name, view in zip(self.moments, views, strict=True):
                    view.copy_(state[name])
                self.count = int(state["step"])
            state["step"] = torch.tensor(float(self.count))
            state |= zip(self.moments, views, strict=True)

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
        self.count += 1
        self._step(self.optimizer.param_groups[0], *self._arrays)

    def fuse(self, part: slice) -> Callable[[], None]:
        """Return a function that moves a part of the parameters; parts may move side by side.

        `count` is then that of this step already.
        """
        arrays = tuple(array[part] for array in self._arrays)
        return lambda: self._step(self.optimizer.param_groups[0], *arrays)

    @abstractmethod
    def _step(self, group: dict[str, Any], *arrays: Floats) -> None:
        """Move values by gradients, as the options in `group` say.

        `arrays` are the values, the gradients, each of the moments, and one to compute in.
        """


class FlatAdam(FlatOptimizer):
    """The step of torch.optim.Adam (Kingma & Ba 2015)."""

    moments = ("exp_avg", "exp_avg_sq")

    def _step(self, group: dict[str, Any], *arrays: Floats) -> None:
        values, gradient, first, second, scratch = arrays
        beta1, beta2 = group["betas"]
        np.multiply(gradient, 1 - beta1, out=scratch)
        first *= beta1
        first += scratch
        np.multiply(gradient, gradient, out=scratch)
        scratch *= 1 - beta2
        second *= beta2
        second += scratch
        # lr/c₁ · m / (√v/√c₂ + ε), with √c₂ taken out of the fraction
        root = math.sqrt(1 - beta2**self.count)
        np.sqrt(second, out=scratch)
        scratch += group["eps"] * root
        np.divide(first, scratch, out=scratch)
        scratch *= group["lr"] * root / (1 - beta1**self.count)
        values -= scratch

    def fuse(self, part: slice) -> Callable[[], None]:
        """Return one that uses torch's own kernel, which takes a third of the time."""
        arrays = self._arrays[:-1]
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


class FlatRMSprop(FlatOptimizer):
    """The step of torch.optim.RMSprop (Hinton 2012), without momentum and not centred."""

    moments = ("square_avg",)

    def _step(self, group: dict[str, Any], *arrays: Floats) -> None:
        values, gradient, square, scratch = arrays
        np.multiply(gradient, gradient, out=scratch)
        scratch *= 1 - group["alpha"]
        square *= group["alpha"]
        square += scratch
        np.sqrt(square, out=scratch)
        scratch += group["eps"]
        np.divide(gradient, scratch, out=scratch)
        scratch *= group["lr"]
        values -= scratch


_KNOWN: dict[type, type[FlatOptimizer]] = {
    torch.optim.Adam: FlatAdam,
    torch.optim.RMSprop: FlatRMSprop,
}
_UNKNOWN_OPTIONS = ("weight_decay", "amsgrad", "maximize", "momentum", "centered")


def can_share(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimiser is one whose step is known here."""
    if type(optimizer) not in _KNOWN or len(optimizer.param_groups) != 1:
        return False
    group = optimizer.param_groups[0]
    return not any(group.get(option) for option in _UNKNOWN_OPTIONS)


def flat_optimizer(optimizer: torch.optim.Optimizer, flat: FlatParameters) -> FlatOptimizer:
    """What steps on flat arrays as `optimizer` would; see `can_share`."""
    return _KNOWN[type(optimizer)](optimizer, flat)
