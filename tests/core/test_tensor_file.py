from __future__ import annotations

import io
import itertools
import json

import numpy as np
import pytest

from rltrain.core import tensor_file
from rltrain.core.tensor_file import DamagedError, NotThisLayoutError, Stored

ARRAYS = {
    "bytes": np.arange(3, dtype=np.uint8),
    "floats": np.arange(6, dtype=np.float32).reshape(2, 3),
    "nothing": np.zeros((0, 4), np.int64),
}
DTYPES = {"bytes": "U8", "floats": "F32", "nothing": "I64"}


def stored(name: str, array: np.ndarray) -> Stored:
    return Stored(DTYPES[name], array.shape, lambda: array.reshape(-1).view(np.uint8))


def written() -> io.BytesIO:
    file = io.BytesIO()
    arrays = {name: stored(name, array) for name, array in ARRAYS.items()}
    tensor_file.write(file, {"format": "x", "text": "ü"}, arrays)
    return file


def test_the_file_is_one_of_safetensors() -> None:
    """By the description of the format, without rltrain."""
    raw = written().getvalue()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    texts = header.pop("__metadata__")
    assert all(isinstance(text, str) for text in texts.values())
    assert (8 + length) % 8 == 0
    spans = sorted(entry["data_offsets"] for entry in header.values())
    assert spans[0][0] == 0
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
    assert 8 + length + spans[-1][1] == len(raw)
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        dtype = {"U8": np.uint8, "F32": "<f4", "I64": "<i8"}[entry["dtype"]]
        assert begin % np.dtype(dtype).itemsize == 0
        data = np.frombuffer(raw[8 + length + begin : 8 + length + end], dtype)
        assert np.array_equal(data.reshape(entry["shape"]), ARRAYS[name])


def test_what_is_read_is_what_was_written() -> None:
    metadata, arrays = tensor_file.read(written())
    assert (metadata["format"], metadata["text"]) == ("x", "ü")
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (DTYPES[name], array.shape)
        assert arrays[name].data().tobytes() == array.tobytes()


def test_every_flipped_bit_is_noticed() -> None:
    raw = written().getvalue()
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1 << at % 8
        with pytest.raises((DamagedError, NotThisLayoutError)):
            tensor_file.read(io.BytesIO(changed))


def test_every_other_length_is_noticed() -> None:
    raw = written().getvalue()
    for length in range(len(raw)):
        with pytest.raises((DamagedError, NotThisLayoutError)):
            tensor_file.read(io.BytesIO(raw[:length]))
    with pytest.raises(DamagedError, match="its size is"):
        tensor_file.read(io.BytesIO(raw + b"\0"))


def test_truth_values_are_zero_and_one() -> None:
    file = io.BytesIO()
    two = np.full(3, 2, np.uint8)
    tensor_file.write(file, {}, {"x": Stored("BOOL", (3,), lambda: two)})
    with pytest.raises(DamagedError, match="x has truth values other than 0 and 1"):
        tensor_file.read(file)


def test_arrays_are_made_one_at_a_time() -> None:
    """A replay buffer on a device, or one that is not contiguous, is copied by itself."""
    alive: list[str] = []

    def data(name: str) -> np.ndarray:
        assert not alive
        alive.append(name)
        return ARRAYS[name].reshape(-1).view(np.uint8)

    class File(io.BytesIO):
        def write(self, data: object) -> int:  # type: ignore[override]
            alive.clear()
            return super().write(data)  # type: ignore[arg-type]

    arrays = {
        name: Stored(DTYPES[name], array.shape, lambda name=name: data(name))
        for name, array in ARRAYS.items()
    }
    tensor_file.write(File(), {}, arrays)
