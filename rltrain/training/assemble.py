"""Puts a trainer together in a run's folder, from nothing or from a checkpoint."""

from __future__ import annotations

import logging
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rltrain.algos.base import Algorithm
from rltrain.core.errors import StateError, UserError
from rltrain.core.seeding import generator, seed_everything
from rltrain.core.startup import startup
from rltrain.envs.saving import Verdict
from rltrain.settings import registry
from rltrain.settings.run import RunSettings
from rltrain.settings.upgrade import upgraded
from rltrain.training import checkpoint, compiling, footprint, initial, trust
from rltrain.training.build import (
    Spaces,
    build_algorithm,
    build_envs,
    build_evaluator,
    spaces_like,
    spaces_of,
)
from rltrain.training.changes import check_same
from rltrain.training.checkpoint import Checkpoint, CheckpointFolder
from rltrain.training.choices import choose_sampler
from rltrain.training.console import make_console
from rltrain.training.performance import Performance
from rltrain.training.profile import Profile
from rltrain.training.run import Run
from rltrain.training.sampler import InlineSampler, SampleCounter, Sampler
from rltrain.training.tables import CSVTable, TensorBoardTable
from rltrain.training.trainer import Trainer

logger = logging.getLogger("rltrain")


@dataclass(frozen=True)
class Assembly:
    """A trainer, what was chosen for its speed, and what has to be closed after it."""

    trainer: Trainer
    performance: Performance
    profile: Profile | None = None

    def close(self) -> None:
        self.trainer.console.close()
        self.trainer.log.close()
        self.trainer.sampler.close()
        if self.profile is not None:
            self.profile.report()


def build(run: Run, settings: RunSettings, config: dict[str, Any], source: Path | None) -> Assembly:
    """The trainer of a run, at its start or as the checkpoint `source` left it.

    `source` may be a file, or the folder of which the newest readable one is taken. Log
    rows and checkpoints after that step are cut off: the run writes them anew.

    Raises:
        UserError: the checkpoint is of another configuration.
        CheckpointError: there is none that can be read.
    """
    folder = CheckpointFolder(run.checkpoints, settings.checkpoint.keep_last)
    loaded = _load(folder, source, settings, config) if source is not None else None
    seed_everything(settings.seed)  # for what environments draw when they are made
    performance = Performance()
    saved = loaded.content["sampler"].get("verdict") if loaded else None
    known = Verdict(*saved) if saved else None
    algorithm, sampler, spaces = _algorithm_and_sampler(settings, performance, known)
    try:
        footprint.report(settings, algorithm, performance)
        compiling.choose(settings, algorithm, loaded.step if loaded else 0, performance)
        trainer = _trainer(run, settings, config, algorithm, sampler, spaces, folder, loaded)
    except BaseException:
        sampler.close()
        raise
    startup.mark("other")
    began = startup.take()
    profile = None
    if settings.profile:
        kernels = performance.choices["kernels"]
        profile = Profile(trainer, run.folder / "profile", _title(settings), began, kernels)
    return Assembly(trainer, performance, profile)


def _title(settings: RunSettings) -> str:
    algo = settings.choices.get("algo", settings.algo.name)
    return f"{algo} on {settings.env.id}, seed {settings.seed}"


def _algorithm_and_sampler(
    settings: RunSettings, performance: Performance, known: Verdict | None
) -> tuple[Algorithm, Sampler, dict[str, str]]:
    if registry.entry("algo", settings.algo.name).data == "only":
        spaces = spaces_of(settings)
        startup.mark("environments")
        performance.chose("sampler", "none", f"algo={settings.algo.name} learns from its dataset")
        algorithm = build_algorithm(settings, spaces, performance)
        startup.mark("networks")
        return algorithm, SampleCounter(), spaces.described
    workers = choose_sampler(settings, performance)
    if workers:
        from rltrain.training.workers import ProcessSampler

        together = 2 if settings.env.num_envs > workers else 1  # in one process, at least
        first = build_envs(settings, count=together)
        verdict = first.begin(known)
        spaces = spaces_like(first, settings)
        first.close()
        startup.mark("environments")
        algorithm = build_algorithm(settings, spaces, performance)
        startup.mark("networks")
        sampler = ProcessSampler(settings, algorithm, spaces, workers, verdict)
        return algorithm, sampler, spaces.described
    envs = build_envs(settings, performance=performance)
    startup.mark("environments")
    algorithm = build_algorithm(settings, envs, performance)
    startup.mark("networks")
    rng = generator(settings.seed, "acting")
    return algorithm, InlineSampler(envs, algorithm, rng, known), Spaces.of(envs).described


