from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rltrain.core import secret


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_what_is_signed_is_verified_and_nothing_else(state: Path) -> None:
    signature = secret.sign(b"text")
    assert len(signature) == 64
    assert secret.verify(b"text", signature)
    assert not secret.verify(b"texts", signature)
    assert not secret.verify(b"text", signature[:-1])
    assert not secret.verify(b"text", "ä")


def test_the_key_is_the_users_alone(state: Path) -> None:
    secret.sign(b"")
    assert secret.key_file() == state / "rltrain" / "key"
    assert secret.key_file().stat().st_mode & 0o777 == 0o600
    assert [p.name for p in (state / "rltrain").iterdir()] == ["key"]


def test_another_key_verifies_nothing(state: Path) -> None:
    signature = secret.sign(b"text")
    secret.key_file().unlink()
    assert not secret.verify(b"text", signature)  # and makes none
    assert not secret.key_file().exists()
    assert secret.sign(b"text") != signature
    assert not secret.verify(b"text", signature)


def test_processes_that_begin_together_have_one_key(state: Path) -> None:
    code = "from rltrain.core import secret; print(secret.sign(b'text'))"
    command = [sys.executable, "-c", code]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(6)]
    assert len({process.communicate()[0] for process in started}) == 1


def test_where_no_key_can_be_the_reason_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(secret.NoKeyError, match=r"file/rltrain/key: Not a directory"):
        secret.sign(b"")
    assert not secret.verify(b"", "")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError))
    with pytest.raises(secret.NoKeyError, match="no home directory"):
        secret.sign(b"")


def test_a_damaged_key_is_named(state: Path) -> None:
    secret.sign(b"")
    secret.key_file().write_bytes(b"short")
    with pytest.raises(secret.NoKeyError, match="damaged; remove it"):
        secret.sign(b"")
