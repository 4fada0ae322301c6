"""`python -m benchmarks.defaults`: compares values of keys on every task and writes the table.

Each run is rltrain's own command with `tuned=none`, in a process of its own, one at a time.
Its score is the final policy's, greedy, over fresh episodes. What is in `results.json`
already is not run again; a task whose extra is not installed is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.defaults.tasks import TASKS, Task
from rltrain.training import run as folders

HERE = Path(__file__).parent
RESULTS, TABLE = HERE / "results.json", HERE / "RESULTS.md"
MODULES = {"mujoco": ("mujoco", "imageio"), "box2d": ("Box2D",)}
KEYS = ";".join(f"algo.batch_size={size}" for size in (64, 128, 256))
SHOWN = ("rltrain", "torch", "gymnasium", "python")
OFF = "tuned=none checkpoint.every=0 logger.console=off logger.tensorboard=false"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defaults", description=__doc__)
    parser.add_argument("--algo", default="ppo")
    parser.add_argument(
        "--keys", default="algo.batch_size=64;algo.batch_size=128;algo.batch_size=256"
    )
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--tasks", help="names, with commas between; all by default")
    arguments = parser.parse_args()
    wanted = arguments.tasks.split(",") if arguments.tasks else [t.name for t in TASKS]
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for seed in arguments.seeds.split(","):
        for task in TASKS:
            if task.name not in wanted or not installed(task):
                continue
            for keys in arguments.keys.split(";"):
                row = f"{arguments.algo} {keys}".strip()
                runs = results.setdefault(task.name, {}).setdefault(row, {})
                if seed not in runs:
                    runs[seed] = measure(task, arguments.algo, keys, seed)
                    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
                    TABLE.write_text(table(results))
                    print(f"{task.name}, {row}, seed {seed}: {runs[seed]['score']}", flush=True)
    TABLE.write_text(table(results))


def installed(task: Task) -> bool:
    needed = MODULES[task.extra] if task.extra else ()
    return all(importlib.util.find_spec(module) is not None for module in needed)


def command(task: Task, algo: str, keys: str, seed: str) -> str:
    words = ["rltrain", f"algo={algo}" if "algo=" not in task.keys else "", task.keys, keys, OFF]
    steps = f"total_timesteps={task.steps} eval.every={task.steps} eval.episodes=50"
    return " ".join(word for word in (*words, steps, f"seed={seed}") if word)


def measure(task: Task, algo: str, keys: str, seed: str) -> dict[str, Any]:
    """Train one run; return its score, its command, its date and the versions."""
    with tempfile.TemporaryDirectory() as folder:
        words = command(task, algo, keys, seed).split()[1:]
        where = [f"output_dir={folder}", "run_name=a"]
        subprocess.run(
            [sys.executable, "-m", "rltrain", *words, *where],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        score = folders.read_result(Path(folder) / "a")["score"]
    return {
        "score": score,
        "command": command(task, algo, keys, seed),
        "date": time.strftime("%Y-%m-%d"),
        "versions": {name: folders.versions()[name] for name in SHOWN},
    }


def table(results: dict[str, Any]) -> str:
    """Return the page: scores by seed, and the mean share of the way to the best score."""
    rows = list(dict.fromkeys(row for runs in results.values() for row in runs))
    lines = [
        "# Default values",
        "",
        "Written by `python -m benchmarks.defaults`. A cell has the scores of the final policies,"
        " greedy, over 50 fresh episodes, one for each seed. The last row is the mean, over the"
        " tasks that every column has, of how far the score is from the worst (0) to the best (1)"
        " of `benchmarks/defaults/tasks.py`. A column without a score for a"
        " task did not run on it, and one run may stand where two were wanted."
        " On 2026-11-25 256 was the default, and its runs did not name the key.",
        "",
        "| task | steps | " + " | ".join(f"`{row}`" for row in rows) + " |",
        "|---" * (len(rows) + 2) + "|",
    ]
    known = [task for task in TASKS if task.name in results]
    for task in known:
        cells = (_cell(results[task.name].get(row, {})) for row in rows)
        lines.append(f"| {task.name} | {task.steps:,} | " + " | ".join(cells) + " |")
    full = [task for task in known if all(results[task.name].get(row) for row in rows)]
    shares = (_share(full, results, row) for row in rows)
    lines.append(f"| mean share of {len(full)} tasks |  | " + " | ".join(shares) + " |")
    missing = [task.name for task in TASKS if task.name not in results]
    lines += ["", f"Not run: {', '.join(missing) or 'none'}.", "", "Run with:", ""]
    for task in known:
        run = next(iter(next(iter(results[task.name].values())).values()))
        versions = ", ".join(f"{k} {run['versions'][k]}" for k in SHOWN)
        lines.append(f"- {task.name}: {run['date']}, `{run['command']}`, {versions}")
    return "\n".join(lines) + "\n"


def _cell(runs: dict[str, Any]) -> str:
    return ", ".join(f"{run['score']:.4g}" for run in runs.values())


def _share(tasks: list[Task], results: dict[str, Any], row: str) -> str:
    found = [task.share(r["score"]) for task in tasks for r in results[task.name][row].values()]
    return f"{sum(found) / len(found):.3f}" if found else ""


if __name__ == "__main__":
    main()
