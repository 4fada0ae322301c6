"""Processes that belong to another one."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.context import BaseContext

_PR_SET_PDEATHSIG = 1


def context() -> BaseContext:
    """How processes are started: forked where that is safe, since nothing is imported again."""
    forks = sys.platform == "linux" and "fork" in get_all_start_methods()
    return get_context("fork" if forks else "spawn")


def die_with_parent() -> None:
    """Has the kernel kill this process when its parent ends; elsewhere than on Linux, nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def ignore_stop_signals() -> None:
    """Ctrl-C and a scheduler's SIGTERM reach a whole group; its parent says what is to be done."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def ending(code: int | None) -> str:
    """How a process ended, from its exit code: by a signal, or with that code."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        memory = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
        return f"was killed by {name}{memory}"
    return f"ended with exit code {code}"


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
