"""Where a run's time went: by phase, by function, and as a trace.

It wraps methods of the objects of one run once they are built, so that the loop and a run
without it know nothing of it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rltrain.core.types import Progress
from rltrain.training.trace import Trace
from rltrain.training.trainer import Trainer
from rltrain.training.windows import Functions, Operations, Window

logger = logging.getLogger("rltrain")
PHASES = ("env", "act", "learn", "minibatch", "eval", "log", "checkpoint")
_SAMPLED = ("env", "act", "learn", "minibatch")  # what a window leaves out


class Profile:
    """Times the phases of a trainer from now on.

    Once the run has learned, a few iterations are looked at more closely, in windows. That
    slows them down: they are left out of the phases.
    """

    def __init__(
        self,
        trainer: Trainer,
        folder: Path,
        title: str,
        startup: Mapping[str, float],
        kernels: object = "numpy",
    ) -> None:
        self.folder = folder
        self.title = title
        self.startup = startup
        self.trace = Trace()
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._progress = trainer.progress
        self._num_envs = trainer.settings.env.num_envs
        self._first, self._updates = trainer.progress.steps, trainer.progress.updates
        self._steps = 0  # environment steps outside windows
        self._collected = 0  # of those, the steps of the last call of `collect`
        self._waiting: list[Window] = [Functions()]
        if kernels == "torch" and trainer.settings.network.name != "none":
            self._waiting.append(Operations())
        self._window: Window | None = None
        self._opened, self._opened_at = 0.0, 0
        self._tables: list[str] = []
        self._evaluating = False
        self._wrap(trainer)
        self._began = time.perf_counter()
        self.trace.span("start-up", self._began - sum(startup.values()), self._began)

    def _wrap(self, trainer: Trainer) -> None:
        algorithm, sampler = trainer.algorithm, trainer.sampler
        self._time(trainer.log, "row", "log", calls=0)
        self._time(trainer.log, "write", "log")
        self._time(trainer, "save", "checkpoint")
        self._time(trainer, "_save_best", "checkpoint")
        for owner in getattr(algorithm, "learners", [algorithm]):
            learner = getattr(owner, "learner", None)  # not every one learns from minibatches
            for name in ("step",) if hasattr(learner, "step") else ("evaluate", "improve"):
                if hasattr(learner, name):
                    self._time(learner, name, "minibatch")
        self._time(algorithm, "update", "learn")
        _replace(algorithm, "update", self._update)
        if trainer.evaluator is not None:
            self._time(trainer.evaluator, "run", "eval")
            _replace(trainer.evaluator, "run", self._evaluate)
        _replace(sampler, "collect", self._collect)
        _replace(sampler, "take_seconds", self._take_seconds)
        self._span(algorithm.policy, "act", "act")
        if hasattr(sampler, "envs"):
            self._span(sampler.envs, "step", "env")

    def _time(self, owner: Any, name: str, phase: str, calls: int = 1) -> None:
        """Books and traces every call of a method."""
        seconds, counts, clock = self.seconds, self.calls, time.perf_counter

        def timed(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            began = clock()
            try:
                return inner(*args, **kwargs)
            finally:
                ended = clock()
                if self._window is None or phase not in _SAMPLED:
                    seconds[phase] += ended - began
                    counts[phase] += calls
                self.trace.span(phase, began, ended, self._progress.steps)

        _replace(owner, name, timed)

    def _span(self, owner: Any, name: str, phase: str) -> None:
        """Traces every call of a method in training; the sampler has the seconds."""
        span, clock = self.trace.span, time.perf_counter

        def traced(inner: Callable[..., Any], *args: Any) -> Any:
            began = clock()
            result = inner(*args)
            if not self._evaluating:
                span(phase, began, clock())
            return result

        _replace(owner, name, traced)

    def _collect(
        self, inner: Callable[..., bool], horizon: int, progress: Progress, stop: Any
    ) -> bool:
        if self._window is None and self._waiting and progress.updates > self._updates:
            self._window = self._waiting.pop(0)
            self._opened, self._opened_at = time.perf_counter(), progress.steps
        before, began = progress.steps, time.perf_counter()
        with self._looking():
            complete = inner(horizon, progress, stop)
        self.trace.span("collect", began, time.perf_counter(), progress.steps)
        self._collected = progress.steps - before if self._window is None else 0
        self._steps += self._collected
        return complete

    def _take_seconds(self, inner: Callable[..., dict[str, float]]) -> dict[str, float]:
        seconds = inner()
        if self._window is None:
            for phase, value in seconds.items():
                self.seconds[phase] += value
                self.calls[phase] += self._collected // self._num_envs
        return seconds

    def _update(self, inner: Callable[..., Any], progress: Progress) -> Any:
        with self._looking():
            metrics = inner(progress)
        if self._window is not None and self.seconds[self._window.name] >= self._window.seconds:
            self._close_window()
        return metrics

    @contextlib.contextmanager
    def _looking(self) -> Any:
        """Has the open window, if there is one, look at what is done in here."""
        if self._window is None:
            yield
            return
        began = time.perf_counter()
        self._window.enable()
        try:
            yield
        finally:
            self._window.disable()
            self.seconds[self._window.name] += time.perf_counter() - began

    def _evaluate(self, inner: Callable[..., Any], *args: Any) -> Any:
        self._evaluating = True
        try:
            return inner(*args)
        finally:
            self._evaluating = False

    def _close_window(self) -> None:
        if self._window is None:
            return
        window, self._window = self._window, None
        began = time.perf_counter()
        try:
            self.folder.mkdir(exist_ok=True)
            lines = window.close(self.folder)
        except (OSError, RuntimeError) as error:  # a full disk is no reason to end the run
            lines = [f"cannot be shown: {error}"]
        ended = time.perf_counter()
        self.seconds[window.name] += ended - began
        self.trace.span(f"looking at {window.name}", self._opened, ended)
        steps = f"{window.name} in steps {self._opened_at:,} to {self._progress.steps:,}"
        self._tables += ["", steps, *lines]

    def report(self) -> None:
        """Prints the tables; writes them and the trace into the folder."""
        path = self.folder / "trace.json"
        self._close_window()
        if not self._tables:
            self._tables = ["", "functions: training ended before they could be looked at"]
        lines = [*self.table(), *self._tables]
        newest = f"the last {len(self.trace):,}" if self.trace.dropped else f"{len(self.trace):,}"
        written = ["", f"trace     {path}, {newest} spans (open it in https://ui.perfetto.dev)"]
        try:
            self.folder.mkdir(exist_ok=True)
            (self.folder / "profile.txt").write_text("\n".join(lines) + "\n")
            self.trace.write(path, self.title)
        except OSError as error:
            logger.warning("the profile cannot be written (%s).", error)
            written = []
        with contextlib.suppress(OSError):  # nobody reads
            print("\n" + "\n".join(lines + written), flush=True)

    def table(self) -> list[str]:
        """Seconds, share, calls and microseconds by phase, as lines."""
        starting = sum(self.startup.values())
        total = starting + time.perf_counter() - self._began
        steps = self._progress.steps - self._first
        lines = [
            f"{'phase':<16}{'seconds':>9}{'share':>8}{'calls':>10}{'µs/call':>11}{'µs/step':>10}",
            _row("start-up", starting, total),
            *(_row(f"  {name}", seconds, total) for name, seconds in self.startup.items()),
        ]
        for phase in PHASES:
            if not self.calls[phase]:
                continue
            part = phase == "minibatch"
            within = self._steps if phase in _SAMPLED else steps
            name = f"  {phase}" if part else phase
            lines.append(_row(name, self.seconds[phase], total, self.calls[phase], within))
        windows = [name for name in ("functions", "torch") if name in self.seconds]
        booked = sum(v for phase, v in self.seconds.items() if phase != "minibatch")
        lines.append(_row("other", total - starting - booked, total, 0, steps))
        lines += [_row(f"({name})", self.seconds[name], total) for name in windows]
        left = f", {steps - self._steps:,} of them looked at more closely and left out of env, act"
        closer = f"{left} and learn" if windows else ""
        return [f"{total:.1f} seconds, {steps:,} steps{closer}", *lines]


def _row(name: str, seconds: float, total: float, calls: int = 0, steps: int = 0) -> str:
    line = f"{name:<16}{seconds:>9.2f}{seconds / total:>8.1%}"
    line += f"{calls:>10,}{seconds / calls * 1e6:>11,.1f}" if calls else " " * 21
    return (line + (f"{seconds / steps * 1e6:>10,.2f}" if steps else "")).rstrip()


def _replace(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Puts `wrapper(inner, ...)` in place of a method of one object."""
    inner = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: wrapper(inner, *args, **kwargs))
