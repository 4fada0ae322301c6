"""What is seen of a run while it trains: a live display, or a line now and then."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len
from rich.console import Console as Terminal
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # tables of finished runs are printed without torch
    from rltrain.core.types import Progress
    from rltrain.training.evaluation import Evaluation
    from rltrain.training.log import Clock

LINE_SECONDS = 5.0
FRAME_SECONDS = 0.25
_HEAD = 75  # columns of a bar, steps and time left, the widest that they become


def make_console(mode: Literal["auto", "live", "plain", "off"], title: str) -> SilentConsole:
    """The console of a mode; `auto` is live in a terminal that can be redrawn, else plain."""
    terminal = Terminal()
    drawn = terminal.is_terminal and not terminal.is_dumb_terminal  # can be redrawn in place
    if mode == "live" or (mode == "auto" and drawn):
        return LiveConsole(terminal, title)
    return SilentConsole() if mode == "off" else PlainConsole()


class SilentConsole:
    """Shows nothing."""

    def tick(self, progress: Progress, clock: Clock, ended: bool = False) -> None:
        pass

    def row(self, progress: Progress, row: dict[str, float]) -> None:
        pass

    def evaluation(self, progress: Progress, evaluation: Evaluation, best: bool) -> None:
        pass

    def close(self) -> None:
        pass


class PlainConsole(SilentConsole):
    """A line every few seconds, and one for each evaluation."""

    def __init__(self) -> None:
        self._shown = 0.0
        self._closed = False

    def row(self, progress: Progress, row: dict[str, float]) -> None:
        now = time.perf_counter()
        if now - self._shown < LINE_SECONDS and progress.steps < progress.total:
            return
        self._shown = now
        parts = [
            f"{progress.steps:>9,} / {progress.total:,} steps",
            f"{row['time/fps']:,.0f} steps/s",
        ]
        if "rollout/ep_rew_mean" in row:
            parts.append(f"return {row['rollout/ep_rew_mean']:.1f}")
        parts += [f"{k.removeprefix('train/')} {row[k]:.3g}" for k in losses(row)]
        self._print("  ".join(parts))

    def evaluation(self, progress: Progress, evaluation: Evaluation, best: bool) -> None:
        self._print(f"{progress.steps:>9,}   {evaluation_text(evaluation, best)}")

    def _print(self, line: str) -> None:
        try:
            if not self._closed:
                print(line, flush=True)
        except OSError:  # nobody reads any more (`| head`); the run is what matters
            self._closed = True


class LiveConsole(SilentConsole):
    """A display that is redrawn in place; messages scroll above it."""

    def __init__(self, terminal: Terminal, title: str) -> None:
        self._title = title
        self._row: dict[str, float] = {}
        self._evaluation = ""
        self._drawn = 0.0
        self._start: tuple[float, int] | None = None
        self._ended = False
        # stdout stays redirected so that log lines do not tear the display
        self._live = Live(console=terminal, auto_refresh=False, transient=False)
        self._live.start()

    def tick(self, progress: Progress, clock: Clock, ended: bool = False) -> None:
        now = time.perf_counter()
        if self._start is None:
            self._start = (now, progress.steps)
        self._ended = ended or progress.steps >= progress.total
        if now - self._drawn >= FRAME_SECONDS or self._ended:
            self._drawn = now
            self._live.update(self._frame(progress, clock, now), refresh=True)

    def row(self, progress: Progress, row: dict[str, float]) -> None:
        self._row = row

    def evaluation(self, progress: Progress, evaluation: Evaluation, best: bool) -> None:
        self._evaluation = f"{evaluation_text(evaluation, best)} at step {progress.steps:,}"

    def close(self) -> None:
        self._live.stop()

    def _frame(self, progress: Progress, clock: Clock, now: float) -> Group:
        title, width = Text(self._title, style="bold", overflow="fold"), self._live.console.width
        beside = width >= cell_len(self._title) + _HEAD
        head = Table.grid(padding=(0, 2))
        head.add_row(
            *([title] if beside else []),
            ProgressBar(total=progress.total, completed=progress.steps, width=30),
            f"{progress.steps:,} / {progress.total:,} steps",
            self._left(progress, now),
        )
        training = clock.total - clock.seconds["eval"]
        shown: dict[str, Any] = {"steps/s": f"{progress.steps / max(training, 1e-9):,.0f}"}
        if "rollout/ep_rew_mean" in self._row:
            shown["return"] = f"{self._row['rollout/ep_rew_mean']:.1f}"
            shown["length"] = f"{self._row['rollout/ep_len_mean']:.1f}"
        shown |= {k.removeprefix("train/"): f"{self._row[k]:.3g}" for k in losses(self._row)}
        longest = max(len(f"{name} {value}") for name, value in shown.items())
        columns = max(1, min(4, (width + 3) // (longest + 3)))  # so that no name is cut
        cells = [f"[dim]{name}[/dim] {value}" for name, value in shown.items()]
        body = Table.grid(padding=(0, 3))
        for i in range(0, len(cells), columns):
            body.add_row(*cells[i : i + columns])
        lines: list[Any] = [
            *([] if beside else [title]),
            head,
            body,
            f"[dim]time in[/dim] {shares(clock)}",
        ]
        if self._evaluation:
            lines.append(self._evaluation)
        return Group(*lines)

    def _left(self, progress: Progress, now: float) -> str:
        began, steps = self._start or (now, progress.steps)
        done = progress.steps - steps
        if self._ended:
            return "done"
        return (
            f"{duration((now - began) / done * (progress.total - progress.steps))} left"
            if (done)
            else ""
        )


class SweepConsole:
    """A line when a job of a sweep begins and ends; in a terminal, how the whole stands."""

    def __init__(self, total: int, width: int) -> None:
        self._total, self._width = total, width
        self._done = 0
        self._began = self._drawn = time.perf_counter()
        terminal = Terminal()
        # What is printed is shown above it.
        self._live = Live(console=terminal, auto_refresh=False, transient=True)
        self._in_terminal = terminal.is_terminal and not terminal.is_dumb_terminal
        if self._in_terminal:
            self._live.start()

    def say(self, job: str, text: str, error: bool = False) -> None:
        with suppress(OSError):  # nobody reads any more (`| head`); the jobs are what matters
            print(f"{job:<{self._width}}  {text}", file=sys.stderr if error else None, flush=True)

    def ended(self) -> None:
        self._done += 1

    def tick(self, running: list[str]) -> None:
        now = time.perf_counter()
        if self._in_terminal and now - self._drawn >= FRAME_SECONDS:
            self._drawn = now
            text = f"{self._done} of {self._total} jobs done, {duration(now - self._began)}"
            names = ", ".join(running)
            self._live.update(Text(f"{text}; running: {names}", overflow="ellipsis"), refresh=True)

    def close(self) -> None:
        if self._in_terminal:
            self._live.stop()


def losses(row: dict[str, float]) -> list[str]:
    """The losses of a row and what else tells how learning goes, the overall sum left out."""
    wanted = [k for k in row if k.startswith("train/") and ("loss" in k or "error" in k)]
    parts = [k for k in wanted if k != "train/loss"] or wanted
    others = ("validation/loss", "train/approx_kl", "rollout/exploration_rate")
    return parts + [k for k in others if k in row]


def shares(clock: Clock) -> str:
    """Where time went: environment, acting, learning, evaluation, the rest."""
    names = {
        "env": "environment",
        "act": "acting",
        "learn": "learning",
        "eval": "evaluation",
        "other": "other",
    }
    total = max(clock.total, 1e-9)
    return ", ".join(f"{label} {clock.seconds[k] / total:.0%}" for k, label in names.items())


def evaluation_text(evaluation: Evaluation, best: bool) -> str:
    text = f"evaluation {evaluation.mean:.1f} ± {evaluation.std:.1f}"
    if evaluation.cut:
        text += f" ({evaluation.cut} of {len(evaluation.episodes)} episodes cut at the limit)"
    return f"{text}{', best so far' if best else ''}"


def duration(seconds: float) -> str:
    """`1:02:03`, or `2:03` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
