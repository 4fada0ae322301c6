"""Running a side in a process of its own: how long it took, and how much memory it had."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.rows import AT_ONCE, SWEEP, Row
from rltrain.training import run as folders
from rltrain.training.tables import read_csv

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SAMPLE_SECONDS = 0.25
Figures = dict[str, Any]


@dataclass(frozen=True)
class Done:
    """A process that ended; `spawned` is on the monotonic clock, `spawned_at` on the wall's."""

    status: int
    output: str
    errors: str
    spawned: float
    spawned_at: float
    whole: float
    peak_mib: float


class FailedError(RuntimeError):
    """A side could not do a row."""


def execute(command: Sequence[str], limit: float, env: Mapping[str, str] | None = None) -> Done:
    """Runs a command to its end, or until it has taken `limit` seconds."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        spawned, spawned_at = time.monotonic(), time.time()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=out,
            stderr=err,
            env=os.environ | dict(env or {}),
            start_new_session=True,  # so that its workers can be killed with it
        )
        tree = Tree(process.pid)
        timer = threading.Timer(limit, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        whole = time.monotonic() - spawned
        timer.cancel()
        tree.stop()
        process.returncode = os.waitstatus_to_exitcode(status)  # it was waited for here
        if whole >= limit:
            raise FailedError(f"it took longer than {limit:.0f} s")
        out.seek(0)
        err.seek(0)
        peak = max(usage.ru_maxrss / 1024, tree.peak_mib)
        status = process.returncode
        return Done(status, out.read(), err.read(), spawned, spawned_at, whole, peak)


class Tree:
    """Watches the memory of a process that has others under it.

    What they share is counted once: their proportional set sizes are summed. A process
    alone is left to the kernel's own maximum.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.peak_mib = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            pids = descendants(self.pid)
            if pids:
                total = sum(proportional_mib(pid) for pid in [self.pid, *pids])
                self.peak_mib = max(self.peak_mib, total)


def descendants(pid: int) -> list[int]:
    """Processes under `pid`; none where the system does not say."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


def proportional_mib(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def run_rltrain(row: Row, seed: int, limit: float) -> Figures:
    """rltrain through its command."""
    with tempfile.TemporaryDirectory() as folder:
        words = [*rltrain_words(row, seed), f"output_dir={folder}"]
        done = execute([sys.executable, "-m", "rltrain", *words], limit)
        if done.status:
            raise FailedError(last_line(done.errors) or f"exit code {done.status}")
        figures: Figures = {"whole": done.whole, "peak_mib": done.peak_mib}
        if row.kind == "sweep":
            runs = [folders.read_result(p.parent) for p in Path(folder).rglob(folders.RESULT)]
            finished = [r for r in runs if r.get("state") == "finished"]
            if len(finished) != SWEEP:
                raise FailedError(f"{len(finished)} of {SWEEP} runs finished")
            return figures | {"steps": sum(r["steps"] for r in finished)}
        if row.kind == "start":  # its one row is written behind the update
            written = (Path(folder) / "a" / "progress.csv").stat().st_mtime
            figures["whole"] = written - done.spawned_at
        return figures | read_run(Path(folder) / "a", row)


def rltrain_words(row: Row, seed: int | str) -> list[str]:
    words = row.command.split()
    if row.kind == "sweep":
        return ["-m", *words, f"seed={','.join(map(str, range(SWEEP)))}"]
    return [*words, f"seed={seed}", "run_name=a"]


def read_run(folder: Path, row: Row) -> Figures:
    """What a run of rltrain says of itself."""
    result, last = folders.read_result(folder), read_csv(folder / "progress.csv")[-1]
    figures = {
        "steps": result["steps"],
        "updates": int(float(last["train/n_updates"])),
        "parameters": result.get("parameters"),
        "batch_size": folders.read_config(folder)["algo"]["batch_size"],
        "mean_return": float(last.get("rollout/ep_rew_mean") or "nan"),
        # the clock at the last row, which is written behind the last update
        "seconds": float(last["time/time_elapsed"]),
    }
    if row.kind == "solve":
        evaluation = read_csv(folder / "evaluations.csv")[-1]
        figures["solved"] = float(evaluation["eval/mean_reward"]) >= row.work["stop_at"]
        figures["seconds"] = result["seconds"]
    return figures


def run_peer(row: Row, seed: int, home: Path, peer: str, limit: float) -> Figures:
    """A peer's script in its own virtual environment."""
    if row.kind == "sweep":
        return run_peer_sweep(row, home, peer, limit)
    done = execute(peer_command(row, seed, home, peer), limit, peer_environment(row))
    report = read_report(done)
    figures = report | {"whole": done.whole, "peak_mib": done.peak_mib}
    if row.kind == "start":
        figures["whole"] = report["first_update"] - done.spawned
    return figures


def peer_environment(row: Row) -> dict[str, str]:
    threads = str(row.threads)
    return {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": threads, "PYTHONWARNINGS": "ignore"}


def peer_command(row: Row, seed: int, home: Path, peer: str) -> list[str]:
    name, _, workers = peer.partition("+")
    work = dict(row.work) | {"seed": seed, "workers": bool(workers), "threads": row.threads}
    script = HERE / "peers" / f"{name}.py"
    # -P, since scripts have the names of what they drive
    return [str(home / "bin" / "python"), "-P", str(script), json.dumps(work)]


def run_peer_sweep(row: Row, home: Path, peer: str, limit: float) -> Figures:
    """A process for each seed, as many at a time as the machine has cores for."""
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        commands = [peer_command(row, seed, home, peer) for seed in range(SWEEP)]
        runs = list(pool.map(lambda c: execute(c, limit, peer_environment(row)), commands))
    whole = time.monotonic() - began
    return {
        "whole": whole,
        "steps": sum(read_report(run)["steps"] for run in runs),
        "peak_mib": AT_ONCE * max(run.peak_mib for run in runs),
    }


def read_report(done: Done) -> Figures:
    """The last line that a peer's script reports with.

    Raises:
        FailedError: there is none, or it is a reason why it could not.
    """
    lines = [line for line in done.output.splitlines() if line.startswith("REPORT ")]
    if done.status or not lines:
        raise FailedError(last_line(done.errors) or f"exit code {done.status}")
    report: Figures = json.loads(lines[-1].removeprefix("REPORT "))
    if "reason" in report:
        raise FailedError(report["reason"])
    return report


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
