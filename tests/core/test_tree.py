from __future__ import annotations

import json
import math
import random
import struct
from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest
import torch

from rltrain.core import tree
from rltrain.core.state import digest
from tests.files import through_file


def alike(a: Any, b: Any) -> bool:
    """Equality of type and of every bit, of NaN too."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, dict):
        pairs = zip(a.items(), b.items(), strict=True)
        return len(a) == len(b) and all(alike(x, y) for x, y in pairs)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(alike(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray | np.generic | torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and digest(a) == digest(b)
    return bool(a == b)


PAYLOAD = struct.unpack(">d", bytes.fromhex("fff8000000001234"))[0]
PLAIN = [
    None,
    True,
    0,
    -(2**53),
    2**53 + 1,
    -(2**100),
    10**5000,
    0.1,
    -0.0,
    5e-324,
    math.inf,
    -math.inf,
    math.nan,
    PAYLOAD,
    "",
    "λ 𝔸 \x00 \ud800",
    b"",
    b"\x00\xff",
    (),
    [],
    {},
    set(),
    {1, 2},
    frozenset({"a", (1, 2)}),
    (1, (2.0, [None])),
    {"$array": 1},
    {"$": {"$tuple": [1]}, "x": 2},
    {"$array": ["w"], "$x": 1},
    {"a.b": 1, "a": {"b": 2}},
    {1: "int", (2, "x"): "tuple", None: 0, False: 3, b"k": 4, 1.5: 5},
    {"__metadata__": np.zeros(2), "content": np.ones(3), "x": {"": np.ones(1)}},
]


@pytest.mark.parametrize("value", PLAIN, ids=range(len(PLAIN)))
def test_plain_values_come_back_exactly(value: Any) -> None:
    assert alike(through_file(value), value)
    assert alike(through_file({"in": [value]}), {"in": [value]})


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1.5, -0.0], [np.nan, np.inf]], np.float32),
        np.array([True, False]),
        np.array([1, 2**32 - 1], np.uint32),
        np.array(3.25),
        np.zeros((0, 4), np.int64),
        np.arange(6, dtype=np.uint8).reshape(2, 3).T,
        np.arange(4.0)[::-1],
        np.array([1 + 2j, complex(math.nan, -0.0)]),
        np.array([1 + 2j], np.complex64),
        np.array([1, 2], ">i4"),
        np.zeros((2, 0), np.complex64),
        *(np.array([1, 0, 1]).astype(kind) for kind in "?bBhHiIlLefd"),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_arrays_come_back_exactly(array: np.ndarray) -> None:
    back = through_file({"x": array})["x"]
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable
    scalar = np.zeros(1, array.dtype)[0]
    assert alike(through_file([scalar]), [scalar])


DTYPES = [
    *(torch.bool, torch.uint8, torch.int8, torch.uint16, torch.int16, torch.uint32, torch.int32),
    *(torch.uint64, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64, torch.complex128),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 2)], ids=str)
def test_tensors_come_back_exactly(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    back = through_file([tensor])[0]
    assert back.dtype == dtype
    assert back.shape == tensor.shape
    assert not back.requires_grad
    assert digest(back) == digest(tensor)


def test_tensors_of_unusual_memory_come_back_exactly() -> None:
    base = torch.arange(6.0).reshape(2, 3).requires_grad_()
    tensors = [base.T, base[:, 1], base.expand(2, 2, 3), torch.tensor([1j, 2]).conj()]
    for tensor, back in zip(tensors, through_file(tensors), strict=True):
        assert torch.equal(back, tensor)
        assert back.is_contiguous()


def test_arrays_of_the_same_memory_are_kept_once() -> None:
    weight, row = torch.ones(1000), np.zeros((2, 500))
    arrays = tree.flatten({"a": weight, "b": weight[:], "c": row, "d": row.view(), "e": row[1]})
    assert sorted(arrays) == ["a", "c", "content", "e"]
    back = through_file({"a": weight, "b": weight[:], "e": row[1]})
    assert digest(back) == digest({"a": weight, "b": weight, "e": row[1]})


def test_arrays_are_named_by_their_places() -> None:
    arrays = tree.flatten({"policy": {"net": [torch.ones(1), {"0.bias": np.ones(2)}]}})
    assert sorted(arrays) == ["content", "policy.net.0", "policy.net.1.0.bias"]


def test_content_is_json_of_any_reader() -> None:
    def refuse(text: str) -> None:
        raise AssertionError(text)

    text = tree.flatten({"x": [math.nan, math.inf, 2**70, (1,), "ü"]})["content"].data().tobytes()
    json.loads(text.decode("ascii"), parse_constant=refuse)


def test_a_mixed_tree_comes_back_exactly() -> None:
    state = {
        "generator": np.random.default_rng(3).bit_generator.state,
        "mersenne": np.random.RandomState(3).get_state(legacy=False),
        "python": random.Random(3).getstate(),
        1: [np.ones(2), (torch.ones(2), None)],
        "plain": (True, 2, 2.5, "text", {}),
    }
    back = through_file(state)
    assert digest(back) == digest(state)
    assert list(back) == list(state)
    assert back["generator"] == state["generator"]
    assert alike(back["python"], state["python"])


def test_dictionaries_come_back_plain() -> None:
    back = through_file(OrderedDict(a=1, b=OrderedDict(c=torch.ones(1))))
    assert type(back) is dict
    assert type(back["b"]) is dict


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    "value",
    [
        Pair(1, 2),
        np.array([object()]),
        np.array(["text"]),
        np.array(["2026-01-01"], "M8[D]"),
        torch.ones(2).to_sparse(),
        torch.ones(2, device="meta"),
        torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        range(3),
        object(),
        type("Number", (int,), {})(3),
    ],
    ids=lambda v: type(v).__name__,
)
def test_what_cannot_be_kept_exactly_is_refused_by_its_place(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^a\.0\.b: .* cannot be saved exactly\.$"):
        tree.flatten({"a": [{"b": value}]})
