"""The door: `rltrain algo=ppo env=CartPole-v1`, and the commands beside it.

What a command needs is imported when it runs: help, listing, completion and the errors of
a configuration wait for no torch.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from rltrain import __version__
from rltrain.core.errors import FAILED, OK, RltrainError, UserError, did_you_mean
from rltrain.core.modules import reach_working_directory
from rltrain.core.startup import startup

HELP = """\
Train reinforcement-learning agents from one line.

  rltrain algo=ppo env=CartPole-v1                  train; the run goes to outputs/
  rltrain algo=dqn env=CartPole-v1 seed=3           with another algorithm and seed
  rltrain algo=ppo env=Pendulum-v1 algo.gamma=0.95 env.kwargs.g=9.81 total_timesteps=1e5
  rltrain -m algo=ppo,dqn env=CartPole-v1 seed=0,1,2    a sweep: every combination is a job
  rltrain -m algo=ppo env=CartPole-v1 seed=0,1,2 jobs=2     two at a time (auto: one a core)

  rltrain resume=latest                             go on where a run was stopped
  rltrain resume=outputs/RUN total_timesteps=2e5    train a run for longer
  rltrain eval latest episodes=100                  play with what was learned
  rltrain eval outputs/RUN checkpoint=best seed=7 env.kwargs.g=5

  rltrain record latest dataset=cartpole/expert-v0 episodes=100    its episodes, as data

  rltrain plot outputs/RUN out=curves.png           learning curves as a picture
  rltrain table outputs/sweeps/SWEEP sort=score     how runs stand, the best first

  rltrain list algos|envs|networks|explorations|tuned …     what there is
  rltrain describe ppo                              every key: type, range, default, meaning
  rltrain describe algo=ppo env=CartPole-v1         the network that is built, with its sizes
  rltrain algo=ppo env=CartPole-v1 --cfg job        the composed configuration, not run

Any environment that Gymnasium can make is a choice of env: CartPole-v1, ALE/Pong-v5, or
my_package:MyEnv-v0 for one of your own. Values tuned for a pair of algorithm and
environment are applied and announced; tuned=none switches them off. A folder configs/
where you are, or --config-dir, adds choices of your own to every group.

