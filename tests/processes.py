"""Waiting for other processes by what they leave, never by how long they take."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
HANGS = 240  # seconds after which a process counts as hanging, however busy the machine is

# Code for a process that is sent several signals: one that arrives before the last was handled
# is lost, so that a test waits for each to be handled.
COUNT_SIGNALS = """
import os
from rltrain.training.signals import StopSignals
def handle(self, number, frame, handle=StopSignals._handle):
    with open(f"signals-{os.getpid()}", "a") as file:
        file.write("x")
    handle(self, number, frame)
StopSignals._handle = handle
"""


def wait_for(condition: Callable[[], T]) -> T:
    """Return the first true result of `condition`."""
    deadline = time.monotonic() + HANGS
    while not (found := condition()):
        assert time.monotonic() < deadline, "the process hangs"
        time.sleep(0.05)
    return found


def signals_handled(folder: Path, pid: int) -> int:
    """Return how many signals a process that ran `COUNT_SIGNALS` in `folder` has handled."""
    path = folder / f"signals-{pid}"
    return path.stat().st_size if path.exists() else 0
