"""How an observation lies in a row of memory, and what its parts are.

An observation of one part is a row as its space says. One of several (Dict, Tuple, nested)
is a row of bytes in which each part has its place, so that whatever stores, shares or
sends observations sees one array, and a network on any device can look at the parts
without copying them.

Legend: N rows.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rltrain.core.errors import UserError

Kind = Literal["numbers", "picture", "discrete", "choices", "text"]
Path = tuple[str | int, ...]

MIN_SIDE = 7  # of a picture, in pixels: MiniGrid's are 7 × 7
MAX_CHANNELS = 32
MAX_PIXEL = 65535  # the highest bound that is taken for full light: of 16 bits
TEXT_LENGTH = 256  # characters of a text whose space gives no bound
ROOT = "observation"  # what the only part of an observation is called
_PRINTABLE = "".join(sorted(string.printable))


@dataclass(frozen=True)
class Leaf:
    """One part of an observation.

    `path` leads to it, `name` is the path as it is written. In memory it is an array of
    `shape` and `dtype`, from byte `offset` of the row on; a network that takes it as
    numbers sees `size` of them, divided by `scale`. `choices` are the sizes of a Discrete
    or a MultiDiscrete, `alphabet` the characters of a text: character i is code i + 1, and
    0 is what fills the row behind its end.
    """

    path: Path
    space: gym.Space[Any]
    kind: Kind
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    size: int
    scale: float = 1.0
    choices: tuple[int, ...] = ()
    alphabet: str = ""
    offset: int = 0

    @property
    def name(self) -> str:
        return ".".join(map(str, self.path)) or ROOT

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Layout:
    """The parts of an observation, in the space's order.

    `packed` rows are bytes. Otherwise there is one part, and a row is it alone.
    """

    leaves: tuple[Leaf, ...]
    packed: bool

    @property
    def flat(self) -> bool:
        """Whether networks take it as one vector of `size` numbers."""
        return not self.packed and self.leaves[0].kind in ("numbers", "discrete", "choices")

    @property
    def size(self) -> int:
        """The numbers that it comes to where every part is one vector."""
        return sum(leaf.size for leaf in self.leaves)

    @property
    def row(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and dtype of a row."""
        if self.packed:
            return (self.fields.itemsize,), np.dtype(np.uint8)
        return self.leaves[0].shape, self.leaves[0].dtype

    @property
    def fields(self) -> np.dtype[Any]:
        """The dtype that a packed row may be viewed as: a field for each part, aligned."""
        return np.dtype(
            {
                "names": [leaf.name for leaf in self.leaves],
                "formats": [(leaf.dtype, leaf.shape) for leaf in self.leaves],
                "offsets": [leaf.offset for leaf in self.leaves],
                "itemsize": _end(self.leaves),
            }
        )

    def view(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Packed rows `[..., bytes]` as a structured array `[...]` on the same memory."""
        structured: NDArray[Any] = rows.view(self.fields)
        return structured.reshape(rows.shape[:-1])


def layout_of(space: gym.Space[Any]) -> Layout:
    """How observations of `space` are laid out.

    Raises:
        UserError: a part of it is of a kind that no network here takes.
    """
    packed = isinstance(space, spaces.Dict | spaces.Tuple)
    leaves = tuple(_leaf(path, part, packed) for path, part in parts_of(space))
    names = [leaf.name for leaf in leaves]
    twice = {name for name in names if names.count(name) > 1}
    if twice or not leaves:
        what = f"two parts are both called {min(twice)}" if twice else "there is nothing in it"
        raise UserError(f"Observations of {space} cannot be told apart: {what}.")
    return Layout(_placed(leaves) if packed else leaves, packed)


def normalized_layout(layout: Layout) -> Layout:
    """Return the layout of the same observations once every Box in them is normalised.

    What is stored as bytes is floats there, and nothing is divided by a scale.
    """
    leaves = tuple(
        replace(leaf, dtype=_float_of(leaf.dtype), scale=1.0) if is_box(leaf) else leaf
        for leaf in layout.leaves
    )
    return Layout(_placed(leaves) if layout.packed else leaves, layout.packed)


def is_box(leaf: Leaf) -> bool:
    return isinstance(leaf.space, spaces.Box)


def _float_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float32) if dtype == np.uint8 else dtype


def _placed(leaves: tuple[Leaf, ...]) -> tuple[Leaf, ...]:
    """Parts one after the other in a row of bytes, each aligned."""
    placed: list[Leaf] = []
    for leaf in leaves:
        offset = _aligned(placed[-1].offset + placed[-1].nbytes if placed else 0, leaf.dtype)
        placed.append(replace(leaf, offset=offset))
    return tuple(placed)


def parts_of(space: gym.Space[Any], path: Path = ()) -> Iterator[tuple[Path, gym.Space[Any]]]:
    """The spaces inside Dicts and Tuples, with the way to each."""
    if isinstance(space, spaces.Dict):
        inner: Any = space.spaces.items()
    elif isinstance(space, spaces.Tuple):
        inner = enumerate(space.spaces)
    else:
        yield path, space
        return
    for key, part in inner:
        yield from parts_of(part, (*path, key))


def _end(leaves: tuple[Leaf, ...]) -> int:
    """Bytes of a packed row: a multiple of 8, so that any row is aligned."""
    return _aligned(leaves[-1].offset + leaves[-1].nbytes, np.dtype(np.float64))


def _aligned(offset: int, dtype: np.dtype[Any]) -> int:
    return -(-offset // dtype.itemsize) * dtype.itemsize


def is_text(space: gym.Space[Any]) -> bool:
    """Text, or a space of strings that is none of Gymnasium's (MiniGrid's missions)."""
    return space.dtype is not None and space.dtype.kind == "U"


def _leaf(path: Path, space: gym.Space[Any], packed: bool) -> Leaf:
    if isinstance(space, spaces.Discrete):
        count = int(space.n)
        return Leaf(path, space, "discrete", (), np.dtype(np.int64), count, choices=(count,))
    if isinstance(space, spaces.MultiDiscrete):
        sizes = tuple(int(n) for n in space.nvec.ravel())
        dtype = np.dtype(np.int64 if packed else space.dtype)
        return Leaf(path, space, "choices", space.nvec.shape, dtype, sum(sizes), choices=sizes)
    if isinstance(space, spaces.MultiBinary):
        assert space.shape is not None
        dtype = np.dtype(np.uint8 if packed else space.dtype)
        return Leaf(path, space, "numbers", space.shape, dtype, math.prod(space.shape))
    if is_text(space):
        length = space.max_length if isinstance(space, spaces.Text) else TEXT_LENGTH
        known = space.character_set if isinstance(space, spaces.Text) else _PRINTABLE
        alphabet = "".join(sorted(known))  # a set's own order changes from process to process
        dtype = np.dtype(np.uint8 if len(alphabet) < 255 else np.int32)
        return Leaf(path, space, "text", (length,), dtype, length, alphabet=alphabet)
    if isinstance(space, spaces.Box):
        return _box(path, space, packed)
    what = type(space).__name__
    where = f"{'.'.join(map(str, path))}, a {what}" if path else f"a {what}"
    advice = f" Leave it out: env.drop_keys=[{'.'.join(map(str, path))}]" if path else ""
    raise UserError(f"Observations of {where}, are not supported.{advice}")


def _box(path: Path, space: spaces.Box, packed: bool) -> Leaf:
    kind: Kind = "picture" if is_picture(space) else "numbers"
    dtype, size = box_dtype(space), math.prod(space.shape)
    scaled = (dtype == np.uint8 or kind == "picture") and size and _counts_light(space)
    scale = max(1.0, float(space.high.max())) if scaled else 1.0
    if packed:
        dtype = _storage(dtype, kind)
    return Leaf(path, space, kind, space.shape, dtype, size, scale)


def box_dtype(space: spaces.Box) -> np.dtype[Any]:
    """Return the dtype that a Box is stored in: its own, but bytes for a picture of integers
    that fit into them."""
    integers = np.dtype(space.dtype).kind in "iu" and is_picture(space) and space.low.size
    if integers and space.low.min() >= 0 and space.high.max() <= 255:
        return np.dtype(np.uint8)
    return np.dtype(space.dtype)


def _counts_light(space: spaces.Box) -> bool:
    """Whether numbers lie between 0 and a bound of at most 16 bits, as those of pixels do."""
    return bool((space.low >= 0).all() and space.high.max() <= MAX_PIXEL)


def _storage(dtype: np.dtype[Any], kind: Kind) -> np.dtype[Any]:
    """What holds numbers of a packed row: bytes, or floats that lose none of their digits."""
    if dtype in (np.uint8, np.bool_):
        return np.dtype(np.uint8)
    small = dtype == np.float32 or dtype.itemsize < 4
    return np.dtype(np.float32 if small or kind == "picture" else np.float64)


def is_picture(space: spaces.Box) -> bool:
    """Whether a Box is a picture: rows, columns and channels, or a stack of such in front.

    Two axes alone are one where they hold bytes, truth values, or numbers within 0 and 1 or
    from 0 to 255.
    """
    shape = space.shape
    if len(shape) == 2:
        ranged = bool((space.low >= 0).all() and (space.high <= 1).all())
        pixels = bool((space.low == 0).all() and (space.high == 255).all())
        return min(shape) >= MIN_SIDE and (space.dtype == np.uint8 or ranged or pixels)
    if len(shape) not in (3, 4):
        return False
    axis = channel_axis(shape[-3:])
    sides = shape[-3:][1:] if axis == "first" else shape[-3:][:-1]
    return axis is not None and min(sides) >= MIN_SIDE


def channel_axis(shape: tuple[int, ...]) -> Literal["first", "last"] | None:
    """Where the channels of a picture `[3 axes]` are; None where no axis could be they.

    An axis of at most `MAX_CHANNELS` may be. Where both may, it is the one that leaves a
    square; where that does not tell, the smaller; where they are equal, the last.
    """
    first, middle, last = shape
    may_first, may_last = first <= MAX_CHANNELS, last <= MAX_CHANNELS
    if not may_first or not may_last:
        return "first" if may_first else "last" if may_last else None
    if (middle == last) != (first == middle):
        return "first" if middle == last else "last"
    return "first" if first < last else "last"


def describe_picture(leaf: Leaf, channels: str) -> tuple[int, int, int]:
    """Channels, rows and columns of a picture; `channels` is auto, first or last."""
    if len(leaf.shape) == 2:
        return 1, *leaf.shape
    stack = leaf.shape[0] if len(leaf.shape) == 4 else 1
    axes = leaf.shape[-3:]
    axis = channel_axis(axes) if channels == "auto" else channels
    depth, rows, columns = axes if axis == "first" else (axes[2], axes[0], axes[1])
    return stack * depth, rows, columns
