import errno
import os
import signal

import pytest

from rltrain.core import faults


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What `os.kill` was called with, instead of being carried out."""
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(faults.os, "kill", lambda pid, number: calls.append((pid, number)))
    monkeypatch.setattr(faults, "_passed", {})
    monkeypatch.delenv("RLTRAIN_FAULT", raising=False)
    return calls


def test_nothing_armed_does_nothing(sent: list[tuple[int, int]]) -> None:
    faults.point("save")
    assert sent == []
    assert faults._passed == {}


def test_another_point_does_nothing(
    sent: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLTRAIN_FAULT", "save:kill")
    faults.point("save2")
    assert sent == []


@pytest.mark.parametrize(
    ("action", "number"),
    [("kill", signal.SIGKILL), ("sigterm", signal.SIGTERM), ("sigint", signal.SIGINT)],
)
def test_signals_go_to_this_process_the_first_time_only(
    action: str, number: int, sent: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLTRAIN_FAULT", f"save:{action}")
    faults.point("save")
    faults.point("save")
    assert sent == [(os.getpid(), number)]


def test_the_nth_time_is_counted_per_point(
    sent: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLTRAIN_FAULT", "save:sigterm:3")
    counts = []
    for name in ("save", "other", "save", "other", "save", "save"):
        faults.point(name)
        counts.append(len(sent))
    assert counts == [0, 0, 0, 0, 1, 1]


def test_a_full_disk_is_an_os_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLTRAIN_FAULT", "save:enospc:2")
    faults.point("save")
    with pytest.raises(OSError, match="save") as caught:
        faults.point("save")
    assert caught.value.errno == errno.ENOSPC
    faults.point("save")
