from __future__ import annotations

from pathlib import Path

import pytest

from rltrain.core import plain_yaml
from rltrain.core.errors import UserError

LAUGHS = "a0: &a0 [ha]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 40)
)
# A file's bytes, and what is said of it.
DAMAGED: dict[str, tuple[bytes, str]] = {
    "laughs": (LAUGHS.encode(), r", line 2 cannot be read: values are written out here"),
    "cyclic": (b"a: &a [*a]", r", line 1 cannot be read: values are written out"),
    "merged": (b"a: &a {b: 1}\nc:\n  <<: *a\n", r", line 3 cannot be read: values are written"),
    "deep lists": (b"a: " + b"[" * 5000, r", line 1 cannot be read: more than 100 levels"),
    "deep lists to the limit": (b"[" * 2**20, r"line 1 cannot be read: more than 100 levels"),
    "deep mappings": (b"{a: " * 500, r"line 1 cannot be read: more than 100 levels"),
    "deep blocks": (b"- " * 500 + b"x", r"line 1 cannot be read: more than 100 levels"),
    "empty": (b"", r" is empty, and not a mapping"),
    "comment": (b"# nothing\n", r" is empty, and not a mapping"),
    "list": (b"[1, 2]", r" is a list, and not a mapping"),
    "text": (b"ppo", r" is a str, and not a mapping"),
    "number": (b"3", r" is a int, and not a mapping"),
    "binary": (bytes(range(256)), r" cannot be read: it is not text"),
    "nul": (b"a: \0", r" cannot be read: unacceptable character"),
    "unclosed": (b"a: [1,", r", line 1 cannot be read: expected the node content"),
    "tab": (b"a:\n\t- b", r", line 2 cannot be read: found character"),
    "python": (b"a: !!python/object/apply:os.system [touch ran]", r"could not determine a constr"),
    "long number": (b"a: " + b"9" * 9999, r" cannot be read: Exceeds the limit"),
    "date": (b"a: 2026-99-99", r" cannot be read: month must be in"),
    "unhashable": (b"? [a]\n: 1", r", line 1 cannot be read: found unhashable key"),
    "two documents": (b"a: 1\n---\nb: 2", r", line 2 cannot be read: but found another document"),
    "alias of nothing": (b"a: *b", r", line 1 cannot be read: values are written out"),
    "large": (b"a: " + b"x" * 2**20, r" is larger than a configuration can be"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_no_configuration_is_one_line(tmp_path: Path, name: str) -> None:
    raw, reason = DAMAGED[name]
    path = tmp_path / "config.yaml"
    path.write_bytes(raw)
    with pytest.raises(UserError, match=reason) as caught:
        plain_yaml.read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_what_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read: Is a directory\.$"):
        plain_yaml.read(tmp_path)
    with pytest.raises(UserError, match=r"cannot be read: No such file or directory\.$"):
        plain_yaml.read(tmp_path / "none")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    shared = [1, 2]
    values = {"b": shared, "a": {"c": shared, "λ": None}, "f": 1e16, "t": "1e3", "n": float("inf")}
    path = tmp_path / "config.yaml"
    path.write_text(plain_yaml.write(values))
    assert plain_yaml.read(path) == values
    assert list(plain_yaml.read(path)) == list(values)
