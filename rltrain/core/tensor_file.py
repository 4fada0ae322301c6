"""Arrays in a file by the layout of safetensors, with a checksum; neither torch nor pickle.

A file is the length of its header in 8 bytes (little-endian), the header, and the arrays'
memory without gaps. The header is JSON: each array's name with `dtype`, `shape` and
`data_offsets`, and `__metadata__`, texts by name. Any reader of safetensors can open it.

The first of the texts is `sha256`: the SHA-256 of the whole file, in which its own 64 digits
are zeros. Arrays are written and read one by one, so that neither needs their memory twice.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

SIZES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}
_START = b'{"__metadata__":{"sha256":"'
_ZEROS = b"0" * 64
_CHECKSUM_AT = 8 + len(_START)


@dataclass(frozen=True)
class Stored:
    """An array of a file: `data()` is its memory as bytes `[nbytes]`."""

    dtype: str
    shape: tuple[int, ...]
    data: Callable[[], NDArray[np.uint8]]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * SIZES[self.dtype]


class NotThisLayoutError(Exception):
    """The file does not begin as one that `write` made."""


class DamagedError(Exception):
    """The file is not as `write` left it; the message says what is wrong with it."""


def write(
    file: BinaryIO,
    metadata: Mapping[str, str],
    arrays: Mapping[str, Stored],
    half: Callable[[], None] = lambda: None,
) -> None:
    """Write arrays and texts to a file that is open for writing and empty.

    `half` is called in the middle: before the array in which half of the bytes are written.
    """
    order = sorted(arrays, key=lambda name: -SIZES[arrays[name].dtype])  # all are aligned so
    end, entries = 0, {}
    for name in order:
        begin, end = end, end + arrays[name].nbytes
        shape = list(arrays[name].shape)
        entries[name] = {"dtype": arrays[name].dtype, "shape": shape, "data_offsets": [begin, end]}
    texts = {"__metadata__": {"sha256": _ZEROS.decode(), **metadata}}
    header = json.dumps(texts | entries, separators=(",", ":")).encode("ascii")
    header += b" " * (-len(header) % 8)
    sha = hashlib.sha256()
    written = 0
    for part in (len(header).to_bytes(8, "little"), header):
        sha.update(part)
        file.write(part)
    for name in order:
        if written <= end // 2 < written + arrays[name].nbytes:
            half()
        data = arrays[name].data().data
        sha.update(data)
        file.write(data)
        written += len(data)
    file.seek(_CHECKSUM_AT)
    file.write(sha.hexdigest().encode())
    file.seek(0, os.SEEK_END)


def read(file: BinaryIO) -> tuple[dict[str, str], dict[str, Stored]]:
    """Return the texts and the arrays of a file, once its checksum has been compared.

    Raises:
        NotThisLayoutError: it does not begin as `write` begins.
        DamagedError: it is cut off, changed, or its header does not fit its size.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    length = int.from_bytes(first := file.read(8), "little")
    if not _CHECKSUM_AT + 66 <= 8 + length <= size:
        raise NotThisLayoutError
    header = file.read(length)
    if not header.startswith(_START):
        raise NotThisLayoutError
    try:
        metadata, entries = _parse(header)
        spans, end = _check(entries)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DamagedError("its header cannot be read") from error
    if 8 + length + end != size:
        raise DamagedError(f"its size is {size:,} bytes, and should be {8 + length + end:,}")
    inside = _CHECKSUM_AT - 8
    sha = hashlib.sha256(first + header[:inside] + _ZEROS + header[inside + 64 :])
    arrays = {}
    for name, (dtype, shape, nbytes) in spans.items():
        data = np.empty(nbytes, np.uint8)
        _fill(file, data)
        sha.update(data.data)
        arrays[name] = Stored(dtype, shape, _returning(data))
    if sha.hexdigest() != metadata["sha256"]:
        raise DamagedError("its checksum does not match")
    for name, stored in arrays.items():
        if stored.dtype == "BOOL" and (stored.data() > 1).any():
            raise DamagedError(f"{name} has truth values other than 0 and 1")
    return metadata, arrays


def _returning(data: NDArray[np.uint8]) -> Callable[[], NDArray[np.uint8]]:
    return lambda: data


def _fill(file: BinaryIO, data: NDArray[np.uint8]) -> None:
    view, at = data.data, 0
    while at < len(view):
        count = file.readinto(view[at:])  # type: ignore[attr-defined] # of a file it is there
        if not count:
            raise DamagedError("it became shorter while it was read")
        at += count


def _parse(header: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    entries = json.loads(header)
    metadata = entries.pop("__metadata__")
    if not all(isinstance(text, str) for text in metadata.values()):
        raise TypeError("metadata is text")
    return metadata, entries


def _check(entries: dict[str, Any]) -> tuple[dict[str, tuple[str, tuple[int, ...], int]], int]:
    """Return dtype, shape and size of each array by the order in the file, and the whole size."""
    end, spans = 0, {}
    for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
        dtype, shape, offsets = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        if len(shape) > 64 or not all(type(n) is int and 0 <= n < 2**63 for n in shape):
            raise TypeError("shapes are up to 64 whole numbers")
        nbytes = math.prod(shape) * SIZES[dtype]
        if offsets != [end, end + nbytes]:
            raise ValueError("arrays are without gaps")
        end += nbytes
        spans[name] = (dtype, shape, nbytes)
    return spans, end
