"""What a process may use, and what it owes the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.context import BaseContext
from pathlib import Path

SHARE = "RLTRAIN_CORES"  # set for the jobs of a sweep
_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = 2**28  # bytes; larger blocks, as a replay's, are the system's as before
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """How many cores this process may use: its affinity, the quota of its container, and what
    a sweep that runs several jobs at once leaves to each."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    share = os.environ.get(SHARE, "")
    count = min(count, int(share)) if share.isdigit() else count
    try:
        quota, period = _QUOTA.read_text().split()
        return max(1, min(count, -(-int(quota) // int(period))))
    except (OSError, ValueError):  # no such file, or "max": no quota
        return count


def context() -> BaseContext:
    """How processes are started: forked where that is safe, since nothing is imported again."""
    forks = sys.platform == "linux" and "fork" in get_all_start_methods()
    return get_context("fork" if forks else "spawn")


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Has this process sent the signal `number` when the one with the id `parent` ends.

    However that one ends. It must be the process that started this one, and on Linux the
    thread that did so must go on living: the system watches the thread.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it ended before the system was asked
            os.kill(os.getpid(), number)
    else:
        threading.Thread(target=_watch, args=(parent, number), daemon=True).start()


def _watch(parent: int, number: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), number)


def ignore_stop_signals() -> None:
    """Ctrl-C and a scheduler's SIGTERM reach a whole group; its parent says what is to be done."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def keep_freed_memory() -> None:
    """Has glibc keep freed blocks for the next ones, where there is glibc.

    Else the activations of each minibatch are memory that the system takes back and clears
    again: with pictures a tenth of the time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def ending(code: int | None) -> str:
    """How a process ended, from its exit code: by a signal, or with that code."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        memory = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
        return f"was killed by {name}{memory}"
    return f"ended with exit code {code}"


def single_threaded() -> bool:
    """Whether this process has one thread, of Python's or of a library's; False if unknown."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False
