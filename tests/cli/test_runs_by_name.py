"""Runs, jobs of sweeps and checkpoints, as commands take what they and others print."""

from __future__ import annotations

import io
import logging
import os
import shlex
import signal
import sys
from pathlib import Path

import pytest

from rltrain import cli
from rltrain.training import signals
from tests.cli.conftest import Run
from tests.conftest import small


def test_a_job_of_a_sweep_is_a_run_like_any_other(run: Run, in_tmp: Path) -> None:
    assert run("-m", "jobs=1", *small("ppo"), "seed=0,1")[0] == 0
    (job,) = in_tmp.glob("outputs/sweeps/*/seed=0")
    name = str(job.relative_to(in_tmp))
    assert run("eval", name, "episodes=1")[0] == 0
    assert run(f"resume={name}", "total_timesteps=240", "logger.every=48")[0] == 0
    code, _, err = run(*small("ppo", f"init_from={name}", "run_name=b"))
    assert (code, "init_from" in err) == (0, True), err
    code, _, err = run("eval", str(Path(name).parent))
    assert (code, f"It has 2 runs in it, as {shlex.quote(name)}." in err) == (2, True)


@pytest.mark.parametrize(
    "name", ["lr=0.1", "my run", "run (1)", "a#1", "ppo:1", "2024", "1e3", "true", "été", "a,b"]
)
def test_names_stand_as_they_are_typed(run: Run, in_tmp: Path, name: str) -> None:
    word = f"run_name={name}" if "," not in name else f'run_name="{name}"'
    code, out, err = run(*small("q_learning"), word)
    assert code == 0, err
    assert (in_tmp / "outputs" / name / "config.yaml").exists()
    words = shlex.split(next(line for line in out.splitlines() if line.startswith("evaluate")))
    assert run(*words[2:], "episodes=1")[0] == 0


def test_a_checkpoint_as_eval_prints_it(run: Run, in_tmp: Path) -> None:
    run(*small("q_learning", "run_name=a"))
    newest = run("eval", "outputs/a", "episodes=1")[1].split(", ")[1].split(" ")[0]
    code, out, _ = run("eval", "outputs/a", f"checkpoint={newest}", "episodes=1")
    assert (code, newest in out) == (0, True)
    code, _, err = run("eval", "outputs/a", "checkpoint=bset", "episodes=1")
    assert (code, "checkpoint=bset: there is none. Did you mean best?" in err) == (2, True)
    code, _, err = run("eval", "outputs/a", "env=FrozenLake8x8-v1")
    assert (code, "with the same spaces: env.id=FrozenLake8x8-v1" in err) == (2, True)


@pytest.mark.parametrize("name", ["alhpa", "outputs/alphs", "alpha"])
def test_the_nearest_run_is_named(run: Run, in_tmp: Path, name: str) -> None:
    (in_tmp / "outputs/alpha one").mkdir(parents=True)
    (in_tmp / "outputs/alpha one/config.yaml").write_text("")
    for command in (["eval", name], [f"resume={name}"]):
        code, _, err = run(*command)
        assert (code, "Did you mean 'outputs/alpha one'?" in err) == (2, True)


def test_ctrl_c_before_training_leaves_nothing(
    run: Run, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rltrain.training import assemble

    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(assemble, "build", interrupted)
    code, out, err = run(*small("q_learning"))
    assert (code, out, "Traceback" in err) == (130, "", False)
    assert not list(in_tmp.rglob("*.yaml"))


def test_ctrl_c_that_python_drops_ends_the_start_up(
    run: Run, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rltrain.training import assemble

    class Dropping:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    build = assemble.build

    def dropping(*arguments: object) -> object:
        monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
        Dropping()
        return build(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(assemble, "build", dropping)
    code, out, _ = run(*small("q_learning"))
    assert (code, out) == (130, "")
    assert not list(in_tmp.rglob("*.yaml"))


def test_ctrl_c_stays_ignored_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        signals.watch_startup()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_terminal_that_cannot_be_redrawn_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    from rltrain.training import console

    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    assert isinstance(console.make_console("auto", ""), console.PlainConsole)


@pytest.mark.parametrize("command", ["eval", "record", "resume", "plot", "table", "list"])
def test_help_of_one_command(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"rltrain {command}" in out
    assert "sweep: every combination" not in out
    assert run("help", command)[1] == out


def test_messages_follow_the_display_that_stands_in_for_stderr(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = logging.getLogger("rltrain").handlers[:]
    try:
        cli._log_to_terminal()
        display = io.StringIO()
        monkeypatch.setattr(sys, "stderr", display)
        logging.getLogger("rltrain").warning("low on memory")
        assert display.getvalue() == "warning: low on memory\n"
    finally:
        logging.getLogger("rltrain").handlers[:] = before
