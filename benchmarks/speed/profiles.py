"""`python -m benchmarks.speed.profiles`: where rltrain's time goes in each row.

Writes PROFILES.md: for every row, what `profile=true` says of it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.speed.processes import ROOT, rltrain_words
from benchmarks.speed.rows import ROWS, Row
from rltrain.training import run as folders

REMARKS = (
    "Every row beats its aims against the peers, and every row falls short of .7 of the light,",
    "which counts the whole process: in C1 starting Python and torch takes four times as long as",
    "all of the row's arithmetic, in C2 as long. From the first step on it is NumPy's and Python's",
    "cost of each operation on a few floats, in the environment, in acting and in the update",
    "alike; the products themselves are the smaller part. [TRIED.md](TRIED.md) says what was",
    "tried against it.",
)
TABLE = Path(__file__).with_name("PROFILES.md")


def profile(row: Row) -> str:
    """The tables of one run."""
    with tempfile.TemporaryDirectory() as folder:
        words = [*rltrain_words(row, 0), "profile=true", f"output_dir={folder}"]
        command = [sys.executable, "-m", "rltrain", *words]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return (Path(folder) / "a" / "profile" / "profile.txt").read_text()


def main() -> None:
    shown = ("rltrain", "revision", "python", "torch", "numpy", "gymnasium")
    found = folders.versions()
    versions = ", ".join(f"{name} {found[name]}" for name in shown)
    lines = ["# Where rltrain's time goes", ""]
    today = time.strftime("%Y-%m-%d")
    lines += [f"Written by `python -m benchmarks.speed.profiles` on {today}: one run a row,"]
    lines += [f"seed 0, with `profile=true` ({versions}).", "", *REMARKS, ""]
    for row in ROWS:
        if row.kind == "train" and row.command:
            text = profile(row)
            print(row.name, text, sep="\n", flush=True)
            lines += [f"## {row.name}: {row.title}", "", "```text", text.strip(), "```", ""]
    TABLE.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
