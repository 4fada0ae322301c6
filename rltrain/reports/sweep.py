"""Tables of runs: at the end of a sweep, and by `rltrain table`."""

from __future__ import annotations

import math
import re
import shlex
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from rltrain.core.errors import FAILED, OK, UserError, did_you_mean
from rltrain.reports.labels import chosen_name, group_runs, read_facts, sort_key, typed_keys
from rltrain.reports.statistics import bootstrap_interval, interquartile_mean
from rltrain.reports.targets import find_runs
from rltrain.settings.schema import by_path
from rltrain.training import run as folders
from rltrain.training.console import duration

COLUMNS = ("job", "state", "score", "steps", "time")
_WHOLE = 1000  # columns of a table that is not for a terminal: nothing is folded


@dataclass(frozen=True)
class Job:
    """A run of a table: its folder, how it stands, and its configuration where it has one."""

    folder: Path
    result: Mapping[str, Any]
    config: Mapping[str, Any] | None
    label: str = ""

    @property
    def score(self) -> float | None:
        score = self.result.get("score")
        return None if score is None or math.isnan(score) else float(score)

    @property
    def finished(self) -> bool:
        return self.result.get("state") == "finished"


@dataclass(frozen=True)
class Mean:
    """Jobs between which nothing but the seed differs, and their scores."""

    label: str
    jobs: tuple[Job, ...]

    @property
    def scores(self) -> list[float]:
        return [job.score for job in self.jobs if job.score is not None]

    @property
    def middle(self) -> float:
        return interquartile_mean(self.scores)


def summarize(folder: Path) -> int:
    """Print the table of a sweep and what to do next; return 1 if any job failed."""
    jobs = _labelled([_read(path) for path in sorted(folder.glob("[!.]*/"))])
    _print_tables(jobs, "job")
    undone = [job for job in jobs if not job.finished]
    print(f"\n{len(jobs) - len(undone)} of {len(jobs)} jobs finished, in {folder}")
    for job in undone:
        print(f"{job.label}: {job.result.get('error', 'not finished')}")
    if undone:
        print("The same command skips what is finished and goes on with the rest.")
    if any(job.config for job in jobs):
        print(
            f"table     rltrain table {shlex.quote(str(folder))} sort=score\n"
            f"curves    rltrain plot {shlex.quote(str(folder))}"
        )
    return FAILED if undone else OK


def show_table(targets: list[str], options: Mapping[str, Any]) -> int:
    """Print the table of runs: of a sweep, a folder of runs, or several of either.

    `options` may hold `sort`: job, state, score (the highest first), steps, time, or a key.

    Raises:
        UserError: there is no such run, or nothing to sort by.
    """
    found = find_runs(targets, (folders.CONFIG, folders.ERROR, folders.RESULT))
    _print_tables(_labelled([_read(path) for path in found]), str(options.get("sort", "job")))
    return OK


def _read(folder: Path) -> Job:
    """Return how a job stands; an error outranks what an earlier command finished."""
    try:
        config = read_facts(folder) if (folder / folders.CONFIG).is_file() else None
    except UserError:  # not YAML any more; its row stays
        config = None
    error = folder / folders.ERROR
    if error.exists():
        lines = error.read_text().strip().splitlines() or ["no reason was written"]
        return Job(folder, {"state": "failed", "error": lines[-1]}, config)
    return Job(folder, folders.read_result(folder), config)


def _labelled(jobs: list[Job]) -> list[Job]:
    """Give jobs the words of their names that not all have, and sort them by these."""
    words = [_words(job.folder.name) for job in jobs]
    common = set.intersection(*map(set, words)) if len(jobs) > 1 else set()
    own = [[w for w in of_job if w not in common] for of_job in words]
    order = sorted(range(len(jobs)), key=lambda i: [_word_key(w) for w in own[i]])
    return [
        Job(jobs[i].folder, jobs[i].result, jobs[i].config, ",".join(own[i]) or jobs[i].folder.name)
        for i in order
    ]


def _words(name: str) -> list[str]:
    """Return the overrides of a job's name; commas inside of a value part nothing."""
    return re.split(r",(?=[\w./@-]+=)", name)


def _word_key(word: str) -> tuple[str, tuple[int, float, str]]:
    key, _, value = word.partition("=")
    return key, sort_key(value)


