"""The table at the end of a sweep."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from rltrain.core.errors import FAILED, OK
from rltrain.reports.statistics import bootstrap_interval, interquartile_mean
from rltrain.training.console import duration
from rltrain.training.run import ERROR, read_result


def summarize(folder: Path) -> int:
    """Prints each job's state, score and time, then scores over seeds; 1 if any job failed."""
    jobs = {path.name: _result(path) for path in sorted(folder.glob("[!.]*/"))}
    words = {name: name.split(",") for name in jobs}
    common = set.intersection(*map(set, words.values())) if len(jobs) > 1 else set()
    short = {name: ",".join(w for w in words[name] if w not in common) for name in jobs}
    _print(
        ("job", "state", "score", "steps", "time"),
        [[short[name], *_cells(result)] for name, result in jobs.items()],
    )
    seeds: dict[str, list[float]] = defaultdict(list)
    for name, result in jobs.items():
        if result.get("score") is not None:
            kept = [w for w in short[name].split(",") if not w.startswith("seed=")]
            seeds[",".join(kept) or "all"].append(result["score"])
    if any(len(scores) > 1 for scores in seeds.values()):
        _print(
            ("over seeds", "interquartile mean", "95 % interval", "seeds"),
            [
                [
                    name,
                    f"{interquartile_mean(scores):.1f}",
                    "{:.1f} … {:.1f}".format(*bootstrap_interval(scores)),
                    str(len(scores)),
                ]
                for name, scores in seeds.items()
            ],
        )
    undone = [name for name, result in jobs.items() if result.get("state") != "finished"]
    print(f"\n{len(jobs) - len(undone)} of {len(jobs)} jobs finished, in {folder}")
    for name in undone:
        print(f"{short[name]}: {jobs[name].get('error', 'not finished')}")
    if undone:
        print("The same command skips what is finished and goes on with the rest.")
    return FAILED if undone else OK


def _result(folder: Path) -> Any:
    """How a job stands; an error outranks what an earlier command finished."""
    error = folder / ERROR
    if error.exists():
        return {"state": "failed", "error": error.read_text().strip().splitlines()[-1]}
    return read_result(folder)


def _cells(result: Any) -> list[str]:
    score = result.get("score")
    state = result.get("state", "not begun")
    return [
        "stopped" if state in ("running", "interrupted") else state,
        "" if score is None else f"{score:.1f}",
        f"{result['steps']:,}" if "steps" in result else "",
        duration(result["seconds"]) if "seconds" in result else "",
    ]


def _print(columns: tuple[str, ...], rows: list[list[str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        side: Literal["left", "right"] = "left" if column == columns[0] else "right"
        table.add_column(column, overflow="fold", justify=side)
    for row in rows:
        table.add_row(*row)
    terminal = Console(highlight=False, markup=False)
    print()
    terminal.print(table, width=None if terminal.is_terminal else 140)
