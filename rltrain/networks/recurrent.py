"""Networks with memory, and the sequences that they take.

Legend: R samples in order of time, M sequences of L steps at most, N samples that are asked
for, D numbers of an observation, F features, S numbers of a state, K bodies of a network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rltrain.networks.mlp import MLP
from rltrain.settings.networks import CellsSettings, RecurrentSettings

Column = Any  # an array, or a tensor


@dataclass(frozen=True)
class Sequences:
    """Sequences of samples one after the other, as arrays or as tensors.

    `x` `[R, ...]` is what a network takes; `begins` `[R]` says where a sequence starts, and
    `state` `[R, K, S]` the state there (the other rows of it are not looked at). Rows of
    `burn_in` `[R]`, at the start of a sequence, give the others a state and have no gradient
    (Kapturowski et al. 2019, section 3). Outputs are those of the rows `pick` `[N]`, or of all.
    """

    x: Column
    state: Column
    begins: Column
    burn_in: Column | None = None
    pick: Column | None = None
    body: int = 0  # whose state is meant

    def __len__(self) -> int:
        return len(self.x if self.pick is None else self.pick)

    def __getitem__(self, rows: Column) -> Sequences:
        """Some sequences, whole and in their order; only where there is no burn-in."""
        assert self.burn_in is None
        assert self.pick is None
        return Sequences(self.x[rows], self.state[rows], self.begins[rows])

    def starts(self) -> list[int]:
        """The samples with which sequences begin, by their number among the N."""
        sequence = self._sequence()
        changed = sequence[1:] != sequence[:-1]
        return [0, *(int(i) + 1 for i in changed.nonzero()[:, 0].tolist())]

    def part(self, first: int, end: int) -> Sequences:
        """Samples `first` to `end` of tensors, where sequences begin and end."""
        if self.pick is None:
            return self._rows(slice(first, end))
        sequence = self._sequence()
        number = self.begins.long().cumsum(0)
        inside = (number >= sequence[first]) & (number <= sequence[end - 1])
        rows = inside.nonzero().squeeze(1)
        return replace(self._rows(rows), pick=self.pick[first:end] - rows[0])

    def _rows(self, rows: Any) -> Sequences:
        burn_in = None if self.burn_in is None else self.burn_in[rows]
        columns = self.x[rows], self.state[rows], self.begins[rows]
        return Sequences(*columns, burn_in, None, self.body)

    def _sequence(self) -> Tensor:
        """The number of each sample's sequence `[N]`, of tensors."""
        number: Tensor = self.begins.long().cumsum(0)
        return number if self.pick is None else number[self.pick]

    def map(self, function: Callable[[Column], Column]) -> Sequences:
        """With `function` of every column."""
        names = ("x", "state", "begins", "burn_in", "pick")
        found = {name: getattr(self, name) for name in names}
        return replace(self, **{k: function(c) for k, c in found.items() if c is not None})


@dataclass(frozen=True)
class Moment:
    """One step: what a network takes `[N, ...]` and the states `[N, K, S]` before it.

    Each body that is asked for its features leaves its next state `[N, S]` in `after`.
    """

    x: Tensor
    state: Tensor
    after: dict[int, Tensor] = field(default_factory=dict)
    body: int = 0

    def __len__(self) -> int:
        return len(self.x)


def of_body(x: Any, k: int) -> Any:
    """What the body number `k` takes of `x`: its own state, where there is one."""
    return replace(x, body=k) if isinstance(x, Sequences | Moment) else x


def as_tensors(column: Any, device: torch.device) -> Any:
    """An array on the device, or sequences of arrays."""
    if isinstance(column, Sequences):
        return column.map(lambda c: as_tensors(c, device))
    return column if isinstance(column, Moment) else torch.from_numpy(column).to(device)


class Stateless:
    """How a policy without memory goes through time: there is nothing to keep."""

    def initial_state(self, num_envs: int) -> Any:
        return None

    def restart(self, state: Any, ended: NDArray[np.bool_]) -> Any:
        return state

    def moment(self, x: Any, state: Any) -> Any:
        """What the networks take for one step."""
        return x

    def after(self, moment: Any, state: Any) -> Any:
        """The state after that step."""
        return state

    def extras(self, state: Any) -> dict[str, Any]:
        """What learning needs of the state before a step."""
        return {}


class Remembering(Stateless):
    """The states `[B, K, S]` of K recurrent bodies; zeros begin an episode."""

    def __init__(self, shape: tuple[int, int], device: torch.device) -> None:
        self.shape = shape
        self.device = device

    def initial_state(self, num_envs: int) -> Any:
        return np.zeros((num_envs, *self.shape), np.float32)

    def restart(self, state: Any, ended: NDArray[np.bool_]) -> Any:
        return np.where(ended[:, None, None], np.float32(0), state)

    def moment(self, x: Any, state: Any) -> Moment:
        return Moment(as_tensors(x, self.device), as_tensors(state, self.device))

    def after(self, moment: Moment, state: Any) -> Any:
        after = state.copy()
        for k, own in moment.after.items():
            after[:, k] = own.cpu().numpy()
        return after

    def extras(self, state: Any) -> dict[str, Any]:
        return {"state": state}


