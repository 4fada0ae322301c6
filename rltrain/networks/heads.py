"""What a policy network's output means: a head for each kind of action space.

A head holds no parameters. Its functions take those of the distribution, as `parameters`
makes them of the output, so that an old distribution is a value like any other.

Legend: N samples, A numbers of the output, K components of an action.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from gymnasium import Space, spaces
from numpy.typing import NDArray
from torch import Tensor

from rltrain.core.spaces import size_of
from rltrain.functional import distributions as dist

Parameters = tuple[Tensor, ...]


class Head(ABC):
    """`outputs` is A; `event` is the shape of one action, `()` or `(K,)`, whatever its space's."""

    outputs: int
    event: tuple[int, ...]

    def noise(self, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """The chance that `sample` turns into actions: uniform in [0, 1) `[N, *event]`."""
        return rng.random((count, *self.event), np.float32)

    @abstractmethod
    def parameters(self, output: Tensor, log_std: Tensor | None) -> Parameters:
        """The distribution's parameters, of a network's output `[N, A]`."""

    @abstractmethod
    def sample(self, p: Parameters, noise: Tensor) -> Tensor:
        """Actions `[N, *event]`."""

    @abstractmethod
    def mode(self, p: Parameters) -> Tensor:
        """The likeliest actions `[N, *event]`."""

    @abstractmethod
    def log_prob(self, p: Parameters, action: Tensor) -> Tensor:
        """log π(a|s) `[N]`."""

    @abstractmethod
    def entropy(self, p: Parameters) -> Tensor:
        """H `[N]` in nats; one number where it does not depend on the observation."""

    @abstractmethod
    def kl(self, old: Parameters, new: Parameters) -> Tensor:
        """KL(old ‖ new) `[N]` in nats."""


class Categorical(Head):
    """Discrete: one of A actions; its parameters are log-probabilities `[N, A]`."""

    event = ()

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs

    def parameters(self, output: Tensor, log_std: Tensor | None) -> Parameters:
        return (output.log_softmax(-1),)

    def sample(self, p: Parameters, noise: Tensor) -> Tensor:
        return dist.categorical_sample(p[0], noise)

    def mode(self, p: Parameters) -> Tensor:
        return p[0].argmax(-1)

    def log_prob(self, p: Parameters, action: Tensor) -> Tensor:
        return dist.categorical_log_prob(p[0], action)

    def entropy(self, p: Parameters) -> Tensor:
        return dist.categorical_entropy(p[0])

    def kl(self, old: Parameters, new: Parameters) -> Tensor:
        return dist.categorical_kl(old[0], new[0])


class Gaussian(Head):
    """Box: its parameters are means `[N, A]` and log σ `[A]`; noise is standard normal."""

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs
        self.event = (outputs,)

    def noise(self, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
        return rng.standard_normal((count, self.outputs), np.float32)

    def parameters(self, output: Tensor, log_std: Tensor | None) -> Parameters:
        assert log_std is not None
        return output, log_std

    def sample(self, p: Parameters, noise: Tensor) -> Tensor:
        return dist.gaussian_sample(p[0], p[1], noise)

    def mode(self, p: Parameters) -> Tensor:
        return p[0]

    def log_prob(self, p: Parameters, action: Tensor) -> Tensor:
        return dist.gaussian_log_prob(p[0], p[1], action)

    def entropy(self, p: Parameters) -> Tensor:
        return dist.gaussian_entropy(p[1])

    def kl(self, old: Parameters, new: Parameters) -> Tensor:
        return dist.gaussian_kl(*old, *new)


class MultiCategorical(Head):
    """MultiDiscrete: K independent choices of n₁ … n_K; log-probabilities `[N, n_k]` of each."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.sizes = sizes
        self.outputs = sum(sizes)
        self.event = (len(sizes),)

    def parameters(self, output: Tensor, log_std: Tensor | None) -> Parameters:
        return tuple(part.log_softmax(-1) for part in torch.split(output, list(self.sizes), -1))

    def sample(self, p: Parameters, noise: Tensor) -> Tensor:
        return self._each([dist.categorical_sample(p[k], noise[:, k]) for k in range(len(p))])

    def mode(self, p: Parameters) -> Tensor:
        return self._each([part.argmax(-1) for part in p])

    def log_prob(self, p: Parameters, action: Tensor) -> Tensor:
        columns = action.unbind(-1)
        return self._sum([dist.categorical_log_prob(*c) for c in zip(p, columns, strict=True)])

    def entropy(self, p: Parameters) -> Tensor:
        return self._sum([dist.categorical_entropy(part) for part in p])

    def kl(self, old: Parameters, new: Parameters) -> Tensor:
        return self._sum([dist.categorical_kl(*pair) for pair in zip(old, new, strict=True)])

    @staticmethod
    def _each(columns: list[Tensor]) -> Tensor:
        return torch.stack(columns, -1)

    @staticmethod
    def _sum(columns: list[Tensor]) -> Tensor:
        return torch.stack(columns, -1).sum(-1)


class Bernoulli(Head):
    """MultiBinary: A independent coins; its parameters are their logits `[N, A]`."""

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs
        self.event = (outputs,)

    def parameters(self, output: Tensor, log_std: Tensor | None) -> Parameters:
        return (output,)

    def sample(self, p: Parameters, noise: Tensor) -> Tensor:
        return dist.bernoulli_sample(p[0], noise)

    def mode(self, p: Parameters) -> Tensor:
        return (p[0] > 0).long()

    def log_prob(self, p: Parameters, action: Tensor) -> Tensor:
        return dist.bernoulli_log_prob(p[0], action)

    def entropy(self, p: Parameters) -> Tensor:
        return dist.bernoulli_entropy(p[0])

    def kl(self, old: Parameters, new: Parameters) -> Tensor:
        return dist.bernoulli_kl(old[0], new[0])


def head_of(space: Space) -> Head:
    """The head for an action space: Discrete, MultiDiscrete, MultiBinary or Box."""
    if isinstance(space, spaces.Discrete):
        return Categorical(int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return MultiCategorical(tuple(int(n) for n in space.nvec.ravel()))
    if isinstance(space, spaces.MultiBinary):
        return Bernoulli(size_of(space))
    return Gaussian(size_of(space))
