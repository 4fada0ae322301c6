"""What an augmentation is: a change by chance of what networks see while they learn.

It stands before the encoders of pictures, and before bodies that take vectors; while an
algorithm acts it is off. Whatever a learner passes through its networks is changed, each
time anew: observations and successors, of the network and of its target.

Legend: N samples, C channels, H rows, W columns, D numbers of a vector.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rltrain.core.layout import Layout
from rltrain.core.lean_torch import make_generator
from rltrain.core.state import Stateful
from rltrain.networks.pictures import Picture
from rltrain.networks.recurrent import Moment, Sequences

# What learners have that passes samples through networks to learn from them.
LEARNING = ("step", "evaluate", "improve")


class Augmentation(Stateful, ABC):
    """Changes pictures `[N, C, H, W]`, and some of them vectors `[N, D]`; draws from `rng`."""

    _state = ("rng",)
    vectors = False  # whether it changes them too

    def __init__(self, settings: Any, rng: np.random.Generator) -> None:
        self.settings = settings
        self.rng = rng
        self.active = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Augmentation:
        return self  # one stream of chance for a network and its target

    @abstractmethod
    def __call__(self, x: Tensor, white: float) -> Tensor:
        """`x` changed; `white` is its highest value, where it is a picture, else 1."""

    def attach(self, body: nn.Module, layout: Layout) -> None:
        """Puts itself before the parts of a network that take what it changes."""
        for part in body.modules():
            if isinstance(part, Picture):
                part.register_forward_pre_hook(self._before_picture)
        if self.vectors and layout.flat:
            hook = functools.partial(_before_body, self, layout.size)
            body.register_forward_pre_hook(hook)

    def watch(self, learner: Any) -> None:
        """Is on while the learner learns."""
        for name in LEARNING:
            if hasattr(learner, name):
                setattr(learner, name, self._during(getattr(learner, name)))

    def _during(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def learning(*args: Any, **kwargs: Any) -> Any:
            self.active = True
            try:
                return method(*args, **kwargs)
            finally:
                self.active = False

        return learning

    def _before_picture(self, part: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
        if not self.active:
            return None
        assert isinstance(part, Picture)
        x = inputs[0].movedim(-1, -3) if part.move_channels else inputs[0]
        channels_first = x.shape
        x = self(x.reshape(len(x), *part.size), part.scale).reshape(channels_first)
        return (x.movedim(-3, -1) if part.move_channels else x,)

    def integers(self, high: int, count: int, device: torch.device) -> Tensor:
        """`count` integers from 0 to `high` inclusive `[N]`."""
        return torch.from_numpy(self.rng.integers(high + 1, size=count)).to(device)

    def uniform(self, low: float, high: float, count: int, device: torch.device) -> Tensor:
        """`count` numbers `[N]`."""
        drawn = self.rng.uniform(low, high, count).astype(np.float32)
        return torch.from_numpy(drawn).to(device)

    def normal(self, like: Tensor) -> Tensor:
        """Draw standard normal numbers of a tensor's shape on its device."""
        generator = make_generator(like.device)
        generator.manual_seed(int(self.rng.integers(2**63)))
        return torch.randn(like.shape, generator=generator, device=like.device)


def _before_body(
    augmentation: Augmentation, size: int, body: nn.Module, inputs: tuple[Any, ...]
) -> Any:
    """Changes the observation's numbers, not those of an action beside them."""
    if not augmentation.active:
        return None

    def change(x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        changed = augmentation(flat[:, :size], 1.0)
        return torch.cat([changed, flat[:, size:]], -1).reshape(x.shape)

    x, *rest = inputs
    seen = isinstance(x, Sequences | Moment)
    return (replace(x, x=change(x.x)) if seen else change(x), *rest)
