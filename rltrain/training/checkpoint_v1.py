"""Checkpoints of format 1, read only: a line of header, and the bytes of `torch.save`.

They are loaded with `weights_only=True`, which makes tensors and plain values and calls
nothing else. What `torch.save` never wrote here is refused before or after.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

import torch

MAGIC = b"rltrain-checkpoint "
_ARRAY = "__ndarray__"


class DamagedError(Exception):
    """The file is not as it was written; the message says what is wrong with it."""


class NotDataError(Exception):
    """The file is whole, but holds what no checkpoint does."""


def read(raw: bytes) -> tuple[dict[str, Any], Any]:
    """Return the header and the content of what followed `MAGIC` in a file.

    Raises:
        DamagedError: it is cut off or changed.
        NotDataError: it holds other objects than tensors and plain values.
    """
    line, _, body = raw.partition(b"\n")
    try:
        header = json.loads(line)
        if header["format"] != 1:
            raise ValueError("later formats begin otherwise")
        checksum = header["sha256"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DamagedError("its header cannot be read") from error
    if hashlib.sha256(body).hexdigest() != checksum:
        raise DamagedError("its checksum does not match")
    try:
        _check_archive(body)
        content = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
        return header, _from_plain(content, set())
    except Exception as error:  # what torch raises on bytes that are not its own is not listed
        raise NotDataError(str(error)) from error


def _check_archive(body: bytes) -> None:
    """Refuses what torch would read by other means: bare pickles, tar files, compression."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("torch.save does not compress")


def _from_plain(tree: Any, seen: set[int]) -> Any:
    """Return the tree with arrays in the place of what stood for them.

    Containers that are named twice are refused: a few of them, nested, would take for ever.
    """
    if isinstance(tree, torch.Tensor):
        return _plain_tensor(tree)
    if isinstance(tree, dict | list | tuple) and tree:
        if id(tree) in seen:
            raise ValueError("containers are shared")
        seen.add(id(tree))
    if isinstance(tree, dict):
        if tree.keys() == {_ARRAY}:
            return _plain_tensor(tree[_ARRAY]).numpy()
        return {key: _from_plain(value, seen) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_from_plain(value, seen) for value in tree)
    return tree


def _plain_tensor(tensor: torch.Tensor) -> torch.Tensor:
    dense = tensor.layout is torch.strided and not tensor.is_quantized and not tensor.is_meta
    if not dense or not tensor.is_contiguous():
        raise TypeError("a tensor is not an array in memory")
    return tensor.detach()
