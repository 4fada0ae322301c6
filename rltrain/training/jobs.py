"""The jobs of a sweep, several at a time, each in a process of its own.

What takes long to start (Python, torch, the packages of environments) is imported here
once, and each job's process is a copy of this one.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import sys
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.context import BaseContext
from typing import Any

from rltrain.core.processes import cores, single_threaded
from rltrain.envs.make import check_env
from rltrain.settings import registry
from rltrain.settings.run import build_run
from rltrain.training import assemble, session  # noqa: F401  the first brings torch
from rltrain.training.changes import Values
from rltrain.training.console import SweepConsole, duration
from rltrain.training.job_process import Job, JobProcess
from rltrain.training.session import Ending
from rltrain.training.signals import StopSignals

logger = logging.getLogger("rltrain")

TICK_SECONDS = 0.25
GRACE_SECONDS = 5.0  # for a save that is under way when the user gives up


def choose_count(wanted: int | str, values: list[Values]) -> int:
    """How many jobs run at once: what was asked for, or one on each core."""
    devices = {str(v.get("device")) for v in values} - {"auto", "cpu"}
    if isinstance(wanted, int):
        count, why = wanted, "asked for"
    elif devices:  # whether jobs fit on a GPU together, the user knows
        count, why = 1, f"auto: on {', '.join(sorted(devices))}"
    else:
        count, why = cores(), f"auto: {cores()} cores"
    count = min(count, len(values))
    if len(values) > 1:
        logger.info("jobs: %d in all, %d at a time (%s)", len(values), count, why)
    return count


def run(jobs: list[Job], count: int) -> None:
    """Runs jobs, `count` at a time; what goes wrong in one stays in its folder.

    Raises:
        SystemExit: a signal asked the sweep to stop; the running jobs have stopped and saved.
    """
    sweep = _Sweep(mistaken_first(jobs), count)
    with StopSignals() as signals:
        try:
            sweep.run(signals)
        except KeyboardInterrupt:
            sweep.give_up()
        finally:
            sweep.close()
    if signals.received is not None and sweep.undone:
        print("Stopped. The same command goes on from there.", file=sys.stderr)
        raise SystemExit(128 + signals.received)


def mistaken_first(jobs: list[Job]) -> list[Job]:
    """Jobs that cannot begin before those that can, so that they are told of at once."""
    wrong: dict[str, bool] = {}  # one check for jobs that differ by numbers alone

    def is_wrong(job: Job) -> bool:
        try:
            settings = build_run(job.values)
            pair = f"{settings.algo.name} {settings.env}"
            if pair not in wrong:
                wrong[pair] = True
                check_env(settings)
                wrong[pair] = False
            return wrong[pair]
        except Exception:  # the job itself will say which
            return True

    return sorted(jobs, key=lambda job: not is_wrong(job))


class _Sweep:
    def __init__(self, jobs: list[Job], count: int) -> None:
        self._waiting = list(reversed(jobs))
        self._running: list[JobProcess] = []
        self._count = count
        self._threads = max(1, cores() // count)
        self._stopped = 0
        self._told = 0  # signals that the jobs have been told of
        for job in jobs:
            _preload(job.values)
        self._context = _context()
        self._console = SweepConsole(len(jobs), max(len(job.name) for job in jobs))

    @property
    def undone(self) -> bool:
        return bool(self._waiting or self._stopped)

    def run(self, signals: StopSignals) -> None:
        while self._running or (self._waiting and not signals.requested()):
            while self._waiting and len(self._running) < self._count and not signals.requested():
                self._start(self._waiting.pop())
            self._forward(signals.count)
            self._wait(TICK_SECONDS)
            self._collect(signals.requested())
            self._console.tick([p.job.name for p in self._running])

    def give_up(self) -> None:
        """After the third signal: a save that is under way may end, a step that hangs not."""
        with suppress(KeyboardInterrupt):  # a fourth
            self._forward(3)
            for process in self._running:
                process.process.join(GRACE_SECONDS)

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.process.join()
        self._collect(stopping=True)
        self._console.close()

    def _start(self, job: Job) -> None:
        self._console.say(job.name, "started")
        try:
            self._running.append(JobProcess(self._context, job, self._threads))
        except OSError as error:  # no memory for a process, or too many of them
            ending = session.failed(job.folder, f"its process could not be started: {error}")
            self._end(job, ending)

    def _forward(self, count: int) -> None:
        for process in self._running if count > self._told else ():
            process.stop()
        self._told = max(count, self._told)

    def _wait(self, seconds: float) -> None:
        handles: list[Any] = [p.process.sentinel for p in self._running]
        connection.wait(handles, seconds)

    def _collect(self, stopping: bool) -> None:
        for process in list(self._running):
            ended = process.ended()
            for text in process.messages():
                self._console.say(process.job.name, text, error=True)
            if ended:
                self._running.remove(process)
                ending = process.ending(stopping)
                self._stopped += process.stopped
                self._end(process.job, ending)

    def _end(self, job: Job, ending: Ending) -> None:
        self._console.ended()
        self._console.say(job.name, _described(ending), error=ending.failed)


def _described(ending: Ending) -> str:
    outcome = ending.outcome
    if outcome is None:
        return ending.note
    score = "not evaluated" if outcome.score is None else f"score {outcome.score:.1f}"
    return f"{score}, {outcome.steps:,} steps in {duration(outcome.seconds)}"


def _preload(values: Values) -> None:
    with suppress(Exception):  # the job itself will say what is wrong
        for group in registry.GROUPS:
            registry.entry(group, values[group]["name"]).load()
        if values["logger"]["tensorboard"]:
            import tensorboard.summary.writer.record_writer  # noqa: F401


def _context() -> BaseContext:
    """Copies of this process, where that is safe; else new ones, which import torch again.

    A copy has the one thread that made it, and whatever another held locked stays so.
    An environment's package (or a GPU's driver) may have started some.
    """
    if sys.platform == "linux" and single_threaded():
        gc.collect()
        gc.freeze()  # what the copies share need not be looked at, and so not copied
        return multiprocessing.get_context("fork")
    logger.info("each job starts a Python of its own: this one has threads, or cannot be copied")
    return multiprocessing.get_context("spawn")
