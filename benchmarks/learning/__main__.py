"""`python -m benchmarks.learning`: trains the rows of the learning suite and writes the table.

Every row is trained by rltrain's own command with the seeds that are fixed here, which are
others than those that its preset was tried on, and scored by its final policy.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from benchmarks.learning.rows import ROWS, Row
from rltrain.envs.make import make_env
from rltrain.reports.score import load_policy, play
from rltrain.reports.statistics import bootstrap_interval, interquartile_mean
from rltrain.settings.run import RunSettings, build_run
from rltrain.training import run as folders

HERE = Path(__file__).parent
RESULTS, TABLE = HERE / "results.json", HERE / "RESULTS.md"
EVALUATION_SEED = 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("--rows", help="numbers, as in 1,2,12; all that can be run by default")
    parser.add_argument("--seeds", help="as in 10,11,12; those of each row by default")
    arguments = parser.parse_args()
    wanted = [int(n) for n in arguments.rows.split(",")] if arguments.rows else None
    asked = [int(s) for s in arguments.seeds.split(",")] if arguments.seeds else None
    logging.getLogger("rltrain").setLevel(logging.WARNING)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for row in ROWS:
            if row.waits_for or (wanted and row.number not in wanted):
                continue
            runs = [measure(row, seed, Path(folder)) for seed in asked or row.seeds]
            results[str(row.number)] = {
                "date": time.strftime("%Y-%m-%d"),
                "command": command(row, "SEED"),
                "versions": folders.versions(),
                "cores": len(os.sched_getaffinity(0)),
                "runs": runs,
            }
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
            TABLE.write_text(table(results))
            print(f"row {row.number}: {[r['score'] for r in runs]} against {row.gate}", flush=True)


def command(row: Row, seed: object) -> str:
    words = ["rltrain", f"algo={row.algo}", f"env={row.env}", row.more]
    return " ".join([w for w in words if w] + [f"total_timesteps={row.steps}", f"seed={seed}"])


def measure(row: Row, seed: int, folder: Path) -> dict[str, Any]:
    """Trains one run in a process of its own, and scores its final policy."""
    name = f"row{row.number}_seed{seed}"
    extra = ["eval.every=0", "logger.console=off", f"output_dir={folder}", f"run_name={name}"]
    started = time.perf_counter()
    arguments = command(row, seed).split()[1:]
    subprocess.run([sys.executable, "-m", "rltrain", *arguments, *extra], check=True)
    wall = time.perf_counter() - started
    result = folders.read_result(folder / name)
    values = folders.read_config(folder / name)
    values["seed"] = EVALUATION_SEED
    values["eval"] |= {"episodes": row.episodes, "every": 1}
    settings = build_run(values)
    if row.env.startswith("Taxi"):
        score = taxi_over_all_starts(settings, folder / name)
    else:
        played = play(settings, folder / name)[1]
        # Of several agents the gate is every one's.
        score = float(min(map(np.mean, played.agents.values()), default=played.mean))
    return {
        "seed": seed,
        "score": round(score, 3),
        "steps": result["steps"],
        "steps_per_second": round(result["steps"] / result["seconds"]),
        "seconds": round(wall, 1),
    }


def taxi_over_all_starts(settings: RunSettings, folder: Path) -> float:
    """The mean return over every state that an episode can start in."""
    _, policy = load_policy(settings, folder)
    env: gym.Env[Any, Any] = make_env(settings.env)
    taxi: Any = env.unwrapped
    returns = []
    for start in np.flatnonzero(taxi.initial_state_distrib):
        env.reset(seed=0)
        taxi.s, obs, total, over = int(start), int(start), 0.0, False
        while not over:
            action, _, _ = policy.act(np.array([obs]), None, False, np.random.default_rng(0))
            obs, reward, terminated, truncated, _ = env.step(int(action[0]))
            total += float(reward)
            over = terminated or truncated
        returns.append(total)
    assert len(returns) == 300
    return float(np.mean(returns))


def table(results: dict[str, Any]) -> str:
    """RESULTS.md: rows with figures, then rows that were not run and why."""
    lines = [
        "# Learning suite",
        "",
        "Written by `python -m benchmarks.learning`. A row holds when two of three seeds reach"
        " the gate; the score is the final policy's, greedy, in raw reward, over at least 20"
        " episodes of a separate environment (Taxi: all 300 starts; FrozenLake: 2,000 episodes)."
        " IQM is the interquartile mean over runs with its 95 % bootstrap interval; presets were"
        " tried on seeds 0 and 20 to 23 (those of rows 5, 7, 8, 15 and 26 not on 0, those of rows"
        " 18 to 20 on none), DQN's two on 10 to 12 as well, and none of these is among those"
        " reported beside them. Times are those of a"
        " shared machine that had other work to do: compare them with nothing.",
        "",
        "| # | algorithm | environment | steps | gate | scores by seed | IQM (interval) | holds |"
        " steps/s | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        if str(row.number) not in results:
            continue
        runs = results[str(row.number)]["runs"]
        scores = [r["score"] for r in runs]
        reached = sum(map(row.reaches, scores))
        low, high = bootstrap_interval(scores)
        by_seed = ", ".join("{score:g} ({seed})".format(**r) for r in runs)
        lines.append(
            f"| {row.number} | {row.title} | {row.env} | {row.steps:,} |"
            f" {'≤ ' if row.at_most else ''}{row.gate:g} |"
            f" {by_seed} |"
            f" {interquartile_mean(scores):.4g} ({low:.4g} … {high:.4g}) |"
            f" {'yes' if reached >= 2 else 'NO'}, {reached} of {len(scores)} |"
            f" {np.median([r['steps_per_second'] for r in runs]):,.0f} |"
            f" {np.median([r['seconds'] for r in runs]):.0f} |"
        )
    lines += [
        "",
        "Not run:",
        "",
        "| # | algorithm | environment | waits for |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row.number} | {row.title} | {row.env} | {row.waits_for or 'its turn'} |"
        for row in ROWS
        if str(row.number) not in results
    ]
    lines += ["", "Run with:", ""]
    for number, result in sorted(results.items(), key=lambda item: int(item[0])):
        v = result["versions"]
        lines.append(
            f"- row {number}: {result['date']}, `{result['command']}`, rltrain {v['rltrain']},"
            f" torch {v['torch']}, gymnasium {v['gymnasium']}, Python {v['python']},"
            f" {result['cores']} cores, CPU"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
