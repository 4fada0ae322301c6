"""Between what Minari's files hold of observations and actions, and rows of memory.

A file has a column for each part of a Dict or a Tuple, and one otherwise: an array, or
strings. Rows are as `rltrain.core.layout` lays them out.

Legend: N observations or actions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import Space, spaces

from rltrain.core.errors import UserError
from rltrain.core.layout import Leaf, Path, is_text, layout_of, parts_of
from rltrain.core.spaces import Stack, kind_of, to_box
from rltrain.core.types import Rows

ACTIONS = ("Box", "Discrete", "MultiDiscrete", "MultiBinary")


class NotOfSpaceError(ValueError):
    """A value that its space does not have."""


def storable(dataset_id: str, space: Space, path: Path = ()) -> Space:
    """The space as Minari can write it down: texts as Text, and all else as it is.

    Raises:
        UserError: the name of a part is one that a file has no place for, or a text may have
            a character that a file cannot hold.
    """
    if isinstance(space, spaces.Tuple):
        inner = [storable(dataset_id, part, (*path, i)) for i, part in enumerate(space.spaces)]
        return spaces.Tuple(inner)
    if isinstance(space, spaces.Dict):
        for key in space.spaces:
            if not isinstance(key, str) or "/" in key or key in ("", "."):
                where, whole = f" in {_name(path)}" if path else "", (*path, key)
                droppable = all(isinstance(name, str) for name in whole)
                advice = f" Leave it out: env.drop_keys=[{_name(whole)!r}]" if droppable else ""
                raise UserError(
                    f"dataset={dataset_id}: observations have a part called {key!r}{where}, and"
                    f" Minari's files have no place for such a name.{advice}"
                )
        parts = {
            key: storable(dataset_id, part, (*path, key)) for key, part in space.spaces.items()
        }
        return spaces.Dict(parts, sort_keys=False)
    if not is_text(space):
        return space
    (leaf,) = layout_of(space).leaves
    if "\0" in leaf.alphabet:
        raise UserError(
            f"dataset={dataset_id}: texts{_as_part(path)} may have the character NUL, which"
            " Minari's files cannot hold."
        )
    least = space.min_length if isinstance(space, spaces.Text) else 0
    return spaces.Text(leaf.shape[0], min_length=least, charset=leaf.alphabet)


def check_actions(dataset_id: str, space: Space) -> None:
    """Raises a UserError where actions are of a kind that datasets have no rows for."""
    kind = kind_of(space)
    if kind not in ACTIONS:
        raise UserError(f"dataset={dataset_id}: actions of {kind} cannot be read or recorded.")


def check_space(
    dataset_id: str, what: str, found: Space, wanted: Space, dropped: tuple[str, ...] = ()
) -> None:
    """Compares the parts of spaces, the kind and the sizes of each; bounds may differ.

    A dataset may have parts that are `dropped` from the environment's observations, and of
    an environment that stacks observations either single ones or stacks.

    Raises:
        UserError: rows of one are none of the other.
    """
    if isinstance(wanted, Stack) and found.shape != wanted.shape:
        wanted = wanted.single
    theirs, ours = dict(parts_of(found)), dict(parts_of(wanted))
    begins = f"dataset={dataset_id} has {what}"
    if _composite(found) != _composite(wanted):
        raise UserError(f"{begins} {found}, and those of the environment are {wanted}.")
    theirs = {path: space for path, space in theirs.items() if not _dropped(path, dropped)}
    missing, more = ([p for p in a if p not in b] for a, b in ((ours, theirs), (theirs, ours)))
    if missing or more:
        said = [f"it has no {_name(p)}, which is {ours[p]} in the environment" for p in missing]
        said += [f"{_name(p)}, {theirs[p]}, is in the dataset alone" for p in more]
        droppable = not more and all(isinstance(key, str) for path in missing for key in path)
        names = ",".join(map(_name, missing))
        advice = f" Leave out what is missing: env.drop_keys=[{names}]" if droppable else ""
        raise UserError(f"{begins} of other parts: {'; '.join(said)}.{advice}")
    for path, space in ours.items():
        if not _same(theirs[path], space):
            part = f" whose part {_name(path)} is" if path else ""
            advice = _stack_advice(theirs[path], space)
            raise UserError(
                f"{begins}{part} {theirs[path]}, and"
                f" {'it is' if path else 'those of the environment are'} {space}"
                f"{' in the environment' if path else ''}.{advice}"
            )


def _composite(space: Space) -> bool:
    return isinstance(space, spaces.Dict | spaces.Tuple)


def _name(path: Path) -> str:
    return ".".join(map(str, path))


def _as_part(path: Path) -> str:
    return f" as {_name(path)}" if path else ""


def _dropped(path: Path, names: tuple[str, ...]) -> bool:
    return any(_name(path[:depth]) in names for depth in range(1, len(path) + 1))


def _same(found: Space, wanted: Space) -> bool:
    """Whether values of one are values of the other, but for bounds and digits."""
    if is_text(wanted):
        return is_text(found)
    if kind_of(found) != kind_of(wanted) or found.shape != wanted.shape:
        return False
    if isinstance(wanted, spaces.Box):
        return np.dtype(found.dtype).kind == np.dtype(wanted.dtype).kind
    sizes = {"Discrete": ("n", "start"), "MultiDiscrete": ("nvec", "start")}
    names = sizes.get(kind_of(wanted), ())
    return all(np.array_equal(getattr(found, name), getattr(wanted, name)) for name in names)


def _stack_advice(found: Space, wanted: Space) -> str:
    boxes = isinstance(found, spaces.Box) and isinstance(wanted, spaces.Box)
    if boxes and found.shape is not None and found.shape[1:] == wanted.shape:
        return f" If they are stacks, set env.frame_stack={found.shape[0]}."
    return ""


def as_rows(values: Any, space: Space) -> Rows:
    """What a file holds as rows `[N, ...]`: packed, texts as codes, counted from 0, and stacked
    where the space is of stacks.

    Raises:
        NotOfSpaceError: a value is none of the space's.
    """
    if isinstance(space, Stack):
        return _stacked(np.asarray(values), space)
    layout = layout_of(space)
    columns = [_column(_inside(values, leaf.path), leaf) for leaf in layout.leaves]
    if not layout.packed:
        return columns[0]
    rows = np.zeros(len(columns[0]), layout.fields)
    for leaf, column in zip(layout.leaves, columns, strict=True):
        rows[leaf.name] = column
    return rows.view(np.uint8).reshape(len(rows), -1)


def _stacked(values: Rows, space: Stack) -> Rows:
    """Stacks `[N, K, ...]` of an episode's observations, single ones or stacks themselves."""
    newest = values[:, -1] if values.shape[1:] == space.shape else values
    single = as_rows(newest, space.single)
    back = np.arange(1 - space.shape[0], 1)
    stacks: Rows = single[np.maximum(np.arange(len(single))[:, None] + back, 0)]
    return stacks


