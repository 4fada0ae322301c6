"""The table at the end of a sweep, from folders made up for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rltrain.core.errors import FAILED, OK
from rltrain.reports.sweep import summarize
from rltrain.training.run import write_result


def job(sweep: Path, name: str, **result: Any) -> None:
    (sweep / name).mkdir(parents=True)
    if result:
        write_result(sweep / name, **result)


def finished(sweep: Path, name: str, score: float | None = 1.0, **result: Any) -> None:
    job(
        sweep,
        name,
        **{"state": "finished", "score": score, "steps": 1000, "seconds": 65.2, **result},
    )


def printed(sweep: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, list[list[str]]]:
    """Exit code, everything that was printed, and its lines as words."""
    code = summarize(sweep)
    text = capsys.readouterr().out
    return code, text, [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]


def test_every_job_has_a_row_and_what_jobs_share_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path, "algo=ppo,env=CartPole-v1,seed=0", 495.25, steps=100_000)
    finished(tmp_path, "algo=dqn,env=CartPole-v1,seed=0", -7.0, seconds=3723)
    code, text, rows = printed(tmp_path, capsys)
    assert code == OK
    assert ["algo=ppo", "finished", "495.2", "100,000", "1:05"] in rows
    assert ["algo=dqn", "finished", "-7.0", "1,000", "1:02:03"] in rows
    assert f"2 of 2 jobs finished, in {tmp_path}" in text
    assert "over seeds" not in text
    assert "The same command" not in text


def test_a_single_job_keeps_its_whole_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path, "algo=ppo,seed=0")
    assert ["algo=ppo,seed=0", "finished", "1.0", "1,000", "1:05"] in printed(tmp_path, capsys)[2]


def test_scores_are_gathered_over_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, score in enumerate([-100.0, 2.0, 4.0, 100.0]):
        finished(tmp_path, f"algo=ppo,env=CartPole-v1,seed={seed}", score)
        finished(tmp_path, f"algo=dqn,env=CartPole-v1,seed={seed}", 5.0)
    code, _, rows = printed(tmp_path, capsys)
    assert code == OK
    heading = rows.index(["over seeds", "interquartile mean", "95 % interval", "seeds"])
    found = {row[0]: row[1:] for row in rows[heading + 1 : heading + 3]}
    assert found["algo=dqn"] == ["5.0", "5.0 … 5.0", "4"]
    assert found["algo=ppo"][0] == "3.0"
    assert found["algo=ppo"][2] == "4"


def test_a_sweep_of_seeds_alone_is_one_group(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(3):
        finished(tmp_path, f"algo=ppo,seed={seed}", 2.0)
    assert ["all", "2.0", "2.0 … 2.0", "3"] in printed(tmp_path, capsys)[2]


def test_jobs_without_a_score_are_no_part_of_the_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path, "algo=ppo,seed=0", 2.0)
    finished(tmp_path, "algo=ppo,seed=1", 4.0)
    finished(tmp_path, "algo=ppo,seed=2", None)
    code, _, rows = printed(tmp_path, capsys)
    assert code == OK
    assert ["seed=2", "finished", "1,000", "1:05"] in rows
    mean = next(row for row in rows if row[0] == "all")
    assert mean[1] == "3.0"
    assert mean[3] == "2"


@pytest.mark.parametrize(
    ("result", "state", "reason"),
    [
        ({"state": "failed", "error": "ValueError: no"}, "failed", "ValueError: no"),
        (
            {"state": "interrupted", "error": "Stopped at step 5"},
            "stopped",
            "Stopped at step 5",
        ),
        ({"state": "running"}, "stopped", "not finished"),
        ({}, "not begun", "not finished"),
    ],
)
def test_a_job_that_did_not_finish_makes_the_sweep_fail(
    result: dict[str, str],
    state: str,
    reason: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    finished(tmp_path, "algo=ppo,seed=0")
    job(tmp_path, "algo=ppo,seed=1", **result)
    code, text, rows = printed(tmp_path, capsys)
    assert code == FAILED
    assert ["seed=1", state] in rows
    assert "1 of 2 jobs finished" in text
    assert f"seed=1: {reason}\n" in text
    assert "seed=0:" not in text
    assert "The same command skips what is finished" in text


def test_files_beside_the_jobs_are_no_jobs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path, "algo=ppo,seed=0")
    (tmp_path / "multirun.yaml").write_text("")
    code, text, _ = printed(tmp_path, capsys)
    assert code == OK
    assert "1 of 1 jobs" in text


def test_hidden_folders_are_no_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path, "algo=ppo,seed=0")
    (tmp_path / ".submitit").mkdir()
    assert printed(tmp_path, capsys)[0] == OK


def test_names_with_brackets_are_shown_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path, "x=[bold],seed=0")
    finished(tmp_path, "x=[red],seed=0")
    rows = printed(tmp_path, capsys)[2]
    assert [row[0] for row in rows if row[1:2] == ["finished"]] == ["x=[bold]", "x=[red]"]
