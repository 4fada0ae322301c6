"""Kill runs at random moments, resume them, and compare them with uninterrupted ones.

    python -m benchmarks.kills [--kills 20] [--seed 0] [--families NAME …] [--side-by-side 2]

One run of each family of algorithms and each sampler is killed with SIGKILL, worker processes
included, and resumed, again and again. It has to end with the rows and the state of a run that
was left alone, bit for bit. The table goes to `benchmarks/KILLS.md`, unless families are named.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from benchmarks.resuming import ENVIRON, command, difference, rows
from rltrain.core.errors import CheckpointError
from rltrain.training import run as folders
from rltrain.training.checkpoint import CheckpointFolder

RESULT = Path(__file__).with_name("KILLS.md")
SAMPLERS = ("inline", "processes")
PHASES = ("start-up", "training", "saving")
_COMMON = (
    *("tuned=none", "env.num_envs=2", "num_threads=1", "logger.tensorboard=false"),
    *("eval.episodes=2", "checkpoint.keep_last=3"),
)
_REPLAY = ("algo.learning_starts=200", "algo.buffer_size=2000")
_ROLLOUTS = ("algo.n_steps=64", "algo.batch_size=32")


@dataclass(frozen=True)
class Family:
    """A command, and how many steps there are between two checkpoints and in all."""

    overrides: tuple[str, ...]
    every: int
    total: int

    def command(self, sampler: str) -> list[str]:
        """Return the overrides of a run."""
        workers = ["num_workers=2"] if sampler == "processes" else []
        return [
            *self.overrides,
            f"total_timesteps={self.total}",
            f"checkpoint.every={self.every}",
            f"logger.every={self.every // 2}",
            f"eval.every={8 * self.every}",
            f"sampler={sampler}",
            *workers,
        ]


# Totals are such that a run takes some 15 seconds: long enough for most kills to be in training.
FAMILIES = {
    "on-policy": Family(("algo=ppo", "env=CartPole-v1", *_ROLLOUTS), 1024, 61_440),
    "recurrent": Family(("algo=ppo", "network=gru", "env=CartPole-v1", *_ROLLOUTS), 128, 3_072),
    "replay": Family(("algo=dqn", "env=CartPole-v1", *_REPLAY), 512, 30_720),
    "actor-critic": Family(("algo=sac", "env=Pendulum-v1", *_REPLAY), 64, 1_536),
    "tabular": Family(("algo=q_learning", "env=FrozenLake-v1"), 1024, 61_440),
    "several agents": Family(("algo=ippo", "env=rltrain/TwoCarts-v0", *_ROLLOUTS), 512, 30_720),
}


@dataclass
class Trial:
    """The outcome of a run that was killed, and of further ones where it ended too early.

    `lost` is the most steps that a kill cost: the last logged step less that of the newest
    checkpoint that can be read. `differs` is empty where all ended as the other did.
    """

    phases: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    runs: int = 0
    differs: str = ""

    @property
    def kills(self) -> int:
        return self.phases.total()


def try_run(family: Family, sampler: str, kills: int, seed: int, folder: Path) -> Trial:
    """Train a run in `folder` without interruption and one that is killed; compare the two.

    A machine that is faster than it was in the first run may end the second before all kills;
    another run then takes the rest.

    Raises:
        RuntimeError: a run failed of its own accord.
    """
    words = [*_COMMON, *family.command(sampler)]
    whole, killed = folder / "outputs/whole", folder / "outputs/killed"
    started = time.monotonic()
    _attempt(folder, [*words, "run_name=whole"], None)
    seconds = float(folders.read_result(whole)["seconds"])
    startup = time.monotonic() - started - seconds
    chance, trial = random.Random(f"{seed} {sampler} {words}"), Trial()
    while not trial.differs and (trial.kills < kills or not trial.runs):
        shutil.rmtree(killed, ignore_errors=True)
        while _reached(killed) < family.total:
            left = kills - trial.kills
            limit = None
            if left:  # half of what is drawn is trained on the average
                part = seconds * (1 - _reached(killed) / family.total)
                limit = chance.uniform(0, startup + 2 * part / (left + 1))
            _step(folder, words, limit, trial)
        trial.runs += 1
        trial.differs = difference(whole, killed)
    return trial


def _step(folder: Path, words: list[str], limit: float | None, trial: Trial) -> None:
    """Resume the run, or begin it where it has no checkpoint; kill it after `limit` seconds."""
    killed = folder / "outputs/killed"
    if _reached(killed):
        start = [f"resume={killed}"]
    else:
        shutil.rmtree(killed, ignore_errors=True)
        start = [*words, "run_name=killed"]
    before = _marks(killed)
    if _attempt(folder, start, limit):
        trial.phases[_phase(before, _marks(killed))] += 1
        trial.lost = max(trial.lost, _logged(killed) - _reached(killed))


def _attempt(folder: Path, words: list[str], limit: float | None) -> bool:
    """Run rltrain, and return whether it had to be killed after `limit` seconds.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command(*words),
            cwd=folder,
            env=ENVIRON | {"TMPDIR": str(folder)},  # what killed processes leave goes with it
            stdout=output,
            stderr=output,
            start_new_session=True,  # its workers are killed with it
        )
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait() == -signal.SIGKILL
        if process.returncode:
            output.seek(0)
            lines = output.read().strip().splitlines()
            raise RuntimeError(lines[-1] if lines else f"exit code {process.returncode}")
    return False


