"""RESULTS.md and RESULTS.png from results.json: the row that is furthest below its aim first."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.compare import (
    OURS,
    OVERLAP,
    TOLERANCES,
    able,
    differences,
    interval,
    light,
    ratios,
    reasons,
    shortfall,
    summary,
)
from benchmarks.speed.rows import Row

Results = Mapping[str, Any]
INTRODUCTION = (
    "Written by `python -m benchmarks.speed`. A ratio is the fastest peer's time over rltrain's,"
    " the median of rounds in which every side runs once, with its 95 % bootstrap interval;"
    " aims are the least ratio. `first step on` leaves out starting, `whole` is the process"
    " from start to exit, which for rltrain has writing its last checkpoint in it. `of light` is"
    " the least time that the work can take here, calibrated in the same rounds, over rltrain's"
    " whole process (aim 0.7).",
    "S is a peer's time from the start of its process to the end of its first optimiser step over"
    " rltrain's to the row that it logs behind all 16 steps of its first rollout; the aim of 1.67"
    " is 0.6 of the quickest peer's time. M is eight runs, for peers as processes two at a time."
    " R is the smallest peer's peak memory in C1 over rltrain's; a process with others under it"
    " is the sum of their proportional set sizes.",
    "Work is equal where counted environment steps and updates are within"
    f" {TOLERANCES['steps']:.0%}, optimised parameters within {TOLERANCES['parameters']:.0%}, the"
    " size of a minibatch is the same (rltrain's is its configuration, a peer's what its layers"
    " saw), and the mean returns of the last 100 episodes overlap over rounds or differ by less"
    f" than {OVERLAP:.0%}. In T every side ends when ten greedy episodes, every 5,000 steps,"
    " have the mean return.",
    "`+workers`: with environments in processes, where a peer has that; without, otherwise."
    " Torch has one thread in peers, where rows say nothing else.",
)


def known(results: Results, all_rows: tuple[Row, ...]) -> list[tuple[Row, list[Any]]]:
    """Rows with their rounds, worst first; memory is that of C1's rounds."""
    found = []
    for row in all_rows:
        source = results.get("C1" if row.kind == "memory" else row.name)
        if source:
            found.append((row, source["rounds"]))
    return sorted(found, key=lambda pair: shortfall(*pair))


def table(results: Results, all_rows: tuple[Row, ...]) -> str:
    lines = ["# Speed", ""]
    for paragraph in INTRODUCTION:
        lines += [paragraph, ""]
    lines += [
        "![Ratios](RESULTS.png)",
        "",
        "| row | work | first step on | aim | whole | aim | of light | work is equal |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ranked = known(results, all_rows)
    lines += [_line(row, rounds) for row, rounds in ranked]
    missing = [row for row in all_rows if row not in [r for r, _ in ranked]]
    if missing:
        lines += ["", "Not run:", ""]
        lines += [f"- {r.name}, {r.title}: {_why_not(r)}" for r in missing]
    for row, rounds in ranked:
        if row.kind != "memory":
            lines += _details(row, rounds, results[row.name])
    return "\n".join(lines) + "\n"


def _why_not(row: Row) -> str:
    return f"waits for {row.waits_for}" if row.waits_for else "its turn"


def _line(row: Row, rounds: list[Any]) -> str:
    if "reason" in rounds[-1][OURS]:
        reason = _cell(rounds[-1][OURS]["reason"])
        return f"| {row.name} | {row.title} | | | | | | could not be run: {reason} |"
    if not able(rounds):
        return f"| {row.name} | {row.title} | | | | | | no peer could run it |"
    cells = [row.name, row.title]
    whole = "peak_mib" if row.kind == "memory" else "whole"
    for figure, aim in (("seconds", row.steady_aim), (whole, row.whole_aim)):
        if aim is None:
            cells += ["", ""]
            continue
        peer, values = ratios(rounds, figure, row.kind)
        cells += [f"{summary(values)} {peer}", f"{aim:.3g}"]
    cells.append(_light(row, rounds))
    # in a row of memory alone, what was done with it is C1's to say
    cells.append(differences(rounds, row.kind) or ("yes" if row.kind == "train" else ""))
    return "| " + " | ".join(cells) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "/")


def _light(row: Row, rounds: list[Any]) -> str:
    values = light(rounds) if row.light_aim else []
    if not values:
        return ""
    return summary(values) + (" wrong: above 1" if np.median(values) > 1 else "")


