"""Spaces that hold nothing, or whose size no machine's memory would hold."""

from __future__ import annotations

import math
import os

import numpy as np
from gymnasium import Space, spaces

from rltrain.core.errors import UserError
from rltrain.core.layout import parts_of
from rltrain.core.spaces import describe
from rltrain.settings import registry
from rltrain.settings.run import RunSettings

_COPIES = 8  # of a first or last layer: two networks, each with gradients and two moments
_WIDTH = 64  # of a layer whose network has no `hidden_sizes`
_GIB = 2**30


def check_sizes(run: RunSettings, observations: Space, actions: Space) -> None:
    """Check that spaces hold numbers within bounds, and that what they take fits into memory.

    Raises:
        UserError: they do not.
    """
    for what, space in (("observations", observations), ("actions", actions)):
        for path, part in parts_of(space):
            where = f" as {'.'.join(map(str, path))}" if path else ""
            if isinstance(part, spaces.Box) and (fault := _fault(part)):
                raise UserError(f"env={run.env.id}: {what} {describe(part)}{where}: {fault}.")
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed, why = _needed(run, observations, actions)
    if needed > 0.9 * there:
        raise UserError(
            f"env={run.env.id}: observations {describe(observations)} and actions"
            f" {describe(actions)} are too many for algo={run.algo.name}: {why} takes about"
            f" {needed / _GIB:,.0f} GiB, and this machine has {there / _GIB:.1f}."
        )


def _fault(space: spaces.Box) -> str:
    if not math.prod(space.shape):
        return "it holds no number"
    if np.isnan(space.low).any() or np.isnan(space.high).any():
        return "its bounds are NaN"
    return "its low is above its high" if (space.low > space.high).any() else ""


def _needed(run: RunSettings, observations: Space, actions: Space) -> tuple[int, str]:
    """Bytes of what grows with the number of choices, and what that is."""
    seen, taken = _choices(observations), _choices(actions)
    if not registry.entry("algo", run.algo.name).networks:
        return 16 * seen * taken, f"a table of {seen:,} × {taken:,} values"
    s, widths = run.algo, getattr(run.network, "hidden_sizes", ()) or (_WIDTH,)
    rows = max(getattr(s, "batch_size", 1) or 1, getattr(s, "n_steps", 1) * run.env.num_envs)
    width = max(int(widths[0]), int(widths[-1]))
    layers, samples = _COPIES * width, rows
    return 4 * (seen + taken) * (layers + samples), f"a minibatch and layers of {seen + taken:,}"


def _choices(space: Space) -> int:
    """How many values the Discrete parts of a space have: their one-hot numbers."""
    count = 0
    for _, part in parts_of(space):
        if isinstance(part, spaces.Discrete):
            count += int(part.n)
        elif isinstance(part, spaces.MultiDiscrete):
            count += int(part.nvec.sum())
    return count