class Recurrent(nn.Module, ABC):
    """A network with memory: `Sequences` to `[N, out_features]`, or a `Moment` to the same.

    Its state `[N, S]` is all that it keeps of what went before; zeros begin an episode.
    """

    out_features: int
    state_size: int

    def __init__(self, settings: RecurrentSettings) -> None:
        super().__init__()
        self.sequence_length = settings.sequence_length
        self.burn_in = settings.burn_in

    @abstractmethod
    def before(self, x: Tensor) -> Tensor:
        """What is computed of each sample by itself: `[R, ...]` to `[R, Z]`."""

    @abstractmethod
    def unroll(self, z: Tensor, state: Tensor, length: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features `[L, M, F]` of `z` `[L, M, Z]`, one step after the other.

        Beside them the state `[M, S]` after `length` `[M]` steps; without a length nobody looks
        at it. A step's features do not depend on those that follow.
        """

    def advance(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the features `[N, F]` of `x` `[N, D]`, and the next state `[N, S]`."""
        one = torch.ones(len(state), dtype=torch.long, device=state.device)
        features, after = self.unroll(self.before(x).unsqueeze(0), state, one)
        return features[0], after

    def forward(self, steps: Sequences | Moment) -> Tensor:
        if isinstance(steps, Moment):
            features, after = self.advance(steps.x, steps.state[:, steps.body])
            steps.after[steps.body] = after.to(steps.state.dtype)
            return features
        z = self.before(steps.x)  # [R, Z]
        first = steps.begins.nonzero().squeeze(1)  # [M]
        length = torch.diff(first, append=first.new_tensor([len(z)]))  # [M]
        state = steps.state[first, steps.body]  # [M, S]
        if steps.burn_in is not None:
            sequence = steps.begins.long().cumsum(0) - 1  # of each row
            burnt = torch.zeros_like(length).index_add_(0, sequence, steps.burn_in.long())
            state = self._burn_in(z, first, burnt, state)
            first, length = first + burnt, length - burnt
        rows, there = _padded(first, length, len(z))
        output, _ = self.unroll(z[rows], state, None)
        features = output.new_zeros(len(z), self.out_features)
        features = features.index_put((rows[there],), output[there])
        picked: Tensor = features if steps.pick is None else features[steps.pick]
        return picked

    @torch.no_grad()
    def _burn_in(self, z: Tensor, first: Tensor, burnt: Tensor, state: Tensor) -> Tensor:
        """The state `[M, S]` after the first `burnt` `[M]` rows of each sequence."""
        some = burnt.nonzero().squeeze(1)
        if not len(some):
            return state
        rows, _ = _padded(first[some], burnt[some], len(z))
        _, after = self.unroll(z[rows], state[some], burnt[some])
        return state.index_copy(0, some, after.to(state.dtype))


def _padded(first: Tensor, length: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Rows `[L, M]` of sequences that begin at `first` `[M]`, and which are there `[L, M]`."""
    at = torch.arange(int(length.max()), device=first.device).unsqueeze(1)  # [L, 1]
    return (first + at).clamp(max=count - 1), at < length


class Cells(Recurrent):
    """Hidden layers, then a layer of LSTM or GRU cells.

    The state is the cells' output, beside it an LSTM's memory.
    """

    cells: type[nn.LSTM] | type[nn.GRU]

    def __init__(self, settings: CellsSettings, in_features: int) -> None:
        super().__init__(settings)
        self.layers = MLP(settings, in_features)
        self.out_features = settings.state_size
        self.rnn = self.cells(self.layers.out_features, settings.state_size)
        self.state_size = settings.state_size * (2 if isinstance(self.rnn, nn.LSTM) else 1)
        if settings.initialization == "orthogonal":
            for name, parameter in self.rnn.named_parameters():
                nn.init.zeros_(parameter) if "bias" in name else nn.init.orthogonal_(parameter)

    def before(self, x: Tensor) -> Tensor:
        z: Tensor = self.layers(x)
        return z

    def unroll(self, z: Tensor, state: Tensor, length: Tensor | None) -> tuple[Tensor, Tensor]:
        parts = tuple(p.unsqueeze(0).contiguous() for p in torch.split(state, self.out_features, 1))
        hidden = parts if len(parts) > 1 else parts[0]
        if length is None or len(z) == 1:
            output, last = self.rnn(z, hidden)
        else:
            packed = pack_padded_sequence(z, length.cpu(), enforce_sorted=False)
            output, last = self.rnn(packed, hidden)
            output, _ = pad_packed_sequence(output, total_length=len(z))
        after = torch.cat(last, -1) if isinstance(last, tuple) else last
        return output, after[0]


class LSTM(Cells):
    """Long short-term memory (Hochreiter and Schmidhuber 1997)."""

    cells = nn.LSTM


class GRU(Cells):
    """Gated recurrent units (Cho et al. 2014)."""

    cells = nn.GRU


def recurrent(body: nn.Module) -> Recurrent | None:
    """The recurrent part of a network, if it has one."""
    return next((m for m in body.modules() if isinstance(m, Recurrent)), None)


def recall(network: nn.Module, bodies: int, device: torch.device) -> Stateless:
    """How a policy with this network goes through time."""
    found = recurrent(network)
    return Stateless() if found is None else Remembering((bodies, found.state_size), device)