def _trainer(
    run: Run,
    settings: RunSettings,
    config: dict[str, Any],
    algorithm: Algorithm,
    sampler: Sampler,
    spaces: dict[str, str],
    folder: CheckpointFolder,
    loaded: Checkpoint | None,
) -> Trainer:
    if sampler.why_not_saved is not None:
        logger.info(
            "environment state cannot be saved exactly (%s): episodes end at each checkpoint, so"
            " that a run resumed from there goes the same way",
            sampler.why_not_saved,
        )
    counted = isinstance(sampler, SampleCounter)
    stride = algorithm.horizon * (1 if counted else settings.env.num_envs)
    if settings.total_timesteps % stride:
        rounded = -(-settings.total_timesteps // stride) * stride
        unit = "samples are seen" if counted else "steps are collected"
        logger.info("%d %s at a time: %d in all", stride, unit, rounded)
    evaluator = build_evaluator(settings) if settings.eval.every else None
    trainer = Trainer(settings, config, algorithm, sampler, evaluator, folder)
    trainer.spaces = spaces
    up_to = -1  # a run that was killed before its first checkpoint leaves rows too
    if loaded is not None:
        loaded.check_spaces(spaces)
        with loaded.putting_back(spaces):
            trainer.load_state_dict(loaded.content)
            _set_schedules(trainer, loaded, settings)
        up_to = loaded.step
        run.note_resume(config, up_to)
        folder.supersede(up_to)
        logger.info("resumed at step %d from %s", loaded.step, loaded.path)
    elif settings.init_from is not None:
        source = initial.load(settings.init_from, settings.output_dir)
        with source.putting_back():
            trainer.frozen = initial.begin_from(algorithm, source, settings.init_freeze, spaces)
    folder.clean()
    # Only now, when nothing can fail any more, is anything cut off.
    if settings.logger.csv:
        trainer.log.csv = CSVTable(run.folder / "progress.csv", up_to)
    if settings.logger.tensorboard:
        trainer.log.tensorboard = TensorBoardTable(run.folder, up_to)
    trainer.evaluations = CSVTable(run.folder / "evaluations.csv", up_to)
    trainer.console = make_console(settings.logger.console, _title(settings))
    return trainer


def _set_schedules(trainer: Trainer, loaded: Checkpoint, settings: RunSettings) -> None:
    """Extend or keep schedules where the run is resumed for another total than before."""
    before, _ = upgraded(loaded.content["config"])
    total, choice = settings.total_timesteps, settings.schedules
    if (before["total_timesteps"], before["schedules"]) == (total, choice):
        return  # what was decided then is part of the checkpoint
    progress = trainer.progress
    had_ended = loaded.step >= before["total_timesteps"]
    end = progress.schedule_total
    if choice == "extend" or (choice == "auto" and had_ended):
        progress.schedule_total = total
        logger.info("schedules: extended from step %d to %d (schedules=keep: not)", end, total)
    elif end != total:
        logger.info(
            "schedules: they end at step %d, as before, and the run at %d (schedules=extend: both)",
            end,
            total,
        )


def _load(
    folder: CheckpointFolder, source: Path, settings: RunSettings, config: dict[str, Any]
) -> Checkpoint:
    if source.is_dir():
        loaded, warnings = folder.load_newest()
        for warning in warnings:
            logger.warning("%s", warning)
    else:
        loaded = checkpoint.read(source)
    if loaded.kind != "full":
        raise UserError(
            f"{source} holds a policy to act with, not what training goes on from; name the run"
            " folder or one of its step_* checkpoints. To evaluate it:"
            f" {shlex.join(['rltrain', 'eval', str(source)])}"
        )
    with loaded.putting_back():
        for name in ("config", "sampler", "scores"):
            if not isinstance(loaded.content[name], dict):
                raise StateError(f"{name} is not a dictionary.")
        there = loaded.content["config"]
        trust.check_within(there, config, loaded.path)
        check_same(upgraded(there)[0], config)
        reached = loaded.content["scores"]["reached"]
    if settings.total_timesteps <= loaded.step:
        raise UserError(
            f"total_timesteps={settings.total_timesteps}: {loaded.path.name} is at step"
            f" {loaded.step} already."
        )
    stop_at = settings.eval.stop_at
    if source.is_file() and reached is not None and stop_at is not None and reached >= stop_at:
        raise UserError(
            f"eval.stop_at={stop_at:g}: {loaded.path.name} ended the run by it; to train on:"
            " eval.stop_at=null"
        )
    return loaded
