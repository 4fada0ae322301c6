"""How many jobs run at once, in which order, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rltrain.training import jobs
from rltrain.training.console import SweepConsole
from rltrain.training.job_process import Job
from rltrain.training.run import read_result
from tests.conftest import small

Compose = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("wanted", "devices", "expected"),
    [
        ("auto", ["auto"] * 9, 4),
        ("auto", ["cpu"] * 3, 3),
        ("auto", ["cpu", "cuda:1", "cpu"], 1),
        (2, ["cuda"] * 9, 2),
        (7, ["auto"] * 9, 7),
        (7, ["auto"] * 2, 2),
    ],
)
def test_how_many_jobs_run_at_once(
    wanted: int | str, devices: list[str], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "cores", lambda: 4)
    assert jobs.choose_count(wanted, [{"device": d} for d in devices]) == expected


def test_jobs_that_cannot_begin_come_first(compose: Compose) -> None:
    def job(name: str, **changes: Any) -> Job:
        return Job(compose(*small("ppo")) | changes, Path(name), {})

    wrong_value = job("b", seed=-1)
    no_such_argument = job("d")
    no_such_argument.values["env"]["kwargs"] = {"gravity": 1}
    ordered = jobs.mistaken_first([job("a"), wrong_value, job("c"), no_such_argument, job("e")])
    assert [j.name for j in ordered] == ["b", "d", "a", "c", "e"]


def test_a_process_that_cannot_be_started_is_a_failed_job(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*args: Any) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(jobs, "JobProcess", no_memory)
    jobs.run([Job(compose(*small("ppo")), tmp_path / name, {}) for name in "ab"], 2)
    for name in "ab":
        assert "Cannot allocate memory" in (tmp_path / name / "error.txt").read_text()
        assert read_result(tmp_path / name)["state"] == "failed"


def test_in_a_terminal_the_whole_is_shown_while_jobs_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    console = SweepConsole(3, 8)
    console.say("seed=0", "started")
    console.say("seed=1", "failed: no", error=True)
    console.ended()
    console._drawn = 0
    console.tick(["seed=0", "seed=2"])
    console.close()
    out = capsys.readouterr().out
    assert "seed=0    started" in out
    assert "seed=1    failed: no" in out
    assert "1 of 3 jobs done, 0:00; running: seed=0, seed=2" in out
