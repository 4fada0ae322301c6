"""Cores that may be used, and processes that end with the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rltrain.core import processes


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("9900000 100000", 8)],
)
def test_a_containers_quota_counts(
    quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setattr(processes, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    assert processes.cores() == expected


def test_freed_memory_is_kept_for_what_comes_next() -> None:
    code = (
        "import resource, sys\n"
        "import numpy as np\n"
        "from rltrain.core.processes import keep_freed_memory\n"
        "if sys.argv[1] == 'kept': keep_freed_memory()\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "def work(): return [np.ones(8_000_000) for _ in range(3)]\n"  # 64 MB each
        "for _ in range(2): work()\n"
        "before = faults()\n"
        "for _ in range(3): work()\n"
        "print(faults() - before)\n"
    )
    found = {}
    for how in ("kept", "plain"):
        done = subprocess.run(
            [sys.executable, "-c", code, how], capture_output=True, text=True, check=True
        )
        found[how] = int(done.stdout)
    if sys.platform == "linux":
        assert found["kept"] < found["plain"] / 10


def test_without_a_quota_it_is_the_affinity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_QUOTA", tmp_path / "none")
    assert processes.cores() == len(os.sched_getaffinity(0))


CHILD = """
import os, sys, time
from rltrain.core import processes
if sys.argv[1] == "portable":
    sys.platform = "darwin"
child = os.fork()
if child == 0:
    processes.die_with_parent(int(sys.argv[2]) or os.getppid())
    print("ready", flush=True)
    time.sleep(60)
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.parametrize("way", ["linux", "portable"])
def test_a_process_ends_with_its_parent(way: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", CHILD, way, "0"], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    parent.send_signal(signal.SIGKILL)
    parent.stdout.read()  # to the end: nobody holds the pipe any more
    parent.wait()


def test_a_parent_that_is_gone_already_is_noticed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, "linux", "1"], capture_output=True, text=True, timeout=30
    )
    assert done.stdout == ""


def test_threads_of_this_process_are_counted() -> None:
    code = (
        "import threading; from rltrain.core.processes import single_threaded\n"
        "before = single_threaded()\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "print(before, single_threaded())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False"]


def test_a_job_of_a_sweep_counts_its_share_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(processes, "_QUOTA", Path("/nowhere"))
    assert processes.cores() == 8
    monkeypatch.setenv(processes.SHARE, "3")
    assert processes.cores() == 3
