"""Command-line entry point: `rltrain algo=ppo env=CartPole-v1`, and the other commands.

What a command needs is imported when it runs: help, listing, completion and the errors of
a configuration wait for no torch.
"""

from __future__ import annotations

import gc
import logging
import os
import shlex
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from rltrain import __version__
from rltrain.core.errors import FAILED, OK, RltrainError, UserError, did_you_mean
from rltrain.core.modules import reach_working_directory
from rltrain.core.paths import check_lengths
from rltrain.core.startup import startup
from rltrain.training.signals import watch_startup


def main() -> NoReturn:
    """Runs the command line of this process, and ends it with the documented exit code."""
    # NumPy multiplies small matrices here; its threads would only wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    watch_startup()
    startup.begin()
    gc.disable()  # nothing that is imported is garbage; whoever works for long enables it
    arguments = sys.argv[1:]
    _log_to_terminal()
    try:
        code = run(arguments)
    except RltrainError as error:
        text = str(error)
        if isinstance(error, UserError):  # one line, whatever was typed
            text = " ".join(text.splitlines())
        print("\n".join([f"rltrain: {text}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = OK
    except Exception:
        traceback.print_exc()
        code = FAILED
    sys.stdout.flush()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command that the arguments name; return the exit code.

    Raises:
        RltrainError: the command is wrong, or failed.
    """
    commands: dict[str, Callable[[list[str]], int]] = {
        "eval": _eval,
        "record": _record,
        "list": _list,
        "describe": _describe,
        "plot": _plot,
        "table": _table,
    }
    first = arguments[0] if arguments else "help"
    if first == "help" or {"-h", "--help"} & set(arguments):
        return _help([a for a in arguments if a not in ("help", "-h", "--help")])
    if first in ("--version", "version"):
        print(f"rltrain {__version__}")
        return OK
    if first in commands:
        return commands[first](arguments[1:])
    if {"-sc", "--shell-completion"} & set(arguments):
        return _complete(arguments)
    if first == "resume":
        words = [f"resume={(arguments[1:] or ['latest'])[0]}", *arguments[2:]]
        raise UserError(f"Write: {shlex.join(['rltrain', *words])}")
    if any(a.startswith("resume=") for a in arguments):
        return _resume(arguments)
    return _train(arguments)


def _help(words: list[str]) -> int:
    """Print the help of a command, or of all of them."""
    from rltrain import usage

    name = "resume" if any(w.startswith("resume") for w in words) else (words or [""])[0]
    print(usage.COMMANDS.get(name, usage.HELP), end="")
    return OK


def _train(arguments: list[str]) -> int:
    trust = next((a for a in arguments if a.startswith("trust=")), None)
    if trust is not None:
        raise UserError(
            f"{trust} is for runs that exist: eval, record and resume. A new run imports what its"
            " own command names; init_from takes weights alone."
        )
    reach_working_directory(first=True)
    from rltrain import config, corrections
    from rltrain.training import session

    corrections.check_words([], arguments)
    startup.mark("imports")
    composed = config.run_hydra(_jobs(arguments), session.job)
    if composed.sweep is not None:
        from rltrain.reports import sweep

        return sweep.summarize(composed.sweep)
    if composed.values is not None:
        return _summarize(session.start(composed.values))
    return OK


def _jobs(arguments: list[str]) -> list[str]:
    """The arguments with jobs=N, which is short for a key of the launcher, written out."""
    count = next((a for a in arguments if a.startswith("jobs=")), None)
    if count is None:
        return arguments
    launcher = next((a for a in arguments if a.startswith("hydra/launcher=")), "=rltrain")
    if not launcher.endswith("=rltrain"):
        raise UserError(f"{count} is not for {launcher}, which has keys of its own.")
    return [f"hydra.launcher.{a}" if a.startswith("jobs=") else a for a in arguments]


def _resume(arguments: list[str]) -> int:
    from rltrain.settings.schema import convert
    from rltrain.training import run as folders
    from rltrain.training import session

    startup.mark("imports")
    pairs = _pairs(arguments, [])
    output_dir = str(pairs.pop("output_dir", "outputs"))
    folder, file = folders.find(str(pairs.pop("resume")), output_dir)
    trusted = convert(bool, pairs.pop("trust", False), "trust")
    return _summarize(session.resume(folder, file, pairs, trusted))


def _eval(arguments: list[str]) -> int:
    from rltrain.reports import score

    gc.enable()
    target, words = _target(arguments, "eval", score.OPTIONS)
    return score.evaluate(target, _pairs(words, ["eval", target], score.OPTIONS))


def _record(arguments: list[str]) -> int:
    from rltrain.reports import record, score

    gc.enable()
    options = ("dataset", *score.OPTIONS)
    target, words = _target(arguments, "record", options, " dataset=cartpole/expert-v0")
    return record.record(target, _pairs(words, ["record", target], options))


def _target(
    arguments: list[str], command: str, options: tuple[str, ...], more: str = ""
) -> tuple[str, list[str]]:
    """Return the run that a command is for, and the words after it.

    Names of a sweep's jobs have an = in them; what begins with an option is none of these.

    Raises:
        UserError: no run is named.
    """
    first = arguments[0] if arguments else "="
    key = first.partition("=")[0]
    if "=" in first and (not key or key in options or key.startswith("env.")):
        raise UserError(f"Which run? rltrain {command} latest{more}, or a folder: outputs/RUN")
    check_lengths(first, first)
    return first, arguments[1:]


def _list(arguments: list[str]) -> int:
    from rltrain.reports import catalog

    return catalog.show_list(arguments)


def _describe(arguments: list[str]) -> int:
    from rltrain.reports import catalog

    if any("=" in argument for argument in arguments):
        from rltrain import config, corrections
        from rltrain.reports import architecture

        corrections.check_words(["describe"], arguments)
        return architecture.show_networks(config.compose(arguments))
    return catalog.show_description(arguments)


def _complete(arguments: list[str]) -> int:
    from rltrain import completion

    return completion.answer(arguments)


def _plot(arguments: list[str]) -> int:
    from rltrain.reports import curves

    gc.enable()
    targets, options = _targets(arguments, ("out", "column"))
    return curves.plot(targets, options)


def _table(arguments: list[str]) -> int:
    from rltrain.reports import sweep

    targets, options = _targets(arguments, ("sort",))
    return sweep.show_table(targets or ["outputs"], options)


def _targets(arguments: list[str], options: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    """Split arguments into paths, whose names may have an `=`, and options.

    Raises:
        UserError: an argument is neither.
    """
    targets: list[str] = []
    found: dict[str, str] = {}
    for argument in arguments:
        check_lengths(argument, argument)
        name, equals, value = argument.partition("=")
        if name in options and equals:
            found[name] = value
        elif argument.startswith("-"):
            known = " or ".join(f"{option}=VALUE" for option in options)
            raise UserError(f"Unknown option {name}. Options are {known}, without dashes.")
        elif equals and "/" not in name and not Path(argument).exists():
            near = did_you_mean(f"{name}=", [f"{option}=" for option in options])
            raise UserError(f"Unknown option {name}=.{near}")
        else:
            targets.append(argument)
    return targets, found


def _pairs(
    arguments: list[str], command: list[str], options: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return `key=value` arguments by key, values read as in an override.

    `command` has the words before them, and `options` the keys that it takes; none: a run's.

    Raises:
        UserError: an argument has another form.
    """
    from rltrain import corrections, overrides

    corrections.check_words(command, arguments, options)
    pairs = {}
    for argument in arguments:
        key, _, text = argument.lstrip("+").partition("=")
        literal = key in ("resume", "output_dir", "checkpoint", "out", "column", "dataset")
        if literal:  # paths and names stand as they are
            check_lengths(text, argument)
            pairs[key] = os.path.expanduser(text)
        else:
            key, pairs[key] = overrides.read_pair(argument)
    return pairs


def _summarize(outcome: Any) -> int:
    from rltrain.training.console import duration

    folder = str(outcome.folder)
    score = "not evaluated" if outcome.score is None else f"{outcome.score:.1f}"
    early = outcome.reached is not None
    longer = "eval.stop_at=null" if early else f"total_timesteps={2 * outcome.steps}"
    best = "" if outcome.best in (None, outcome.score) else f" (best on the way {outcome.best:.1f})"
    print(
        f"\nscore     {score}{best}\n"
        f"steps     {outcome.steps:,} in {duration(outcome.seconds)}\n"
        f"folder    {folder}\n"
        f"evaluate  {shlex.join(['rltrain', 'eval', folder])}\n"
        f"longer    {shlex.join(['rltrain', f'resume={folder}', longer])}\n"
        f"curves    {shlex.join(['tensorboard', '--logdir', folder])}"
    )
    return OK


def _log_to_terminal() -> None:
    handler = _ToTerminal()
    handler.setFormatter(_Plain())
    logger = logging.getLogger("rltrain")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


class _ToTerminal(logging.StreamHandler[Any]):
    """Writes to what `sys.stderr` is at the time: a live display puts itself in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class _Plain(logging.Formatter):
    """Messages as they are, with a word before those that are more than information."""

    def format(self, record: logging.LogRecord) -> str:
        word = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        return word + record.getMessage()
