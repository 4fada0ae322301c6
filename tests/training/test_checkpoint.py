from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rltrain.core.errors import CheckpointError
from rltrain.core.state import digest
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


class Payload:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.path, "ran"))


def test_a_malicious_payload_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "ran"
    monkeypatch.setattr(checkpoint, "to_plain", lambda tree: tree)
    write(tmp_path / "a.ckpt", {"x": Payload(target)}, 1)
    with pytest.raises(CheckpointError, match="something other than data"):
        read(tmp_path / "a.ckpt")
    assert not target.exists()
    pickle.loads(pickle.dumps(Payload(target)))  # the payload itself works
    assert target.read_text() == "ran"


def test_a_newer_format_names_both_versions(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.save(1, CONTENT)
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
    folder.save(2, CONTENT)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"format 2.*reads up to format 1"):
        folder.load_newest()  # an older one would silently lose what the newer holds


def test_no_checkpoint_of_ours(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(b"PK\x03\x04 something\nelse")
    with pytest.raises(CheckpointError, match="no checkpoint of rltrain's"):
        read(tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match="No such file"):
        read(tmp_path / "b.ckpt")


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


def test_the_header_can_be_read_without_torch(tmp_path: Path) -> None:
    write(tmp_path / "a.ckpt", CONTENT, step=7)
    line = (tmp_path / "a.ckpt").read_bytes().split(b"\n")[0]
    assert json.loads(line.removeprefix(checkpoint.MAGIC))["step"] == 7