def _inside(values: Any, path: Path) -> Any:
    for key in path:
        values = values[key]
    return values


def _column(values: Any, leaf: Leaf) -> Rows:
    """A part of N observations as rows hold it `[N, ...]`."""
    if leaf.kind == "text":
        return _codes(values, leaf)
    space: Any = leaf.space
    array = np.asarray(values)
    if array.size != len(array) * math.prod(leaf.shape):
        raise _not_of(leaf, f"an array of shape {array.shape}")
    array = array.reshape(len(array), *leaf.shape)
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise _not_of(leaf, "what is no number")
        if leaf.dtype.kind != "f" and (array != np.rint(array)).any():
            raise _not_of(leaf, "numbers that are not whole")
    if leaf.kind in ("discrete", "choices"):
        index = array - space.start
        if ((index < 0) | (index >= np.reshape(leaf.choices, leaf.shape))).any():
            raise _not_of(leaf, f"numbers from {array.min()} to {array.max()}")
        array = index
    stored = array.astype(leaf.dtype, copy=False)
    if leaf.dtype.kind in "iu" and (stored != array).any():
        raise _not_of(leaf, f"numbers from {array.min()} to {array.max()}")
    return stored


def _not_of(leaf: Leaf, what: str) -> NotOfSpaceError:
    return NotOfSpaceError(f"{what}{_as_part(leaf.path)}, where {leaf.space} is asked for")


def _codes(values: Any, leaf: Leaf) -> Rows:
    """Texts as codes of their characters, with zeros behind their ends."""
    codes = {character: i + 1 for i, character in enumerate(leaf.alphabet)}
    rows = np.zeros((len(values), *leaf.shape), leaf.dtype)
    known: dict[str, list[int]] = {}
    for row, text in zip(rows, values, strict=True):
        if text not in known:
            if len(text) > leaf.shape[0] or not codes.keys() >= set(text):
                raise _not_of(leaf, f"the text {text!r}")
            known[text] = [codes[character] for character in text]
        row[: len(text)] = known[text]
    return rows


def as_recorded(rows: Rows, space: Space) -> Any:
    """The inverse of `as_rows`, of the newest observation of each stack."""
    if isinstance(space, Stack):
        return as_recorded(rows[:, -1], space.single)
    layout = layout_of(space)
    if not layout.packed:
        return _values(rows, layout.leaves[0])
    fields = layout.view(np.ascontiguousarray(rows))
    columns = {leaf.path: _values(fields[leaf.name], leaf) for leaf in layout.leaves}
    return _assembled(columns, space, ())


def _assembled(columns: dict[Path, Any], space: Space, path: Path) -> Any:
    if isinstance(space, spaces.Dict):
        parts = space.spaces.items()
        return {key: _assembled(columns, part, (*path, key)) for key, part in parts}
    if isinstance(space, spaces.Tuple):
        return tuple(_assembled(columns, p, (*path, i)) for i, p in enumerate(space.spaces))
    return columns[path]


def _values(rows: Rows, leaf: Leaf) -> Any:
    if leaf.kind == "text":
        return ["".join(leaf.alphabet[code - 1] for code in row[row > 0]) for row in rows]
    space: Any = leaf.space
    if leaf.kind in ("discrete", "choices"):
        rows = rows + space.start
    return np.ascontiguousarray(rows).astype(space.dtype, copy=False)


def as_taken(actions: Rows, space: Space) -> Any:
    """Return actions as an environment was given them."""
    if isinstance(space, spaces.Box):
        actions = to_box(actions, space)
    return as_recorded(actions, space)
