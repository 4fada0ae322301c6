"""From what an environment returns to rows of memory.

Legend: B environments.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rltrain.core.layout import Layout, Leaf

Rows = NDArray[Any]


class MismatchError(Exception):
    """An observation is not what its space declares: the part's space, and what was returned."""

    def __init__(self, declared: object, got: str, where: str) -> None:
        super().__init__(declared, got, where)
        self.declared, self.got, self.where = declared, got, where


class Packer:
    """Checks observations and turns each into a row of its layout.

    A packed row is written into memory that the next one is written into too.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._checks = [(leaf, _check_of(leaf)) for leaf in layout.leaves]
        self._fields: Rows = np.zeros(1, layout.fields if layout.packed else np.uint8)
        self._row: Rows = self._fields.view(np.uint8)

    def __call__(self, obs: Any) -> Rows:
        """The row of an observation.

        Raises:
            MismatchError: it is not what the space declares.
        """
        if not self.layout.packed:
            row: Rows = _checked(obs, *self._checks[0])
            return row
        self._fields[0] = tuple(
            _checked(_part(obs, leaf), leaf, check) for leaf, check in self._checks
        )
        return self._row

    def not_finite(self, rows: Rows) -> NDArray[np.bool_]:
        """Which rows `[B, ...]` hold what is no number."""
        bad = np.zeros(len(rows), np.bool_)
        whole = self.layout.view(rows) if self.layout.packed else rows
        for leaf in self.layout.leaves:
            if leaf.dtype.kind == "f":
                part = whole[leaf.name] if self.layout.packed else whole
                bad |= ~np.isfinite(part).reshape(len(rows), -1).all(1)
        return bad


def _part(obs: Any, leaf: Leaf) -> Any:
    """What an observation holds at a leaf's path."""
    for depth, key in enumerate(leaf.path):
        inside = (
            key in obs
            if isinstance(obs, Mapping)
            else isinstance(obs, tuple | list) and isinstance(key, int) and key < len(obs)
        )
        if not inside:
            where = ".".join(map(str, leaf.path[:depth]))
            raise MismatchError(leaf.space, f"nothing of that name in {obs!r:.60}", where)
        obs = obs[key]
    return obs


def _checked(obs: Any, leaf: Leaf, check: Callable[[Any], Any]) -> Any:
    row = check(obs)
    if row is None:
        got = f"{type(obs).__name__} {obs!r:.60}"
        if isinstance(obs, np.ndarray) and obs.ndim:
            got = f"{obs.dtype} of shape {obs.shape}"
        raise MismatchError(leaf.space, got, leaf.name if leaf.path else "")
    return row


def _check_of(leaf: Leaf) -> Callable[[Any], Any]:
    """What turns a part into what is stored, or into None where it breaks its space."""
    space: Any = leaf.space
    if isinstance(space, spaces.Discrete):
        return functools.partial(_index, start=int(space.start), count=int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return lambda obs: _indices(obs, space.start, space.nvec)
    if isinstance(space, spaces.MultiBinary):
        return lambda obs: _bits(obs, leaf.shape)
    if leaf.kind == "text":
        codes = {character: i + 1 for i, character in enumerate(leaf.alphabet)}
        shortest = getattr(space, "min_length", 0)
        return lambda obs: _codes(obs, codes, leaf, shortest)
    declared, shape = np.dtype(space.dtype), leaf.shape

    def numbers(obs: Any) -> Any:
        array = isinstance(obs, np.ndarray | np.generic)
        return obs if array and obs.shape == shape and obs.dtype == declared else None

    return numbers


def _index(obs: Any, start: int, count: int) -> int | None:
    """A Discrete, counted from 0."""
    scalar = isinstance(obs, np.ndarray) and obs.shape == () and obs.dtype.kind in "iu"
    if not scalar and not isinstance(obs, int | np.integer):
        return None
    index = int(obs) - start
    return index if 0 <= index < count else None


def _indices(obs: Any, start: Rows, counts: Rows) -> Rows | None:
    """A MultiDiscrete, each counted from 0."""
    if not isinstance(obs, np.ndarray) or obs.shape != counts.shape or obs.dtype.kind not in "iu":
        return None
    index: Rows = obs - start
    return index if ((index >= 0) & (index < counts)).all() else None


def _bits(obs: Any, shape: tuple[int, ...]) -> Rows | None:
    if not isinstance(obs, np.ndarray) or obs.shape != shape or obs.dtype.kind not in "biu":
        return None
    return obs if ((obs == 0) | (obs == 1)).all() else None


def _codes(obs: Any, codes: dict[str, int], leaf: Leaf, shortest: int) -> Rows | None:
    """A text as codes of its characters, with zeros behind its end."""
    if not isinstance(obs, str) or not shortest <= len(obs) <= leaf.shape[0]:
        return None
    row = np.zeros(leaf.shape, leaf.dtype)
    try:
        row[: len(obs)] = [codes[character] for character in obs]
    except KeyError:
        return None
    return row
