"""Starting a run, and going on with one. Torch is imported once training begins."""

from __future__ import annotations

import gc
import logging
import shlex
import shutil
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rltrain.core import lean_torch
from rltrain.core.errors import FAILED, USAGE, CheckpointError, RltrainError, UserError
from rltrain.core.startup import startup
from rltrain.envs import ids
from rltrain.envs.make import check_env
from rltrain.settings import registry
from rltrain.settings.run import RunSettings, build_run
from rltrain.settings.upgrade import upgraded
from rltrain.training import run as folders
from rltrain.training import trust
from rltrain.training.changes import Values, check_changes, check_same, merged
from rltrain.training.run import Run
from rltrain.training.signals import Interrupted, check_startup

logger = logging.getLogger("rltrain")


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `score` is the final policy's, None where evaluation is off.

    `reached` is the mean reward that ended it early, by `eval.stop_at`.
    """

    folder: Path
    steps: int
    seconds: float
    score: float | None
    best: float | None
    reached: float | None


@dataclass(frozen=True)
class Ending:
    """How a job of a sweep ended: its outcome, or a note why there is none."""

    outcome: Outcome | None = None
    note: str = ""
    failed: bool = False


def start(values: Values) -> Outcome:
    """Trains a new run in a folder of its own.

    Raises:
        UserError: the configuration is wrong; no folder is left.
        KeyboardInterrupt: Ctrl-C before training began; no folder is left either.
    """
    settings = _checked(values)
    folder = folders.new_folder(
        settings.output_dir,
        settings.run_name,
        settings.choices.get("algo", settings.algo.name),
        settings.env.id,
        settings.seed,
    )
    try:
        return _train(Run.create(folder, values), settings, values, None)
    except (UserError, KeyboardInterrupt) as error:
        stopped = isinstance(error, KeyboardInterrupt) and (folder / folders.RESULT).exists()
        if not stopped and not any((folder / "checkpoints").glob("*")):  # it never began
            shutil.rmtree(folder)
        raise


def start_in(folder: Path, values: Values) -> Outcome | None:
    """Trains in a given folder, or goes on where an earlier try was stopped.

    None where the run in it is finished already.
    """
    settings = _checked(values)
    filled = ""
    if (folder / folders.CONFIG).exists():
        there = folders.read_config(folder)
        trust.check_within(there, values, folder / folders.CONFIG)
        saved, filled = upgraded(there)
        check_same(saved, values)
    if folders.read_result(folder).get("state") == "finished":
        (folder / folders.ERROR).unlink(missing_ok=True)
        return None
    run = Run.create(folder, values)
    begun = any(run.checkpoints.glob("step_*"))
    return _train(run, settings, values, run.checkpoints if begun else None, filled)


def job(values: Values, folder: Path) -> None:
    """One job of a sweep, in this process.

    Raises:
        SystemExit: a signal asked the sweep to stop.
    """
    print(f"\n{folder.name}", flush=True)
    try:
        ending = attempt(values, folder)
    except Interrupted as error:
        print(f"{error} The same command goes on from there.", file=sys.stderr)
        raise SystemExit(error.exit_code) from error
    if ending.note:
        print(ending.note, file=sys.stderr if ending.failed else sys.stdout, flush=True)


def attempt(values: Values, folder: Path) -> Ending:
    """Trains a job of a sweep; what goes wrong stays in its folder.

    A job that is finished is skipped, one that was stopped or failed goes on.

    Raises:
        Interrupted: a signal asked for it.
    """
    try:
        outcome = start_in(folder, values)
    except folders.InUseError as error:
        return Ending(note=f"skipped: {error}")
    except Interrupted:
        raise
    except Exception as error:
        return failed(
            folder, error.report() if isinstance(error, RltrainError) else traceback.format_exc()
        )
    return Ending(outcome, "" if outcome else "finished earlier")


def failed(folder: Path, text: str) -> Ending:
    """Writes down why a job failed, where its folder can be written."""
    reason = text.strip().splitlines()[-1]
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / folders.ERROR).write_text(text + "\n")
        if folders.read_result(folder).get("state") != "finished":  # else of another command
            folders.write_result(folder, state="failed", error=reason)
    return Ending(note=f"failed: {reason}", failed=True)


def resume(folder: Path, file: Path | None, changes: Values, trusted: bool = False) -> Outcome:
    """Goes on with a run: from `file`, or its newest checkpoint that can be read.

    `changes` is what the command line wants to be different, by dotted key. `trusted` imports
    what the run names though this user did not start it; from then on it is this user's.

    Raises:
        UserError: a change would make it another run, or there is nothing left to do.
    """
    there = folders.read_config(folder)
    trust.check(folder, there, trusted)
    saved, filled = upgraded(there)
    check_changes(saved, changes)
    values = merged(saved, changes)
    settings = _checked(values)
    result = folders.read_result(folder)
    finished = file is None and result.get("state") == "finished" and "steps" in result
    reached, stop_at = result.get("reached"), settings.eval.stop_at
    if finished and reached is not None and stop_at is not None and reached >= stop_at:
        raise UserError(
            f"{folder} is finished: its mean reward of {reached:.1f} reached eval.stop_at="
            f"{stop_at:g} at step {result['steps']}, score {result.get('score')}."
            " To train on: eval.stop_at=null"
        )
    if finished and settings.total_timesteps <= int(result["steps"]):
        raise UserError(
            f"{folder} is finished: {result['steps']} steps, score {result.get('score')}."
            f" To train longer: total_timesteps={2 * int(result['steps'])}"
        )
    run = Run.reopen(folder)
    return _train(run, settings, values, file or run.checkpoints, filled)


def _all_bundled(settings: RunSettings) -> bool:
    """Whether a run is made of rltrain's own pieces and an environment of Gymnasium's.

    Their use of torch is known; what others' code uses is not.
    """
    chosen = ((group, getattr(settings, group).name) for group in registry.GROUPS)
    pieces = all(registry.entry(*choice).bundled for choice in chosen)
    return pieces and not settings.plugins and ids.is_bundled(settings.env.id)


def _checked(values: Values) -> RunSettings:
    """The settings of values.

    Raises:
        UserError: a value is wrong, or the environment and the algorithm do not fit.
    """
    settings = build_run(values)
    check_env(settings)
    return settings


def _train(
    run: Run, settings: RunSettings, values: Values, source: Path | None, filled: str = ""
) -> Outcome:
    """Builds everything, loads `source` (a checkpoint, or a folder of them) and trains.

    `filled` is what `upgraded` did to the folder's configuration, in words.
    """
    startup.mark("configuration")
    lean_torch.import_torch(whole=not _all_bundled(settings))
    from rltrain.training import assemble

    startup.mark("imports")
    parts, standing, began = None, {}, False
    try:
        run.log_to_file()
        if filled:
            logger.info(folders.FILLED, run.folder / folders.CONFIG, filled)
        if settings.tuned:
            logger.info("tuned values of %s are applied (tuned=none: without)", settings.tuned)
        parts = assemble.build(run, settings, values, source)
        if not gc.isenabled():  # the first run of a process: what is there by now stays
            gc.freeze()  # but not what an earlier job of a sweep has left behind
            gc.enable()
        check_startup()
        (run.folder / folders.ERROR).unlink(missing_ok=True)
        standing = {"performance": parts.performance.choices}
        folders.write_result(run.folder, state="running", **standing)
        folders.mark_latest(run.folder, Path(settings.output_dir))
        trainer, began = parts.trainer, True
        trainer.train()
        outcome = Outcome(
            folder=run.folder,
            steps=trainer.progress.steps,
            seconds=round(trainer.clock.total, 3),
            score=trainer.scores.final,
            best=trainer.scores.best,
            reached=trainer.scores.reached,
        )
        fields = {k: v for k, v in vars(outcome).items() if k != "folder"}
        fields["parameters"] = trainer.algorithm.num_parameters
        folders.write_result(run.folder, state="finished", **fields, **standing)
        return outcome
    except CheckpointError:  # nothing began: the folder stays as it was
        raise
    except RltrainError as error:
        if error.exit_code != USAGE:
            state = "failed" if error.exit_code == FAILED else "interrupted"
            report = f"{error.report()}\n" if state == "failed" else ""
            run.note(f"{state}: {error}")
            run.note_ending(report, state=state, error=str(error), **standing)
            if any(run.checkpoints.glob("step_*")):
                error.add_note(f"To go on: rltrain {shlex.quote(f'resume={run.folder}')}")
        raise
    except Exception as error:
        if isinstance(error, OSError) and not began and folders.cannot_write(error):
            where = error.filename or run.folder
            raise UserError(f"{where} cannot be written ({error.strerror}).") from error
        text = f"{type(error).__name__}: {error}"
        run.note_ending(traceback.format_exc(), state="failed", error=text, **standing)
        raise
    finally:
        if parts is not None:
            parts.close()
        run.close()
