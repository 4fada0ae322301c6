"""Steps of an optimiser down a loss, on a minibatch or on parts of it whose gradients add up.

Legend: N samples of a minibatch.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from rltrain.core.errors import TrainingError
from rltrain.networks.recurrent import Sequences


def descend(
    terms_of: Callable[..., tuple[Tensor, ...]],
    columns: tuple[Any, ...],
    name: str,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    max_grad_norm: float = math.inf,
) -> tuple[Tensor, ...]:
    """One optimiser step down the first of the terms on the parameters of `module` alone.

    `terms_of(*columns)` are means over the samples of columns `[N, ...]`, or have a number for
    each `[N]`; those of the whole minibatch are returned, detached. What else the loss goes
    through is given no gradient, and costs none; where all parameters are frozen, no step is
    taken. With optimizer.accumulation activations are
    there of a part of the minibatch only.

    Raises:
        TrainingError: the loss or a gradient is NaN or infinite; no step was taken.
    """
    own = [p for p in module.parameters() if p.requires_grad]
    if not own:
        with torch.no_grad():
            return terms_of(*columns)
    optimizer.zero_grad()
    shares, found = [], []
    for share, part in parts_of(columns, optimizer.param_groups[0].get("accumulation", 1)):
        terms = terms_of(*part)
        loss = terms[0] if share == 1 else share * terms[0]
        loss.backward(inputs=own)  # type: ignore[no-untyped-call] # torch has no type for it
        shares.append(share)
        found.append([term.detach() for term in terms])
    norm = nn.utils.clip_grad_norm_(module.parameters(), max_grad_norm)
    losses = [terms[0] for terms in found]
    if not _finite(torch.stack([*losses, norm])):  # at once: a GPU is waited for here
        raise TrainingError(f"{_what_is_bad(name, losses, module)}; the update was not applied.")
    optimizer.step()
    return tuple(_joined(shares, term) for term in zip(*found, strict=True))


def _joined(shares: list[float], parts: tuple[Tensor, ...]) -> Tensor:
    """A term of the whole minibatch: the mean of means, or one after the other."""
    if len(parts) == 1:
        return parts[0]
    if parts[0].dim():
        return torch.cat(parts)
    weighted = [share * part for share, part in zip(shares, parts, strict=True)]
    return torch.stack(weighted).sum()


def _what_is_bad(name: str, losses: list[Tensor], module: nn.Module) -> str:
    bad = [loss.item() for loss in losses if not _finite(loss)]
    if bad:
        return f"{name} is {bad[0]}"
    with_gradients = [(n, p.grad) for n, p in module.named_parameters() if p.grad is not None]
    where = next((n for n, grad in with_gradients if not _finite(grad)), "all parameters together")
    return f"the gradient of {where} is no number, though {name} is {losses[0].item():.4g}"


def _finite(x: Tensor) -> bool:
    return bool(torch.isfinite(x).all())


def parts_of(columns: tuple[Any, ...], count: int) -> Iterator[tuple[float, tuple[Any, ...]]]:
    """Columns `[N, ...]` in `count` parts or fewer, each with its share of the samples.

    Parts are as equal as can be where no `Sequences` is cut; a column may be None.
    """
    if count == 1:
        yield 1.0, columns
        return
    total = len(columns[0])
    cuts = [total * i // count for i in range(count + 1)]
    sequences = next((c for c in columns if isinstance(c, Sequences)), None)
    if sequences is not None:
        starts = [*sequences.starts(), total]
        cuts = [starts[bisect_left(starts, cut)] for cut in cuts]
    for first, end in pairwise(sorted(set(cuts))):
        yield (end - first) / total, tuple(_part(column, first, end) for column in columns)


def _part(column: Any, first: int, end: int) -> Any:
    if isinstance(column, Sequences):
        return column.part(first, end)
    return None if column is None else column[first:end]
