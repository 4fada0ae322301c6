"""Resume runs on environments of other packages, and compare them with uninterrupted ones.

    python -m benchmarks.foreign [NAME …]

Each run is of `benchmarks.foreign_envs`; it is copied, resumed in a new process from a checkpoint
in mid-episode, and has to end with the same rows and the same state, bit for bit. The table goes
to `benchmarks/FOREIGN.md`; what is not installed is left out of it. The packages:

    pip install gym-anytrading gym-trading-env highway-env gymnasium-robotics mo-gymnasium \\
      flappy-bird-gymnasium tetris-gymnasium crafter imageio
    pip install --no-deps gymnasium-2048
"""

from __future__ import annotations

import datetime
import platform
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from benchmarks.resuming import difference, train

RESULT = Path(__file__).with_name("FOREIGN.md")


class Case(NamedTuple):
    package: str
    kind: str
    algo: str = "ppo"


CASES = {
    "stocks": Case("gym-anytrading", "trading"),
    "forex": Case("gym-anytrading", "trading"),
    "trading": Case("gym-trading-env", "trading"),
    "trading_with_random_episodes": Case("gym-trading-env", "trading", "dqn"),
    "highway": Case("highway-env", "driving"),
    "parking": Case("highway-env", "driving", "sac"),
    "point_maze": Case("gymnasium-robotics", "robotics", "sac"),
    "adroit_door": Case("gymnasium-robotics", "robotics"),
    "flappy_bird": Case("flappy-bird-gymnasium", "game", "dqn"),
    "tetris": Case("tetris-gymnasium", "game"),
    "game_2048": Case("gymnasium-2048", "game", "dqn"),
    "treasure": Case("mo-gymnasium", "grid world", "dqn"),
    "Crafter": Case("crafter", "game"),
}
_SIZES = {
    "ppo": ["env.num_envs=2", "algo.n_steps=32", "algo.batch_size=32"],
    "dqn": ["env.num_envs=2", "algo.learning_starts=64", "algo.buffer_size=2000"],
    "sac": ["env.num_envs=2", "algo.learning_starts=64", "algo.buffer_size=2000"],
}


def main(names: list[str]) -> None:
    """Try the named environments, all without a name, and write the table."""
    lines = []
    for name in names or CASES:
        case = CASES[name]
        try:
            version = metadata.version(case.package)
        except metadata.PackageNotFoundError:
            print(f"{name}: {case.package} is not installed", flush=True)
            continue
        with tempfile.TemporaryDirectory(prefix="foreign-") as folder:
            verdict = _try(Path(folder), name, case.algo)
        print(f"{name}: {verdict}", flush=True)
        lines.append(
            f"| {case.package} {version} | {name} | {case.kind} | {case.algo} | {verdict} |"
        )
    if not names:
        RESULT.write_text(_page(lines))


def _try(folder: Path, name: str, algo: str) -> str:
    overrides = [
        f"algo={algo}",
        f"env=benchmarks.foreign_envs:{name}",
        "tuned=none",
        "total_timesteps=512",
        "checkpoint.every=128",
        "checkpoint.keep_last=9",
        "logger.every=64",
        "logger.tensorboard=false",
        "eval.every=0",
        "sampler=inline",
        *_SIZES[algo],
    ]
    try:
        said = train(folder, *overrides, "run_name=whole")
        shutil.copytree(folder / "outputs/whole", folder / "copy")
        train(folder, f"resume={folder / 'copy/checkpoints/step_000000000256.ckpt'}")
    except RuntimeError as error:
        return f"failed: {error}"
    differs = difference(folder / "outputs/whole", folder / "copy")
    if differs:
        return f"DIFFERS: {differs}"
    start = "saved exactly ("
    reason = said.partition(start)[2].partition("): ")[0]
    if reason:
        return f"exact; episodes end at checkpoints: {reason}"
    return "exact, in mid-episode"


def _page(lines: list[str]) -> str:
    versions = ", ".join(f"{p} {metadata.version(p)}" for p in ("torch", "numpy", "gymnasium"))
    return "\n".join(
        [
            "# Environments of other packages, resumed",
            "",
            f"`python -m benchmarks.foreign`, {datetime.date.today()}: Python"
            f" {platform.python_version()}, {versions}. Each run of 512 steps is compared with one"
            " that was resumed in a new process from step 256: every logged row, and the digest of"
            " the last checkpoint. Names are those of `benchmarks/foreign_envs.py`.",
            "",
            "| package | environment | kind | algorithm | resumed |",
            "|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    main(sys.argv[1:])
