"""`python -m benchmarks.speed`: rltrain and its peers on the same work, interleaved.

A peer lives in a virtual environment of its own, made from the package index by name and
version, and is driven through its public interface by a script in `peers/`. Work is
counted on both sides and compared before a ratio is written down. Each row is written as
soon as it is done, into what is there of others, so that a stopped command loses one row.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.speed import report
from benchmarks.speed.processes import (
    ROOT,
    FailedError,
    Figures,
    execute,
    read_report,
    rltrain_words,
    run_peer,
    run_rltrain,
)
from benchmarks.speed.rows import Row, rows
from rltrain.training import run as folders

HERE = Path(__file__).parent
# What is given to pip, one line a call.
PEERS = {
    "sb3": (
        "torch==2.13.0 stable-baselines3==2.9.2 gymnasium[mujoco]==1.4.0 mujoco==3.17.0"
        " numpy==2.4.6 packaging==26.3",
        "--no-deps ale-py==0.12.1 opencv-python-headless==5.0.0.93",
    ),
    "sheeprl": (
        "torch==2.13.0 sheeprl==0.8.4 gymnasium[mujoco]==1.4.0 mujoco==3.17.0 numpy==2.4.6"
        " lightning==2.6.6",
    ),
    # Its last release asks for Python 3.10 and a Gym without which its scripts run as well;
    # what it asks for, less what logs to the web and records video, in versions that install.
    "cleanrl": (
        "torch==2.13.0 numpy==1.26.4 pandas==2.2.3 gym==0.23.1 pygame==2.6.1 gymnasium==0.29.1"
        " mujoco==3.2.7 imageio==2.38.1 tensorboard==2.21.0 stable-baselines3==2.2.1"
        " setuptools<81",
        "--no-deps --ignore-requires-python cleanrl==1.2.0",
        "--no-deps ale-py==0.10.1 opencv-python-headless==4.10.0.84",
    ),
    "tianshou": (
        "torch==2.13.0 tianshou==2.0.1 gymnasium[mujoco]==1.4.0 mujoco==3.17.0 numpy==2.4.6",
    ),
    "torchrl": (
        "torch==2.13.0 torchrl==0.14.1 tensordict==0.14.3 gymnasium[mujoco]==1.4.0"
        " mujoco==3.17.0 numpy==2.4.6",
    ),
}


SHORT = 0.01  # of a row's steps


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--rows", help="as in C1,C5; all that can be run by default")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--environments", default="~/.cache/rltrain-speed", help="of the peers")
    parser.add_argument("--limit", type=float, default=600, help="seconds that a run may take")
    parser.add_argument("--out", type=Path, default=HERE, help="where results are written")
    parser.add_argument("--steps-scale", type=float, default=1.0, help="a quick look; needs --out")
    parser.add_argument("--table", action="store_true", help="only write table and picture anew")
    arguments = parser.parse_args()
    scale = arguments.steps_scale
    if scale != 1 and arguments.out == HERE:
        parser.error("scaled results are none: name another folder with --out")
    all_rows = rows(scale)
    wanted = arguments.rows.split(",") if arguments.rows else [r.name for r in all_rows]
    peers = arguments.peers.split(",")
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "results.json"
    homes = Path(arguments.environments).expanduser()
    for peer in [] if arguments.table else peers:
        make_environment(peer, homes / peer)
    for row in [] if arguments.table else all_rows:
        if row.name not in wanted or not row.command:
            continue
        sides = [p for p in peers if not row.peers or p in row.peers]
        result = measure(row, sides, homes, arguments.repeats, arguments.limit, scale)
        results = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(results | {row.name: result}, indent=1) + "\n")
        write(path, all_rows)
    write(path, all_rows)


def write(path: Path, all_rows: tuple[Row, ...]) -> None:
    results = json.loads(path.read_text())
    path.with_name("RESULTS.md").write_text(report.table(results, all_rows))
    report.picture(results, all_rows, path.with_name("RESULTS.png"))


def make_environment(peer: str, home: Path) -> None:
    """A virtual environment with a peer at its pinned version, unless it is there."""
    if (home / "bin" / "python").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    for line in PEERS[peer]:
        subprocess.run([str(home / "bin" / "pip"), "install", "-q", *line.split()], check=True)


def measure(
    row: Row, peers: list[str], homes: Path, repeats: int, limit: float, scale: float
) -> Figures:
    """Runs every side once a round, in turn, so that a slow minute hits all of them.

    Before each run a short one reads the side's files, which a machine may have dropped from
    memory since: in a long row the side that was asked twice a round would start faster.
    """
    short = next(r for r in rows(SHORT) if r.name == row.name)
    sides = peers + [f"{p}+workers" for p in peers if p in row.workers]
    failed: dict[str, Figures] = {}
    rounds: list[dict[str, Figures]] = []
    for number in range(repeats):
        this: dict[str, Figures] = {}
        for side in ["rltrain", *sides, *(["light"] if row.light_aim else [])]:
            if side not in failed:
                attempt(short, number, side, homes, limit, SHORT)
                this[side] = attempt(row, number, side, homes, limit, scale)
                whole = this[side].get("whole", this[side].get("T"))
                print(row.name, number, side, whole or this[side], flush=True)
            if "reason" in this.get(side, {}):
                failed[side] = this[side]
            this.setdefault(side, failed.get(side, {}))
        rounds.append(this)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "invoked": invoked(sys.argv[1:]),
        "command": rltrain_words(row, "SEED"),
        "work": dict(row.work),
        "versions": folders.versions(),
        "peers": {peer: PEERS[peer] for peer in peers},
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu(),
        "warmed": True,
        "rounds": rounds,
    }


def attempt(
    row: Row, number: int, side: str, homes: Path, limit: float, scale: float
) -> dict[str, Any]:
    """One run of one side: its figures, or the reason why there are none."""
    try:
        if side == "rltrain":
            return run_rltrain(row, number, limit)
        if side == "light":
            command = [sys.executable, "-m", "benchmarks.speed.light", row.name, str(scale)]
            one = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
            return read_report(execute(command, limit, one))
        return run_peer(row, number, homes / side.partition("+")[0], side, limit)
    except FailedError as error:
        return {"reason": str(error)}


def invoked(words: list[str]) -> str:
    """This command, less where this machine keeps things."""
    kept, places = [], ("--environments", "--out")
    for before, word in zip(["", *words], words, strict=False):
        if before not in places and not word.startswith(places):
            kept.append(word)
    return " ".join(["python -m benchmarks.speed", *kept])


def cpu() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
