"""Runs in processes of their own, and whether two of them came to the same."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

from rltrain.training import checkpoint
from rltrain.training.trainer import fingerprint

Rows = list[dict[str, str]]
ENVIRON = os.environ | {"OMP_NUM_THREADS": "1", "SDL_VIDEODRIVER": "dummy"}
TABLES = ("progress.csv", "evaluations.csv")


def command(*arguments: str) -> list[str]:
    """Return the words that start rltrain with this Python."""
    return [sys.executable, "-m", "rltrain", *arguments]


def train(folder: Path, *arguments: str) -> str:
    """Run rltrain in `folder` to its end, and return what it printed.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(
        command(*arguments), cwd=folder, env=ENVIRON, capture_output=True, text=True
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"exit code {done.returncode}")
    return done.stdout + done.stderr


def rows(path: Path) -> Rows:
    """Return the rows of a table, less what a clock said."""
    if not path.exists():
        return []
    with open(path) as file:
        return [
            {k: v for k, v in row.items() if not k.startswith("time/") or k.endswith("timesteps")}
            for row in csv.DictReader(file)
        ]


def difference(a: Path, b: Path) -> str:
    """Return what differs between two runs; empty where rows and final states are equal."""
    for name in TABLES:
        one, other = rows(a / name), rows(b / name)
        if len(one) != len(other):
            return f"{name} has {len(one)} and {len(other)} rows"
        for x, y in zip(one, other, strict=True):
            if x != y:
                return f"{name} from step {x.get('time/total_timesteps', '?')} on"
    ends = [checkpoint.CheckpointFolder(f / "checkpoints", 1).load_newest()[0] for f in (a, b)]
    if fingerprint(ends[0].content) != fingerprint(ends[1].content):
        return "the state of the last checkpoint"
    return ""
