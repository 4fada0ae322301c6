"""The user's own key: what is signed by it was written by this user on this machine."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from rltrain.core.errors import RltrainError

_SIZE = 32


class NoKeyError(RltrainError):
    """There is no key, and none can be made; the message says why."""


def sign(data: bytes) -> str:
    """Return the keyed digest of `data`, 64 hexadecimal digits; makes the key where none is.

    Raises:
        NoKeyError: the user's folder cannot be written.
    """
    return hmac.new(_key(make=True), data, hashlib.sha256).hexdigest()


def verify(data: bytes, signature: str) -> bool:
    """Return whether this user signed `data`; False where there is no key."""
    try:
        expected = hmac.new(_key(make=False), data, hashlib.sha256).hexdigest()
    except NoKeyError:
        return False
    return hmac.compare_digest(expected.encode(), signature.encode(errors="replace"))


def key_file() -> Path:
    """Return where the key is: `rltrain/key` in `$XDG_STATE_HOME`, or in `~/.local/state`.

    Raises:
        NoKeyError: the user has no home.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(state):  # by the XDG specification others are ignored
        return Path(state) / "rltrain" / "key"
    try:
        return Path.home() / ".local" / "state" / "rltrain" / "key"
    except RuntimeError as error:
        raise NoKeyError("this user has no home directory") from error


def _key(make: bool) -> bytes:
    path = key_file()
    try:
        if make and not path.exists():
            _make(path)
        key = path.read_bytes()
    except OSError as error:
        raise NoKeyError(f"{path}: {error.strerror}") from error
    if len(key) != _SIZE:
        raise NoKeyError(f"{path} is damaged; remove it, and another is made")
    return key


def _make(path: Path) -> None:
    """Writes a new key, unless another process was faster; there is never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent)  # of mode 0600
    try:
        with open(handle, "wb") as file:
            file.write(secrets.token_bytes(_SIZE))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
