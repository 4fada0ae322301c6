"""Fuzz the command line: `python -m tests.fuzz --lines 1000 --seed 0`.

Each line is made from the grammar of rltrain's commands and changed at random: mutated keys,
values, choices, sweeps and flags, letters beyond ASCII, very long and empty words, quotes. It
runs in a process of its own, forked from this one, where training and playing are left out.
A line must end in time, with exit code 0, or 2 and one line that explains it and leaves no
folder behind; a sweep may end with 1 and a table of the jobs that failed.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rltrain import cli, config
from rltrain.completion import SCRIPTS
from rltrain.reports import architecture, catalog, curves, record, score
from rltrain.settings import registry
from rltrain.settings.advice import keys_by_path
from rltrain.settings.aliases import KEYS
from rltrain.settings.defaults import choices
from rltrain.settings.schema import by_path, show
from rltrain.training import jobs, session
from rltrain.training.run import Run

SECONDS = 30  # a line that takes longer hangs
ENVS = ("CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "Blackjack-v1", "cartpole_no_velocity")
WORDS = (
    "", "0", "1", "-1", "1.5", "1e5", "1e400", "nan", "inf", "null", "true", "False", "yes", "auto",
    "none", "[]", "[1]", "[64,64]", "[64,64", "64,64", "(1,2)", "{}", "{a:1}", "{a", "10,000",
    "10k", "0,1", "a,b", "a=b", "a=b,c=d", "~", "~/x", "~nobody/x", "#1", "a#b", "a b", " a", "a:b",
    "'a'", '"a"', "'a", '"a', "a'b", "\\", "a\\", "\\'", "${seed}", "${nothing}", "${", "$x",
    "${oc.env:HOME}", "${hydra:job.num}", "range(3)", "range(0)", "range(0,1,0)", "range(a)",
    "range(1e9)", "rnage(3)", "interval(0,1)", "choice(a,b)", "choice()", "glob(*)", "glob(ppo*)",
    "glob(zzz)", "sort(2,1)", "shuffle(1,2)", "int(a)", "tag(a,1)", "été", "日本", "🙂", "\t",
    "a\nb", "a\x00b", "x" * 300, "../x", "/dev/null/x", "outputs/run", "latest", "CartPole-v1",
    "999" * 9, "extend_list(1)", "1_000", ".5", "5.", "+1", "0x10", "!", "*", "?", "%", "&", ";",
    "|", ">", "@",
)  # fmt: skip
FLAGS = (
    "-m", "--multirun", "--cfg", "--cfg job", "--cfg all", "--cfg x", "--config-dir nowhere",
    "--config-name x", "--config-path x", "--package x", "--resolve", "--info", "--info config",
    "-r", "-v", "--seed", "--seed 3", "--algo=ppo", "-", "--", "---", "-x=1", "--resolve --cfg job",
    "--hydra-help", "--experimental-rerun x", "-mm",
)  # fmt: skip
KEYS_OF_HYDRA = (
    "hydra/launcher", "hydra/sweeper", "hydra.launcher.jobs", "hydra.sweep.dir", "hydra.run.dir",
    "hydra.sweep.subdir", "hydra.mode", "hydra.job.chdir", "hydra.sweeper.params.seed", "hydra.x",
    "hydra", "hydra.searchpath", "hydra.verbose", "hydra/job_logging", "hydra.output_subdir",
)  # fmt: skip


class Maker:
    """Command lines by chance, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._keys = sorted(keys_by_path())
        self._values = by_path(config.compose(["env=CartPole-v1", "tuned=none"]))
        self._groups = {g: choices(g) for g in (*registry.GROUPS, "tuned")} | {"env": list(ENVS)}

    def line(self) -> list[str]:
        pick = self._random
        words = pick.choices(
            (self._train, self._sweep, self._played, self._shown), weights=(55, 20, 12, 13)
        )[0]()
        for _ in range(pick.choice((0, 0, 1, 2))):
            words = self._changed(words)
        return [w.replace("\x00", "") for w in words]  # which no process can be given

    def _train(self) -> list[str]:
        pick = self._random
        words = [f"env={pick.choice(ENVS)}"] * (pick.random() < 0.9)
        words += [self._override() for _ in range(pick.randint(1, 4))]
        return words + (pick.choice(FLAGS).split(" ") if pick.random() < 0.15 else [])

    def _sweep(self) -> list[str]:
        pick = self._random
        several = f"{pick.choice(self._keys)}={pick.choice(WORDS)},{pick.choice(WORDS)}"
        jobs_word = [f"jobs={pick.choice(('1', '2', 'auto', *WORDS))}"] * (pick.random() < 0.3)
        return ["-m", *self._train(), several, *jobs_word]

    def _played(self) -> list[str]:
        pick = self._random
        run = pick.choice(("latest", "outputs/run", "outputs/rnu", "run", pick.choice(WORDS)))
        options = ("episodes", "seed", "checkpoint", "deterministic", "env.kwargs.x", "env.id")
        key = pick.choice((*options, pick.choice(self._keys)))
        first = pick.choice((["eval", run], ["record", run, "dataset=a/b-v0"], [f"resume={run}"]))
        return [*first, f"{key}={pick.choice(WORDS)}"]

    def _shown(self) -> list[str]:
        pick = self._random
        what = pick.choice((*catalog.LISTS, *self._groups["algo"], *WORDS))
        shell = pick.choice((*SCRIPTS, *WORDS))
        return pick.choice(
            (
                ["list", what],
                ["describe", what],
                ["describe", self._override(), f"env={pick.choice(ENVS)}"],
                ["plot", what],
                ["table", what, f"sort={pick.choice(WORDS)}"],
                ["help", what],
                ["-sc", f"{pick.choice(('install', 'query', 'uninstall', 'x'))}={shell}"],
                [what],
                [what, self._override()],
                [],
            )
        )

    def _override(self) -> str:
        pick = self._random
        kind = pick.random()
        if kind < 0.3:
            group = pick.choice(list(self._groups))
            return f"{group}={pick.choice((*self._groups[group], pick.choice(WORDS)))}"
        if kind < 0.6:  # a line may be right
            key = pick.choice([k for k in self._values if not k.endswith(".name")])
            return f"{key}={show(self._values[key]).replace(' ', '')}"
        key = pick.choice(self._keys)
        if kind > 0.9:
            key = pick.choice((*KEYS_OF_HYDRA, *KEYS, "env.kwargs.x", "network.encoders.x", *WORDS))
        sign = pick.choice(("", "", "", "", "", "+", "++", "~"))
        return f"{sign}{key}={pick.choice(WORDS)}"

    def _changed(self, words: list[str]) -> list[str]:
        """A line with a word dropped, doubled, cut in two, or with letters changed."""
        pick, words = self._random, list(words)
        if not words:
            return [pick.choice(WORDS)]
        i = pick.randrange(len(words))
        word = words[i]
        at = pick.randrange(len(word) + 1)
        sign = pick.choice("=~#.,:+-/ []{}()'\"\\$xé")
        ways = (
            [],
            [word, word],
            [word[:at], word[at:]],
            [word[:at] + word[at + 1 :]],
            [word[:at] + sign + word[at:]],
            [word[: at - 1] + word[at : at + 1] + word[at - 1 : at] + word[at + 1 :]],
            [word.upper()],
            word.split("=", 1),
            [word.replace("=", " = ")],
            [f"--{word}"],
        )
        words[i : i + 1] = pick.choice(ways)
        return words