Completion: eval "$(rltrain -sc install=bash)"    (or zsh, fish)
Exit codes: 0 done, 1 failed, 2 a mistake in the command, 128+n stopped by signal n.
"""


def main() -> NoReturn:
    """Runs the command line of this process, and ends it with the documented exit code."""
    # NumPy multiplies small matrices here; its threads would only wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    startup.begin()
    gc.disable()  # nothing that is imported is garbage; whoever works for long enables it
    arguments = sys.argv[1:]
    _log_to_terminal()
    try:
        code = run(arguments)
    except RltrainError as error:
        print("\n".join([f"rltrain: {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
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
    """Does what the arguments ask for; returns the exit code."""
    commands: dict[str, Callable[[list[str]], int]] = {
        "eval": _eval,
        "record": _record,
        "list": _list,
        "describe": _describe,
        "plot": _plot,
        "table": _table,
    }
    if not arguments or arguments[0] == "help" or {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return OK
    if arguments[0] in ("--version", "version"):
        print(f"rltrain {__version__}")
        return OK
    if arguments[0] in commands:
        return commands[arguments[0]](arguments[1:])
    if "-sc" in arguments and _complete_command():
        return OK
    if arguments[0] == "resume":
        raise UserError(f"Write resume={' '.join(arguments[1:2]) or 'latest'}, with =.")
    if arguments[0].isalpha():
        raise UserError(
            f"{arguments[0]!r} is no command.{did_you_mean(arguments[0], [*commands, 'help'])}"
            " Training takes key=value: rltrain algo=ppo env=CartPole-v1"
        )
    if any(a.startswith("resume=") for a in arguments):
        return _resume(arguments)
    return _train(arguments)


def _train(arguments: list[str]) -> int:
    trust = next((a for a in arguments if a.startswith("trust=")), None)
    if trust is not None:
        raise UserError(
            f"{trust} is for runs that exist: eval, record and resume. A new run imports what its"
            " own command names; init_from takes weights alone."
        )
    reach_working_directory(first=True)
    from rltrain import config
    from rltrain.training import session

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
    pairs = _pairs(arguments)
    output_dir = str(pairs.pop("output_dir", "outputs"))
    folder, file = folders.find(str(pairs.pop("resume")), output_dir)
    trusted = convert(bool, pairs.pop("trust", False), "trust")
    return _summarize(session.resume(folder, file, pairs, trusted))


def _eval(arguments: list[str]) -> int:
    from rltrain.reports import score

    gc.enable()
    if not arguments or "=" in arguments[0]:
        raise UserError("Say which run: rltrain eval outputs/RUN, or rltrain eval latest")
    return score.evaluate(arguments[0], _pairs(arguments[1:]))


def _record(arguments: list[str]) -> int:
    from rltrain.reports import record

    gc.enable()
    if not arguments or "=" in arguments[0]:
        raise UserError("Say which run: rltrain record latest dataset=cartpole/expert-v0")
    return record.record(arguments[0], _pairs(arguments[1:]))


def _list(arguments: list[str]) -> int:
    from rltrain.reports import catalog

    return catalog.show_list(arguments)


def _describe(arguments: list[str]) -> int:
    from rltrain.reports import catalog

    if any("=" in argument for argument in arguments):
        from rltrain import config
        from rltrain.reports import architecture

        return architecture.show_networks(config.compose(arguments))
    return catalog.show_description(arguments)


def _complete_command() -> bool:
    """Completes the commands of ours, which Hydra does not know; whether there was one."""
    line = os.environ.get("COMP_LINE", "").split(" ")[1:]
    if not line or line[0] not in ("eval", "record", "list", "describe", "plot", "table"):
        return False
    from rltrain.reports import catalog

    print(" ".join(catalog.completions(line)))
    return True


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
        name, equals, value = argument.partition("=")
        if name in options and equals:
            found[name] = value
        elif equals and "/" not in name and not Path(argument).exists():
            known = [f"{option}=" for option in options]
            raise UserError(f"Unknown option {name}=.{did_you_mean(f'{name}=', known)}")
        else:
            targets.append(argument)
    return targets, found


def _pairs(arguments: list[str]) -> dict[str, Any]:
    """key=value arguments by key, values read as in an override."""
    from rltrain import config

    pairs = {}
    for argument in arguments:
        key, equals, text = argument.lstrip("+").partition("=")
        if not equals:
            raise UserError(f"{argument!r} is not of the form key=value.")
        literal = key in (
            "resume",
            "output_dir",
            "checkpoint",
            "out",
            "column",
            "dataset",
        )  # paths stand as they are
        pairs[key] = text if literal else config.parse_value(text)
    return pairs


def _summarize(outcome: Any) -> int:
    from rltrain.training.console import duration

    folder = outcome.folder
    score = "not evaluated" if outcome.score is None else f"{outcome.score:.1f}"
    early = outcome.reached is not None
    longer = "eval.stop_at=null" if early else f"total_timesteps={2 * outcome.steps}"
    best = "" if outcome.best in (None, outcome.score) else f" (best on the way {outcome.best:.1f})"
    print(
        f"\nscore     {score}{best}\n"
        f"steps     {outcome.steps:,} in {duration(outcome.seconds)}\n"
        f"folder    {folder}\n"
        f"evaluate  rltrain eval {folder}\n"
        f"longer    rltrain resume={folder} {longer}\n"
        f"curves    tensorboard --logdir {folder}"
    )
    return OK


def _log_to_terminal() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Plain())
    logger = logging.getLogger("rltrain")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


class _Plain(logging.Formatter):
    """Messages as they are, with a word before those that are more than information."""

    def format(self, record: logging.LogRecord) -> str:
        word = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        return word + record.getMessage()
