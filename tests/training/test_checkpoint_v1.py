"""Checkpoints of format 1 are read, and nothing of what they could do but data."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rltrain.core.errors import CheckpointError
from rltrain.core.state import digest
from rltrain.training.checkpoint import read

CONTENT = {
    "array": np.arange(6, dtype=np.float32).reshape(2, 3),
    "tensor": torch.ones(3),
    "grad": torch.ones(2, requires_grad=True),
    "generator": np.random.default_rng(0).bit_generator.state,
    "nested": [(1, 2.5, "x"), {"none": None, "big": 2**100, 3: b"k"}, (), {}],
}


def plain(tree: Any) -> Any:
    """As format 1 kept arrays."""
    if isinstance(tree, np.ndarray):
        return {"__ndarray__": torch.from_numpy(tree)}
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(plain(value) for value in tree)
    return tree


def saved(content: Any, **how: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **how)
    return buffer.getvalue()


def put(path: Path, body: bytes, **changes: Any) -> Path:
    header = {"format": 1, "kind": "full", "step": 7, "rltrain": "0.1"}
    header |= {"sha256": hashlib.sha256(body).hexdigest()} | changes
    path.write_bytes(b"rltrain-checkpoint " + json.dumps(header).encode() + b"\n" + body)
    return path


def test_it_is_read(tmp_path: Path) -> None:
    loaded = read(put(tmp_path / "a.ckpt", saved(plain(CONTENT))))
    assert (loaded.step, loaded.kind, loaded.version) == (7, "full", "0.1")
    assert digest(loaded.content) == digest(CONTENT)
    assert not loaded.content["grad"].requires_grad


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sha256": "0"}, "its checksum does not match"),
        ({"format": 2}, "its header cannot be read"),
        ({"format": None}, "its header cannot be read"),
        ({"step": "x"}, "its header cannot be read"),
        ({"step": float("inf")}, "its header cannot be read"),
    ],
)
def test_a_damaged_header_is_one_line(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(CheckpointError, match=f"is damaged: {reason}"):
        read(put(tmp_path / "a.ckpt", saved({}), **changes))


class Payload:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.path, "ran"))


def laughs() -> Any:
    tree: Any = ["ha"]
    for _ in range(60):
        tree = [tree, tree]
    return {"x": tree}


def cyclic() -> Any:
    tree: dict[str, Any] = {}
    tree["x"] = tree
    return tree


def deep() -> Any:
    tree: Any = []
    for _ in range(3000):
        tree = [tree]
    return {"x": tree}


def saved_deep() -> bytes:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(50_000)
    try:
        return saved(deep())
    finally:
        sys.setrecursionlimit(limit)


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("storages", "tensors", "pickle", "sys_info"):
            archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def compressed() -> bytes:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved({"x": torch.zeros(1000)}))) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


HOSTILE = {
    "bare pickle": lambda: pickle.dumps({"x": 1}),
    "legacy torch": lambda: saved({"x": torch.ones(1)}, _use_new_zipfile_serialization=False),
    "tar": tar,
    "compressed": compressed,
    "empty": lambda: b"",
    "list": lambda: saved([1]),
    "laughs": lambda: saved(laughs()),
    "cyclic": lambda: saved(cyclic()),
    "deep": saved_deep,
    "sparse": lambda: saved({"x": torch.ones(2).to_sparse()}),
    "meta": lambda: saved({"x": torch.ones(2, device="meta")}),
    "expanded": lambda: saved({"x": torch.ones(1).expand(2**40)}),
    "text for an array": lambda: saved({"x": {"__ndarray__": "text"}}),
    "list for an array": lambda: saved({"x": {"__ndarray__": [1]}}),
    "bf16 for an array": lambda: saved({"x": {"__ndarray__": torch.ones(1).bfloat16()}}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_data_is_refused_in_a_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=r"^\S+ holds something other than data"):
        read(put(tmp_path / "a.ckpt", HOSTILE[name]()))


@pytest.mark.filterwarnings("ignore")
def test_quantised_tensors_are_refused(tmp_path: Path) -> None:
    quantised = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    with pytest.raises(CheckpointError, match="holds something other than data"):
        read(put(tmp_path / "a.ckpt", saved({"x": quantised})))


def test_a_malicious_payload_does_not_run(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    for body in (saved({"x": Payload(target)}), pickle.dumps(Payload(target))):
        with pytest.raises(CheckpointError, match="something other than data"):
            read(put(tmp_path / "a.ckpt", body))
        assert not target.exists()
    pickle.loads(pickle.dumps(Payload(target)))  # the payload itself works
    assert target.read_text() == "ran"
