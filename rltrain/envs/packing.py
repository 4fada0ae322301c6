"""From what an environment returns to rows of memory.

Legend: B environments.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rltrain.core.layout import Layout, Leaf, box_dtype
from rltrain.envs.answers import describe, one_line

Rows = NDArray[Any]


class MismatchError(Exception):
    """An observation is not what its space declares: the part's space, and what was returned."""

    def __init__(self, declared: object, got: str, where: str) -> None:
        super().__init__(declared, got, where)
        self.declared, self.got, self.where = declared, got, where


class Packer:
    """Checks observations and turns each into a row of its layout.

    What Gymnasium counts as an element of the space is taken: lists and tuples for arrays, and
    numbers of another type where they keep their values. Floats are rounded to the space's own;
    `rounded` says of which parts, and between which types. It holds no memory that changes from
    row to row, since a team's packers are among what is saved of an environment.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.rounded: dict[str, str] = {}
        self._checks = [(leaf, _check_of(leaf, self.rounded)) for leaf in layout.leaves]

    def __call__(self, obs: Any) -> Rows:
        """The row of an observation.

        Raises:
            MismatchError: it is not what the space declares.
        """
        if not self.layout.packed:
            row: Rows = _checked(obs, *self._checks[0])
            return row
        fields: Rows = np.zeros(1, self.layout.fields)
        fields[0] = tuple(_checked(_part(obs, leaf), leaf, check) for leaf, check in self._checks)
        return fields.view(np.uint8)

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
            else _is_sequence(obs) and isinstance(key, int) and key < len(obs)
        )
        if not inside:
            where = ".".join(map(str, leaf.path[:depth]))
            shown = one_line(repr(obs), 60)
            raise MismatchError(leaf.space, f"nothing called {key} in {shown}", where)
        obs = obs[key]
    return obs


def _is_sequence(obs: Any) -> bool:
    return isinstance(obs, tuple | list) or (isinstance(obs, np.ndarray) and obs.ndim > 0)


def _checked(obs: Any, leaf: Leaf, check: Callable[[Any], Any]) -> Any:
    row = check(obs)
    if row is None:
        where = leaf.name if leaf.path else ""
        raise MismatchError(leaf.space, describe(obs), where)
    return row


def _check_of(leaf: Leaf, rounded: dict[str, str]) -> Callable[[Any], Any]:
    """What turns a part into what is stored, or into None where it breaks its space.

    A part whose floats lose digits by it is put into `rounded`, by name.
    """
    space: Any = leaf.space
    if isinstance(space, spaces.Discrete):
        return functools.partial(_index, start=int(space.start), count=int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return functools.partial(_indices, start=space.start, counts=space.nvec)
    if isinstance(space, spaces.MultiBinary):
        return functools.partial(_bits, shape=leaf.shape)
    if leaf.kind == "text":
        codes = {character: i + 1 for i, character in enumerate(leaf.alphabet)}
        shortest = getattr(space, "min_length", 0)
        return lambda obs: _codes(obs, codes, leaf, shortest)
    declared, shape = np.dtype(space.dtype), leaf.shape
    if leaf.kind == "picture" and declared.kind in "iu":
        declared = box_dtype(space)  # what does not fit into bytes breaks the space

    def numbers(obs: Any) -> Any:
        array = isinstance(obs, np.ndarray | np.generic)
        if array and obs.shape == shape and obs.dtype == declared:
            return obs
        row = _converted(obs, shape, declared)
        if row is None or not array or not declared.kind == obs.dtype.kind == "f":
            return row
        if not np.array_equal(row, obs.reshape(shape), equal_nan=True):
            rounded.setdefault(leaf.name, f"{obs.dtype} for {declared}")
        return row

    return numbers


def _converted(
    obs: Any, shape: tuple[int, ...], dtype: np.dtype[Any], kinds: str = "biuf"
) -> Rows | None:
    """Return numbers of another form as an array of `shape` and `dtype`.

    Floats are rounded to a smaller float; every other conversion keeps each value. None where
    that cannot be, where the shape is another, or where they are not numbers of `kinds` of
    dtype. A single number needs no array around it.
    """
    try:
        array = np.asarray(obs)
    except (ValueError, TypeError):  # lists of different lengths
        return None
    single = array.size == 1 and math.prod(shape) == 1
    if array.dtype.kind not in kinds or (array.shape != shape and not single):
        return None
    array = array.reshape(shape)
    with np.errstate(invalid="ignore", over="ignore"):  # what is lost is found below
        row: Rows = array.astype(dtype)
        if array.dtype.kind == dtype.kind == "f":
            kept = np.isfinite(row) | ~np.isfinite(array)
        else:
            kept = row == array
            if array.dtype.kind != dtype.kind:  # a comparison of both may round: go back
                kept &= row.astype(array.dtype) == array
    return row if kept.all() else None


def _index(obs: Any, start: int, count: int) -> int | None:
    """A Discrete, counted from 0."""
    if not isinstance(obs, int | np.integer | np.bool_):
        single = isinstance(obs, np.ndarray) and obs.size == 1 and obs.dtype.kind in "biu"
        if not single:
            return None
        obs = obs.item()
    index = int(obs) - start
    return index if 0 <= index < count else None


def _indices(obs: Any, start: Rows, counts: Rows) -> Rows | None:
    """A MultiDiscrete, each counted from 0."""
    if not isinstance(obs, np.ndarray) or obs.shape != counts.shape or obs.dtype.kind not in "iu":
        obs = _converted(obs, counts.shape, np.dtype(np.int64), "iub")
        if obs is None:
            return None
    index: Rows = obs - start
    return index if ((index >= 0) & (index < counts)).all() else None


def _bits(obs: Any, shape: tuple[int, ...]) -> Rows | None:
    if not isinstance(obs, np.ndarray) or obs.shape != shape or obs.dtype.kind not in "biu":
        obs = _converted(obs, shape, np.dtype(np.int8))
        if obs is None:
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