def leave_out_training() -> None:
    """Replace what takes long, training and playing, by nothing."""

    def train(run: Run, *_: Any, **__: Any) -> session.Outcome:
        run.close()
        return session.Outcome(run.folder, 1, 1.0, 1.0, 1.0, None)

    def show(values: Any) -> int:
        return 0

    for place, name, stand_in in (
        (session, "_train", train),
        (jobs, "run", lambda planned, count: None),
        (score, "play", lambda *_: (None, SimpleNamespace(returns=[1.0]))),
        (score, "show", lambda *_: None),
        (record, "write", lambda *_: None),
        (architecture, "show_networks", show),
        (curves, "plot", lambda *_: 0),
    ):
        assert hasattr(place, name), name
        setattr(place, name, stand_in)


def run_line(words: list[str], template: Path) -> tuple[int | None, str, str, list[str]]:
    """Run a line; return exit code (None: it hangs), output, errors, and what it left behind."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    shutil.copytree(template, folder / "here")
    out, err = folder / "out", folder / "err"
    child = os.fork()
    if child == 0:
        _child(words, folder / "here", out, err)
    deadline = time.monotonic() + SECONDS
    code: int | None = None
    while code is None:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
        elif time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
        time.sleep(0.005)
    before = {p.relative_to(template) for p in template.rglob("*")}
    after = {p.relative_to(folder / "here") for p in (folder / "here").rglob("*")}
    texts = [p.read_bytes().decode(errors="replace") for p in (out, err)]
    shutil.rmtree(folder, ignore_errors=True)
    return code, texts[0], texts[1], sorted(map(str, after - before))


def _child(words: list[str], folder: Path, out: Path, err: Path) -> None:
    os.setpgrp()
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644), number)
    os.chdir(folder)
    os.environ |= {"HOME": str(folder), "COMP_LINE": shlex.join(["rltrain", *words])}
    sys.argv = ["rltrain", *words]
    sys.orig_argv[:] = sys.argv
    code: object = 99
    try:
        cli.main()
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def fault(words: list[str], code: int | None, out: str, err: str, left: list[str]) -> str | None:
    """What is wrong with how a line ended, in few words; None where nothing is."""
    if code is None:
        return f"hangs for more than {SECONDS} seconds"
    if "Traceback" in err or "Traceback" in out:
        last = [line for line in err.strip().splitlines() if line and line[0] not in " \t"]
        return f"traceback: {last[-1][:100] if last else ''}"
    if code == 0 or (code == 1 and "jobs finished" in out):
        return None
    if code != 2:
        return f"exit code {code}"
    lines = [line for line in err.splitlines() if line.startswith("rltrain: ")]
    if len(lines) != 1 or err.rstrip("\n").partition("rltrain: ")[2].count("\n"):
        return f"not one line: {err[:100]!r}"
    if re.search(r"\+\+", lines[0]) and "++" not in " ".join(words):
        return "advises a ++ that was not typed"
    return f"leaves {left[0]}" if left else None


def main() -> int:
    """Run the lines; print those that end as none may, and how the others did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print each line with its answer")
    options = parser.parse_args()
    leave_out_training()
    template = Path(tempfile.mkdtemp(prefix="fuzz-run-"))
    values = config.compose(["env=CartPole-v1", "tuned=none"])
    Run.create(template / "outputs" / "run", values).close()
    (template / "outputs" / ".latest").write_text("run")
    maker = Maker(options.seed)
    codes: Counter[int | None] = Counter()
    faults: Counter[str] = Counter()
    for _ in range(options.lines):
        words = maker.line()
        code, out, err, left = run_line(words, template)
        codes[code] += 1
        wrong = fault(words, code, out, err, left)
        if wrong is not None:
            faults[wrong] += 1
            print(f"WRONG  {wrong}\n       rltrain {shlex.join(words)}", flush=True)
        elif options.show and code:
            print(f"rltrain {shlex.join(words)}\n   {err.strip()[:300]}", flush=True)
    shutil.rmtree(template)
    print(f"{options.lines} lines, seed {options.seed}: exit codes {dict(codes)}")
    print(f"{sum(faults.values())} lines broke the rule, in {len(faults)} ways")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
