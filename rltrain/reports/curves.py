"""`rltrain plot`: learning curves of runs and sweeps as a picture."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from rltrain.core.errors import OK, UserError
from rltrain.training import run as folders
from rltrain.training.tables import STEP, read_csv

Curve = tuple[list[float], list[float]]
COLUMN = "rollout/ep_rew_mean"


def plot(targets: list[str], options: dict[str, Any]) -> int:
    """Draws `column` over steps, a line for each algorithm and environment, seeds as a band.

    `targets` are run folders, sweep folders or `latest`; `options` may hold `out` (a file
    name) and `column` (of progress.csv).

    Raises:
        UserError: matplotlib or a run is missing, or no run has the column.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise UserError('A plot needs matplotlib: pip install "rltrain[plot]"') from error
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    column = str(options.get("column", COLUMN))
    out = Path(str(options.get("out", "curves.png")))
    groups: dict[str, list[Curve]] = defaultdict(list)
    for folder in _runs(targets):
        config = folders.read_config(folder)
        curve = _curve(folder / "progress.csv", column)
        if curve is not None:
            groups[f"{config['algo']['name']} on {config['env']['id']}"].append(curve)
    if not groups:
        raise UserError(f"column={column}: none of these runs has it in progress.csv.")
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for label, curves in sorted(groups.items()):
        steps, low, middle, high = band(curves)
        plural = f", {len(curves)} seeds" if len(curves) > 1 else ""
        (line,) = axes.plot(steps, middle, label=label + plural)
        axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return of the last 100 episodes" if column == COLUMN else column)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    try:
        figure.savefig(out, dpi=120)
    except (OSError, ValueError) as error:
        raise UserError(f"out={out} cannot be written: {error}") from error
    print(out)
    return OK


def band(curves: list[Curve]) -> tuple[Any, Any, Any, Any]:
    """Steps, and the lowest, mean and highest value there, over the span that all curves share."""
    start = max(steps[0] for steps, _ in curves)
    end = min(steps[-1] for steps, _ in curves)
    grid = np.linspace(start, end, 200)
    values = np.stack([np.interp(grid, steps, values) for steps, values in curves])
    return grid, values.min(0), values.mean(0), values.max(0)


def _runs(targets: list[str]) -> list[Path]:
    found: list[Path] = []
    for target in targets or ["latest"]:
        jobs = sorted(p.parent for p in Path(target).glob(f"*/{folders.CONFIG}"))
        found += jobs or [folders.find(target)[0]]
    return found


def _curve(path: Path, column: str) -> Curve | None:
    rows = [r for r in read_csv(path) if r.get(column)] if path.exists() else []
    if not rows:
        return None
    return [float(r[STEP]) for r in rows], [float(r[column]) for r in rows]