def _print_tables(jobs: list[Job], sort: str) -> None:
    means = _means(jobs)
    key, descending = _sorting(jobs, sort)
    jobs = sorted(jobs, key=key, reverse=descending)
    _print(COLUMNS, [[job.label, *_cells(job.result)] for job in jobs])
    if any(len(mean.scores) > 1 for mean in means):
        if sort == "score":
            means = sorted(means, key=lambda mean: mean.middle, reverse=True)
        _print(
            ("over seeds", "interquartile mean", "95 % interval", "seeds"),
            [
                [
                    mean.label or "all",
                    f"{mean.middle:.1f}",
                    "{:.1f} … {:.1f}".format(*bootstrap_interval(mean.scores)),
                    str(len(mean.scores)),
                ]
                for mean in means
            ],
        )
    _print_best(means)


def _means(jobs: list[Job]) -> list[Mean]:
    scored = [job for job in jobs if job.score is not None and job.config is not None]
    typed = set().union(*(typed_keys(job.folder) for job in scored))
    groups = group_runs([job.config or {} for job in scored], typed).groups
    return [Mean(group.label, tuple(scored[i] for i in group.runs)) for group in groups]


def _print_best(means: list[Mean]) -> None:
    """Print the best jobs of each environment, by their means where there are several seeds."""
    by_env: dict[str, list[Mean]] = defaultdict(list)
    for mean in means:
        by_env[chosen_name(mean.jobs[0].config or {}, "env")].append(mean)
    compared = [found for found in by_env.values() if len(found) > 1 or len(means) == 1]
    for found in compared:
        best = max(found, key=lambda mean: mean.middle)
        job = max(best.jobs, key=lambda job: job.score or -math.inf)
        equal = sum(mean.middle == best.middle for mean in found)
        if len(best.jobs) > 1 and len(found) > 1:
            text = f"{best.label}: {best.middle:.1f} over {len(best.jobs)} seeds"
        elif len(found) > 1 or len(best.jobs) > 1:
            text = f"{job.label}: {job.score:.1f}"
        else:
            continue
        others = f", as {equal - 1} other{'s' if equal > 2 else ''}" if equal > 1 else ""
        print(f"\nbest      {text}{others}")
        print(f"evaluate  rltrain eval {shlex.quote(str(job.folder))}")


def _sorting(jobs: list[Job], sort: str) -> tuple[Callable[[Job], Any], bool]:
    """Return what to sort jobs by, and whether the highest comes first.

    Raises:
        UserError: no job has such a key.
    """
    if sort == "job":
        return (lambda job: 0), False  # as they are
    if sort == "state":
        return (lambda job: str(job.result.get("state", ""))), False
    if sort == "score":
        return (lambda job: -math.inf if job.score is None else job.score), True
    if sort in ("steps", "time"):
        name = {"time": "seconds"}.get(sort, sort)
        return (lambda job: sort_key(job.result.get(name))), False
    flat = {job.folder: by_path(job.config or {}) for job in jobs}
    keys = {key for of_job in flat.values() for key in of_job}
    fitting = sorted(key for key in keys if key == sort or key.endswith(f".{sort}"))
    if not fitting:
        known = (*COLUMNS, *keys, *(key.rpartition(".")[2] for key in keys))
        raise UserError(f"sort={sort}: no run has this key.{did_you_mean(sort, known)}")
    return (lambda job: [sort_key(flat[job.folder].get(key)) for key in fitting]), False


def _cells(result: Mapping[str, Any]) -> list[str]:
    score = result.get("score")
    state = result.get("state", "not begun")
    return [
        "stopped" if state in ("running", "interrupted") else state,
        "" if score is None else f"{score:.1f}",
        f"{result['steps']:,}" if "steps" in result else "",
        duration(result["seconds"]) if "seconds" in result else "",
    ]


def _print(columns: Sequence[str], rows: list[list[str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        first = column == columns[0]
        side: Literal["left", "right"] = "left" if first else "right"
        table.add_column(column, overflow="fold", justify=side, no_wrap=not first)
    for row in rows:
        table.add_row(*row)
    terminal = Console(highlight=False, markup=False)
    if not terminal.is_terminal:
        terminal.width = _WHOLE
    print()
    terminal.print(table)
