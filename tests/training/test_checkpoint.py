from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rltrain.core import tensor_file
from rltrain.core.errors import CheckpointError
from rltrain.core.state import digest
from rltrain.core.tensor_file import Stored
from rltrain.training import checkpoint
from rltrain.training.checkpoint import CheckpointFolder, read, write

CONTENT = {
    "array": np.arange(6, dtype=np.float32).reshape(2, 3),
    "tensor": torch.ones(3),
    "generator": np.random.default_rng(0).bit_generator.state,
    "nested": [(1, 2.5, "x"), {"none": None, "big": 2**100}],
}


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path, keep_last=3)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    write(tmp_path / "a.ckpt", CONTENT, step=7)
    loaded = read(tmp_path / "a.ckpt")
    assert (loaded.step, loaded.kind) == (7, "full")
    assert digest(loaded.content) == digest(CONTENT)


def test_the_last_k_are_kept(folder: CheckpointFolder) -> None:
    for step in (5, 10, 100_000, 2):
        folder.save(step, {"step": step})
    assert [read(p).step for p in folder.all()] == [100_000, 10, 5]


def test_best_is_never_among_those_removed(folder: CheckpointFolder) -> None:
    write(folder.best, {}, 1, "policy")
    for step in range(5):
        folder.save(step, {})
    assert folder.best.exists()