def _details(row: Row, rounds: list[Any], result: Any) -> list[str]:
    """Every side's median figures, what was run, and with what."""
    lines = [
        "",
        f"## {row.name}",
        "",
        f"{result['date']}, {result['cores']} × {result['cpu']}, {len(rounds)} rounds"
        f"{', each run behind a short one' if result.get('warmed') else ''},"
        f" rltrain {result['versions']['revision'] or result['versions']['rltrain']},"
        f" torch {result['versions']['torch']}, numpy {result['versions']['numpy']},"
        f" gymnasium {result['versions']['gymnasium']}.",
        "",
        "| side | whole, s | first step on, s | steps | updates | minibatch | parameters |"
        " return | peak MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    why = reasons(rounds)
    for side in [OURS, *(n for n in rounds[0] if n not in (OURS, "light"))]:
        if side in why:
            lines.append(f"| {side} | could not be run: {_cell(why[side])} | | | | | | | |")
            continue
        cells = [side]
        for figure, form in (
            ("whole", ".2f"),
            ("seconds", ".2f"),
            ("steps", ",.0f"),
            ("updates", ",.0f"),
            ("batch_size", ",.0f"),
            ("parameters", ",.0f"),
            ("mean_return", ".1f"),
            ("peak_mib", ",.0f"),
        ):
            values = [r[side].get(figure) for r in rounds]
            values = [v for v in values if v is not None]
            cells.append(format(float(np.median(values)), form) if values else "")
        lines.append("| " + " | ".join(cells) + " |")
    pieces = [r["light"] for r in rounds if "T" in r.get("light", {})]
    if pieces:
        medians = {k: np.median([p[k] for p in pieces]) for k in ("E", "I", "U", "P", "T")}
        spelled = ", ".join(f"{k} {v:.2f}" for k, v in medians.items())
        lines += ["", f"Light: {spelled} (seconds; P processes)."]
    work = shlex.quote(json.dumps(result["work"] | {"seed": "SEED", "threads": row.threads}))
    lines += [
        "",
        "```sh",
        result["invoked"],
        f"rltrain {shlex.join(result['command'])}",
        f"python -P benchmarks/speed/peers/PEER.py {work}",
        "```",
        "",
    ]
    return lines + [f"- {peer}: `{'`, `'.join(pins)}`" for peer, pins in result["peers"].items()]


@dataclass(frozen=True)
class Bar:
    """A line of the picture."""

    label: str
    values: list[float]
    aim: float


def bars(results: Results, all_rows: tuple[Row, ...]) -> tuple[list[Bar], list[Bar]]:
    """Ratios over peers, and those of light, in the order of the table."""
    over_peers, of_light = [], []
    for row, rounds in known(results, all_rows):
        if "reason" in rounds[-1][OURS] or not able(rounds):
            continue
        figure = "peak_mib" if row.kind == "memory" else "whole"
        name = {"memory": "memory", "start": "start", "sweep": "sweep"}.get(row.kind, "whole")
        if row.steady_aim:
            values = ratios(rounds, "seconds", row.kind)[1]
            over_peers.append(Bar(f"{row.name}  first step on", values, row.steady_aim))
        if row.whole_aim:
            values = ratios(rounds, figure, row.kind)[1]
            over_peers.append(Bar(f"{row.name}  {name}", values, row.whole_aim))
        if row.light_aim and light(rounds):
            of_light.append(Bar(f"{row.name}  of light", light(rounds), row.light_aim))
    return over_peers, of_light


def picture(results: Results, all_rows: tuple[Row, ...], path: Path) -> None:
    """Ratios with their intervals, and the aim as a mark."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    over_peers, of_light = bars(results, all_rows)
    if not over_peers:
        return
    heights = [len(over_peers), max(1, len(of_light))]
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(9, 2.4 + 0.32 * sum(heights)), height_ratios=heights
    )
    top.set_xscale("log")
    top.xaxis.set_major_formatter("{x:g}")
    top.xaxis.set_minor_formatter("{x:g}")
    top.tick_params(axis="x", which="minor", labelsize=7)
    _draw(top, over_peers, 1.0)
    top.set_xlabel("fastest peer's time (for memory: its peak) over rltrain's")
    _draw(bottom, of_light, 0.0)
    bottom.set_xlim(0, max([1.05, *(1.1 * max(b.values) for b in of_light)]))
    bottom.set_xlabel("least time that the work can take here over rltrain's whole process")
    last = max(results.values(), key=lambda r: r["date"])
    versions = last["versions"]
    figure.suptitle(
        f"rltrain {(versions['revision'] or versions['rltrain'])[:10]}, torch {versions['torch']},"
        f" {last['date']}, {last['cores']} × {last['cpu']}\n"
        f"{last['invoked']}\nblack: 95 % interval of the median, red: aim",
        fontsize=9,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _draw(axes: Any, drawn: list[Bar], base: float) -> None:
    for y, bar in enumerate(drawn):
        middle = float(np.median(bar.values))
        low, high = interval(bar.values)
        color = "C0" if middle >= bar.aim else "C1"
        axes.barh(y, middle - base, left=base, color=color, alpha=0.7)
        axes.plot([min(low, middle), max(high, middle)], [y, y], color="black", linewidth=1.5)
        axes.plot([bar.aim], [y], marker="|", color="red", markersize=15, markeredgewidth=2.5)
        end = (max(high, middle, bar.aim), y)
        axes.annotate(
            f"{middle:.3g}", end, (6, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.set_yticks(range(len(drawn)), [bar.label for bar in drawn], fontsize=9)
    axes.invert_yaxis()
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.margins(x=0.08)
