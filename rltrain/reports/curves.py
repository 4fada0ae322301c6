"""`rltrain plot`: learning curves of runs and sweeps as a picture."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rltrain.core.errors import OK, UserError, did_you_mean
from rltrain.reports.labels import Group, Groups, chosen_name, group_runs, read_facts, typed_keys
from rltrain.reports.targets import find_runs
from rltrain.training import run as folders
from rltrain.training.tables import STEP, read_csv

logger = logging.getLogger("rltrain")

Curve = tuple[list[float], list[float]]
COLUMN = "rollout/ep_rew_mean"
FILES = ("progress.csv", "evaluations.csv")
_NAMES = {
    COLUMN: "return of the last 100 episodes",
    "eval/mean_reward": "mean return of an evaluation",
}
_INSIDE = 4  # labels that leave room for curves
_IN_A_ROW = 3  # panels
_STYLES = ("-", "--", ":", "-.")  # for lines past the last of ten colours


def plot(targets: list[str], options: dict[str, Any]) -> int:
    """Draw a column over steps, one line for runs that differ by the seed alone.

    Each environment has a panel of its own, since returns of two are not of one scale. A line is
    the mean of its runs, its band goes from the lowest to the highest. `targets` are
    run folders, folders of runs such as a sweep's, or `latest`; `options` may hold `out` (a file
    name) and `column` (of progress.csv or evaluations.csv).

    Raises:
        UserError: matplotlib or a run is missing, or no run has the column.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise UserError('A plot needs matplotlib: pip install "rltrain[plot]"') from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.close("all")  # of an earlier call in this process

    column = str(options.get("column", COLUMN))
    out = Path(str(options.get("out", "curves.png")))
    runs, curves = _with_column(find_runs(targets or ["latest"]), column)
    figure = _draw(runs, curves, column)
    try:
        figure.savefig(out, dpi=120)
    except (OSError, ValueError) as error:
        raise UserError(f"out={out} cannot be written: {error}") from error
    print(out)
    return OK


def band(curves: Sequence[Curve]) -> tuple[Any, Any, Any, Any]:
    """Return steps, and the lowest, mean and highest value there, of the span that all share."""
    start = max(steps[0] for steps, _ in curves)
    end = min(steps[-1] for steps, _ in curves)
    grid = np.linspace(start, end, 200)
    values = np.stack([np.interp(grid, steps, values) for steps, values in curves])
    return grid, values.min(0), values.mean(0), values.max(0)


def _with_column(runs: list[Path], column: str) -> tuple[list[Path], list[Curve]]:
    """Return the runs that have a column, and their curves; the others are named in the log."""
    curves: list[Curve] = []
    drawn: list[Path] = []
    known: set[str] = set()
    for folder in runs:
        tables = [_table(folder / name) for name in FILES if (folder / name).is_file()]
        known.update(name for rows in tables for row in rows[-1:] for name in row)
        found = next((rows for rows in tables if any(r.get(column) for r in rows)), [])
        rows = [r for r in found if r.get(column)]
        if rows:
            drawn.append(folder)
            curves.append(([float(r[STEP]) for r in rows], [float(r[column]) for r in rows]))
        else:
            logger.warning("%s has no values of %s and is left out", folder, column)
    if not drawn:
        raise UserError(
            f"column={column}: no run has values of it in {' or '.join(FILES)}."
            f"{did_you_mean(column, known)}"
        )
    return drawn, curves


def _table(path: Path) -> list[dict[str, str]]:
    try:
        return read_csv(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error


def _draw(runs: list[Path], curves: list[Curve], column: str) -> Any:
    """Return a figure with a panel for each environment."""
    from matplotlib import pyplot as plt

    typed = set().union(*map(typed_keys, runs))
    configs = [read_facts(folder) for folder in runs]
    by_env: dict[str, list[int]] = defaultdict(list)
    for i, config in enumerate(configs):
        by_env[chosen_name(config, "env")].append(i)
    columns = min(len(by_env), _IN_A_ROW)
    rows = math.ceil(len(by_env) / columns)
    figure, panels = plt.subplots(
        rows, columns, figsize=(2 + 5 * columns, 4 * rows), layout="constrained", squeeze=False
    )
    styles: dict[str, int] = {}  # a label has one colour in every panel
    for axes, (_, members) in zip(panels.flat, sorted(by_env.items()), strict=False):
        found = group_runs([configs[i] for i in members], typed)
        _draw_panel(axes, found, [runs[i] for i in members], [curves[i] for i in members], styles)
        axes.set_xlabel("environment steps")
        axes.set_ylabel(_NAMES.get(column, column))
    for axes in panels.flat[len(by_env) :]:
        axes.set_axis_off()
    return figure


def _draw_panel(
    axes: Any, found: Groups, runs: list[Path], curves: list[Curve], styles: dict[str, int]
) -> None:
    for group in found.groups:
        steps, low, middle, high = band(_overlapping(group, runs, curves))
        label = ", ".join(filter(None, [group.label, _count(group, runs)]))
        style = styles.setdefault(group.label, len(styles))
        color, line = f"C{style % 10}", _STYLES[style // 10 % len(_STYLES)]
        axes.plot(steps, middle, line, label=label, color=color)
        axes.fill_between(steps, low, high, color=color, alpha=0.2, linewidth=0)
        if steps[0] == steps[-1]:  # a single point has no line
            axes.errorbar(
                steps[:1],
                middle[:1],
                [middle[:1] - low[:1], high[:1] - middle[:1]],
                fmt="o",
                color=color,
                capsize=3,
            )
    axes.set_title(found.title, fontsize="medium")
    axes.grid(alpha=0.3)
    if len(found.groups) > _INSIDE:
        axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    elif axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False)


def _overlapping(group: Group, runs: list[Path], curves: list[Curve]) -> list[Curve]:
    """Return the curves of a group, less those that end before another begins."""
    start = max(curves[i][0][0] for i in group.runs)
    kept = [i for i in group.runs if curves[i][0][-1] >= start]
    end = min(curves[i][0][-1] for i in kept)
    longest = max(curves[i][0][-1] for i in kept)
    for i in group.runs:
        if i not in kept:
            logger.warning("%s ends at step %.0f and is left out", runs[i], curves[i][0][-1])
        elif curves[i][0][-1] == end and end < 0.9 * longest:
            logger.warning("%s ends at step %.0f, and its line there", runs[i], end)
    return [curves[i] for i in kept]


def _count(group: Group, runs: list[Path]) -> str:
    if len(group.runs) == 1:
        return ""
    seeds = {str(folders.read_config(runs[i]).get("seed")) for i in group.runs}
    return f"{len(group.runs)} {'seeds' if len(seeds) == len(group.runs) else 'runs'}"