def _reached(run: Path) -> int:
    """Return the step of the newest checkpoint that can be read, 0 where there is none."""
    try:
        return CheckpointFolder(run / "checkpoints", 1).load_newest()[0].step
    except CheckpointError:
        return 0


def _logged(run: Path) -> int:
    """Return the highest step that was logged, 0 where there is none."""
    table = rows(run / "progress.csv")
    return max((int(float(row["time/total_timesteps"])) for row in table), default=0)


def _marks(run: Path) -> dict[str, int]:
    """Return what tells the phases of a run apart, with the times of change.

    `result.json` is written when training begins, a temporary file exists while one saves.
    """
    paths = [run / folders.RESULT, *(run / "checkpoints").glob(".*.tmp")]
    return {path.name: path.stat().st_mtime_ns for path in paths if path.exists()}


def _phase(before: dict[str, int], after: dict[str, int]) -> str:
    changed = {name for name, when in after.items() if before.get(name) != when}
    if changed - {folders.RESULT}:
        return "saving"
    return "training" if changed else "start-up"


def _row(name: str, sampler: str, kills: int, seed: int) -> str:
    family = FAMILIES[name]
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        try:
            trial = try_run(family, sampler, kills, seed, Path(folder))
        except RuntimeError as error:
            trial = Trial(differs=f"failed: {error}")
    verdict = f"DIFFERS: {trial.differs}" if trial.differs else "equal"
    lost = f"{trial.lost} of {family.every}" + (" TOO MANY" if trial.lost > family.every else "")
    number = f"{trial.kills} in {trial.runs} runs" if trial.runs > 1 else str(trial.kills)
    fell = " / ".join(str(trial.phases[phase]) for phase in PHASES)
    said = f"`{' '.join(family.overrides)} total_timesteps={family.total}`"
    line = f"| {name} | {said} | {sampler} | {number} | {fell} | {lost} | {verdict} |"
    print(line, flush=True)
    return line


def main() -> None:
    """Try each family with each sampler, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills")
    parser.add_argument("--kills", type=int, default=20, help="of each run")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, metavar="NAME")
    parser.add_argument("--side-by-side", type=int, default=2, help="runs at a time")
    given = parser.parse_args()
    with ThreadPoolExecutor(given.side_by_side) as pool:
        trials = [
            pool.submit(_row, name, sampler, given.kills, given.seed)
            for name in given.families or FAMILIES
            for sampler in SAMPLERS
        ]
        lines = [trial.result() for trial in trials]
    if not given.families:
        RESULT.write_text(_page(lines, given.kills, given.seed))


def _page(lines: list[str], kills: int, seed: int) -> str:
    versions = ", ".join(f"{p} {metadata.version(p)}" for p in ("rltrain", "torch", "gymnasium"))
    columns = ("family", "command", "sampler", "kills", f"in {' / '.join(PHASES)}")
    head = " | ".join([*columns, "steps lost at most", "rows and state"])
    return f"""# Runs that were killed

`python -m benchmarks.kills --kills {kills} --seed {seed}`, {datetime.date.today()}: Python
{platform.python_version()}, {versions}.

Each row is of two runs of one command: one was left alone, the other was killed with SIGKILL, its
two worker processes included, at moments drawn from the seed, and resumed after each kill (started
anew before its first checkpoint). A moment is uniform from the start of a process on; how far it
may lie follows from the seconds of the run that was left alone and what is left to train, so that
processor and load have a part in where kills fall. A kill falls in start-up before training begins,
in saving where it leaves a temporary file of a checkpoint; saving takes so little of a run that
`tests/training/test_faults.py` kills there on purpose. Steps lost are those from the newest
readable checkpoint to the last logged row, the most of all kills, with the checkpoint interval;
rows are logged every half interval, or after every rollout where that is longer. The last column
compares every row of `progress.csv` and `evaluations.csv`, less what a clock measured, and the
digest over the whole state of the last checkpoint. Where a run ended before all kills (the machine
was faster than before), further runs took the rest; each was compared.

All commands have `{" ".join(_COMMON)}` as well.

| {head} |
|---|---|---|---|---|---|---|
{chr(10).join(lines)}
"""


if __name__ == "__main__":
    main()