def test_an_old_one_that_cannot_be_removed_is_left(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise OSError("busy")

    monkeypatch.setattr(Path, "unlink", refuse)
    for step in range(5):
        folder.save(step, {})
    assert read(folder.all()[0]).step == 4


def damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def damage_flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(bytes(raw))


def damage_header(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"sha256"', b'"sha257"'))


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = [damage_truncate, damage_flip, damage_header, damage_empty]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_is_passed_over_with_a_warning_that_names_both(
    folder: CheckpointFolder, damage: Any
) -> None:
    folder.save(10, CONTENT)
    damage(folder.save(20, CONTENT))
    loaded, warnings = folder.load_newest()
    assert loaded.step == 10
    (warning,) = warnings
    assert "step_000000000020.ckpt is damaged" in warning
    assert "Using step_000000000010.ckpt instead" in warning


@pytest.mark.parametrize("damage", DAMAGES)
def test_all_damaged_is_an_error_and_nothing_is_deleted(
    folder: CheckpointFolder, damage: Any
) -> None:
    for step in (1, 2):
        damage(folder.save(step, CONTENT))
    with pytest.raises(CheckpointError, match="nothing was changed or deleted"):
        folder.load_newest()
    assert len(folder.all()) == 2


def test_none_at_all_is_an_error(folder: CheckpointFolder) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        folder.load_newest()


def test_stray_temporary_files_are_ignored_then_cleaned(folder: CheckpointFolder) -> None:
    folder.save(1, CONTENT)
    stray = folder.folder / ".step_000000000002.ckpt.tmp"
    stray.write_bytes(b"half")
    assert folder.load_newest()[0].step == 1
    folder.clean()
    assert not stray.exists()


def test_a_newer_format_names_both_versions(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.save(1, CONTENT)
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
    folder.save(2, CONTENT)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"format 3.*reads up to format 2"):
        folder.load_newest()  # an older one would silently lose what the newer holds


def test_no_checkpoint_of_ours(tmp_path: Path) -> None:
    for content in (b"PK\x03\x04 something\nelse", b"\x01", b"\0" * 300, pickle.dumps({})):
        (tmp_path / "a.ckpt").write_bytes(content)
        with pytest.raises(CheckpointError, match="not a checkpoint of rltrain's"):
            read(tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match="No such file"):
        read(tmp_path / "b.ckpt")
    with pytest.raises(CheckpointError, match="Is a directory"):
        read(tmp_path)


def test_a_full_disk_leaves_the_earlier_ones(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.save(1, CONTENT)
    monkeypatch.setenv("RLTRAIN_FAULT", "checkpoint.write:enospc")
    monkeypatch.setattr(checkpoint.faults, "_passed", {})
    with pytest.raises(OSError, match="No space left"):
        folder.save(2, CONTENT)
    assert [p.name for p in folder.folder.iterdir()] == ["step_000000000001.ckpt"]


def test_later_ones_are_set_aside(folder: CheckpointFolder) -> None:
    for step in (1, 2, 3):
        folder.save(step, {})
    folder.supersede(1)
    assert [read(p).step for p in folder.all()] == [1]
    assert len(list(folder.folder.glob("*.superseded"))) == 2


def test_order_is_by_step_whatever_the_clock_says(folder: CheckpointFolder) -> None:
    for step, stamp in ((1, 3000), (2, 2000), (3, 1000)):
        os.utime(folder.save(step, {}), (stamp, stamp))
    assert folder.load_newest()[0].step == 3


def test_weights_can_be_read_without_torch(tmp_path: Path) -> None:
    """By the description of safetensors, and JSON for the rest."""
    write(tmp_path / "a.ckpt", {"policy": {"w": torch.arange(3.0)}, "n": (1, math.nan)}, step=7)
    raw = (tmp_path / "a.ckpt").read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    assert header["__metadata__"]["step"] == "7"
    begin, end = header["policy.w"]["data_offsets"]
    assert np.frombuffer(raw[start + begin : start + end], "<f4").tolist() == [0, 1, 2]
    begin, end = header["content"]["data_offsets"]
    assert json.loads(raw[start + begin : start + end]) == {
        "policy": {"w": {"$tensor": ["policy.w"]}},
        "n": {"$tuple": [1, {"$float": "7ff8000000000000"}]},
    }


def changed(seed: int, raw: bytes) -> bytes:
    """A file with bytes changed, put in, or taken out, and a checksum that says otherwise."""
    rng = random.Random(seed)
    data = bytearray(raw)
    header_end = 8 + int.from_bytes(raw[:8], "little")
    content = raw.index(b'{"array"')
    begin, end = rng.choice([(0, len(raw)), (110, header_end), (content, len(raw))])
    for _ in range(rng.choice([1, 2, 8])):
        at = rng.randrange(begin, min(end, len(data)))
        what = rng.random()
        if what < 0.8:
            digit = rng.choice(b"0123456789,:[]{}")
            data[at] = rng.choice([digit, rng.randrange(256), data[at] ^ (1 << rng.randrange(8))])
        elif what < 0.9:
            data[at:at] = rng.choice([b"0", b"-", b"9" * 9, b"[" * 9, b'"', b"e", b"\0"])
        else:
            del data[at : at + rng.choice([1, 7])]
    start = data.find(b'"sha256":"') + 10
    if start > 9 and len(data) > start + 64:
        data[start : start + 64] = b"0" * 64
        data[start : start + 64] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def test_changed_bytes_under_a_right_checksum_never_break_the_reader(tmp_path: Path) -> None:
    """Of what can be read, values may differ; what cannot is a `CheckpointError`."""
    content = CONTENT | {
        "set": {1, 2},
        "bytes": b"ab",
        "scalar": np.float32(1),
        "d": {1: [(2**70,)]},
    }
    content |= {"bool": np.zeros(9, np.bool_), "complex": torch.zeros(9, dtype=torch.complex64)}
    write(tmp_path / "a.ckpt", content, 1)
    raw = (tmp_path / "a.ckpt").read_bytes()
    ended: Counter[str] = Counter()
    for seed in range(500):
        (tmp_path / "b.ckpt").write_bytes(changed(seed, raw))
        try:
            read(tmp_path / "b.ckpt")
            message = "read"
        except CheckpointError as error:
            message = str(error)
        assert "\n" not in message
        ended[re.sub(r".*b.ckpt |[\d,]+", "", message)] += 1
    assert len(ended) >= 5, ended  # each of the reasons is met
    assert all(count < 350 for count in ended.values()), ended


BOMBS = {
    "deep": b"[" * 100_000,
    "deep dictionaries": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "deep lists": b"[" * 5_000 + b"]" * 5_000,
    "list": b"[]",
    "text": b'"policy"',
    "nothing": b"",
    "no JSON": b"\xff\xfe",
    "NaN": b"NaN",
    "long number": b'{"a": ' + b"9" * 10_000 + b"}",
    "object": b'{"a": {"$array": ["w", "O", [1]]}}',
    "object inside": b'{"a": {"$array": ["w", "O,i8", [1]]}}',
    "structure": b'{"a": {"$array": ["w", "i4,i4", [1]]}}',
    "truth": b'{"a": {"$array": ["w", "?", [8]]}}',
    "huge shape": b'{"a": {"$array": ["w", "<c8", [99999999999999999999]]}}',
    "unknown array": b'{"a": {"$array": ["v"]}}',
    "unknown tag": b'{"a": {"$pickle": "gASVAAA="}}',
    "key that is a list": b'{"a": {"$dict": [[[], 1]]}}',
    "unhashable": b'{"a": {"$set": [{}]}}',
    "bytes of a number": b'{"a": {"$bytes": 3}}',
    "many words for one": b'{"a": {"$tensor": ["w", "complex64", [1], 1]}}',
    "float": b'{"a": {"$float": "zz"}}',
    "short float": b'{"a": {"$float": "00"}}',
}


@pytest.mark.parametrize("name", BOMBS)
def test_hostile_content_is_one_line(tmp_path: Path, name: str) -> None:
    data = np.frombuffer(BOMBS[name], np.uint8)
    arrays = {
        "content": Stored("U8", data.shape, lambda: data),
        "w": Stored("U8", (8,), lambda: np.zeros(8, np.uint8)),
    }
    header = {"format": "2", "kind": "full", "step": "1", "rltrain": "0"}
    with open(tmp_path / "a.ckpt", "wb") as file:
        tensor_file.write(file, header, arrays)
    with pytest.raises(CheckpointError, match="holds something other than data"):
        read(tmp_path / "a.ckpt")


def test_bytes_that_are_named_often_are_made_once(tmp_path: Path) -> None:
    data = np.zeros(2**20, np.uint8)
    text = b'{"a": [' + b",".join([b'{"$bytes": ["w"]}'] * 100_000) + b"]}"
    json_ = np.frombuffer(text, np.uint8)
    stored = {"w": data, "content": json_}
    header = {"format": "2", "kind": "full", "step": "1", "rltrain": "0"}
    with open(tmp_path / "a.ckpt", "wb") as file:
        arrays = {k: Stored("U8", v.shape, lambda v=v: v) for k, v in stored.items()}
        tensor_file.write(file, header, arrays)
    assert len(set(map(id, read(tmp_path / "a.ckpt").content["a"]))) == 1  # not 100 GB
