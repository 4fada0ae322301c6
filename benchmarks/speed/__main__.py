"""`python -m benchmarks.speed`: rltrain and its peers on the same work, interleaved.

A peer lives in a virtual environment of its own, made from the package index by name and
version, and is driven through its public interface by a script in `peers/`. Work is
counted on both sides and compared before a ratio is written down.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.rows import ROWS, Row
from rltrain.reports.statistics import bootstrap_interval
from rltrain.training import run as folders

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULTS, TABLE = HERE / "results.json", HERE / "RESULTS.md"
PEERS = {
    "sb3": ("torch==2.13.0", "stable-baselines3==2.9.2", "gymnasium[mujoco]==1.4.0"),
}
Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--rows", help="as in C1,C5; all that can be run by default")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--environments", default="~/.cache/rltrain-speed", help="of the peers")
    arguments = parser.parse_args()
    wanted = arguments.rows.split(",") if arguments.rows else [r.name for r in ROWS]
    peers = arguments.peers.split(",")
    homes = Path(arguments.environments).expanduser()
    for peer in peers:
        make_environment(peer, homes / peer)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for row in ROWS:
        if row.name in wanted and not row.waits_for:
            results[row.name] = measure(row, peers, homes, arguments.repeats)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
            TABLE.write_text(table(results))
            print(table({row.name: results[row.name]}), flush=True)


def make_environment(peer: str, home: Path) -> None:
    """A virtual environment with a peer at its pinned version, unless it is there."""
    if not (home / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(home / "bin" / "pip"), "install", "-q", *PEERS[peer]]
        subprocess.run(pip, check=True)


def measure(row: Row, peers: list[str], homes: Path, repeats: int) -> Figures:
    """Runs every side once a round, in turn, so that a slow minute hits all of them."""
    rounds: list[dict[str, Figures]] = []
    for number in range(repeats):
        sides = {"rltrain": run_rltrain(row, number)}
        sides |= {peer: run_peer(row, homes / peer, peer) for peer in peers}
        rounds.append(sides)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "versions": folders.versions(),
        "peers": {peer: PEERS[peer] for peer in peers},
        "cores": len(os.sched_getaffinity(0)),
        "rounds": rounds,
    }


def run_rltrain(row: Row, seed: int) -> Figures:
    """rltrain through its command, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        words = [*row.command.split(), f"seed={seed}", f"output_dir={folder}", "run_name=a"]
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "rltrain", *words],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        whole = time.monotonic() - began
        if status:
            raise RuntimeError(f"rltrain failed: {row.command}")
        result = folders.read_result(Path(folder) / "a")
        last = _last_row(Path(folder) / "a" / "progress.csv")
    return {
        "whole": whole,
        "seconds": result["seconds"],
        "steps": result["steps"],
        "updates": int(float(last["train/n_updates"])),
        "mean_return": float(last.get("rollout/ep_rew_mean") or "nan"),
        "peak_mib": usage.ru_maxrss / 1024,
    }


def _last_row(path: Path) -> dict[str, str]:
    from rltrain.training.tables import read_csv

    return read_csv(path)[-1]


def run_peer(row: Row, home: Path, peer: str) -> Figures:
    """A peer's script in its own virtual environment."""
    began = time.monotonic()
    done = subprocess.run(
        [str(home / "bin" / "python"), str(HERE / "peers" / f"{peer}.py"), json.dumps(row.work)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    whole = time.monotonic() - began
    reports = [line for line in done.stdout.splitlines() if line.startswith("REPORT ")]
    if done.returncode or not reports:
        raise RuntimeError(f"{peer} failed on {row.name}: {done.stderr[-2000:]}")
    return json.loads(reports[-1].removeprefix("REPORT ")) | {"whole": whole}


def ratios(rounds: list[dict[str, Figures]], figure: str) -> tuple[str, list[float]]:
    """The fastest peer by the median of a time, and rltrain's speed over it in each round."""
    peers = [name for name in rounds[0] if name != "rltrain"]

    def rate(side: Figures) -> float:
        return float(side["steps"] / side[figure])

    fastest = max(peers, key=lambda p: float(np.median([rate(r[p]) for r in rounds])))
    return fastest, [rate(r["rltrain"]) / rate(r[fastest]) for r in rounds]


def unequal(rounds: list[dict[str, Figures]]) -> str:
    """What differs in the work of the sides; empty where it is the same within 3 %."""
    says = []
    for name in rounds[0]:
        for figure in ("steps", "updates"):
            ours, theirs = rounds[0]["rltrain"][figure], rounds[0][name][figure]
            if abs(ours - theirs) > 0.03 * max(ours, theirs):
                says.append(f"{figure}: rltrain {ours}, {name} {theirs}")
    return "; ".join(says)


def table(results: dict[str, Any]) -> str:
    """RESULTS.md, the row that is furthest below its aim first."""
    lines = [
        "# Speed",
        "",
        "Written by `python -m benchmarks.speed`. A ratio is rltrain's steps a second over those"
        " of the fastest peer, the median of paired rounds with its 95 % bootstrap interval;"
        " `first step on` leaves out starting, `whole` is the process from start to exit.",
        "",
        "| row | work | peer | first step on | aim | whole | aim | peak MiB | work is equal |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    rows = []
    for row in ROWS:
        if row.name not in results:
            continue
        rounds = results[row.name]["rounds"]
        peer, steady = ratios(rounds, "seconds")
        _, whole = ratios(rounds, "whole")
        shortfall = min(
            np.median(steady) / (row.steady_aim or 1), np.median(whole) / (row.whole_aim or 1)
        )
        peaks = ", ".join(f"{n} {max(r[n]['peak_mib'] for r in rounds):.0f}" for n in rounds[0])
        rows.append(
            (
                shortfall,
                f"| {row.name} | {row.title} | {peer} | {_ratio(steady)} | {row.steady_aim:g} |"
                f" {_ratio(whole)} | {row.whole_aim:g} | {peaks} | {unequal(rounds) or 'yes'} |",
            )
        )
    lines += [text for _, text in sorted(rows)]
    missing = [row for row in ROWS if row.name not in results]
    if missing:
        lines += ["", "Not run:", ""]
        lines += [f"- {r.name}, {r.title}: {r.waits_for or 'its turn'}" for r in missing]
    return "\n".join(lines) + "\n"


def _ratio(values: list[float]) -> str:
    low, high = bootstrap_interval(values)
    return f"{np.median(values):.2f} ({low:.2f} … {high:.2f})"


if __name__ == "__main__":
    main()
