"""The table at the end of a sweep, from folders made up for it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from rltrain.core.errors import FAILED, OK, UserError
from rltrain.reports.sweep import show_table, summarize
from rltrain.training.run import write_config, write_result


def job(sweep: Path, name: str, **result: Any) -> None:
    (sweep / name).mkdir(parents=True, exist_ok=True)
    if result:
        write_result(sweep / name, **result)


def finished(sweep: Path, name: str, score: float | None = 1.0, **result: Any) -> None:
    """A job that ended, whose configuration is what its name says."""
    said = dict(word.split("=", 1) for word in name.split(","))
    algo, env = said.pop("algo", "ppo"), said.pop("env", "CartPole-v1")
    values = {key.removeprefix("algo."): value for key, value in said.items() if "algo." in key}
    rest = {key: value for key, value in said.items() if "algo." not in key}
    (sweep / name).mkdir(parents=True, exist_ok=True)
    config = {"algo": {"name": algo, **values}, "env": {"id": env}, "plugins": ["none"], **rest}
    write_config(sweep / name, config)
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
    assert found["dqn"] == ["5.0", "5.0 … 5.0", "4"]
    assert found["ppo"][0] == "3.0"
    assert found["ppo"][2] == "4"


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


def test_jobs_are_one_group_only_where_nothing_but_the_seed_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever their names: those of long command lines are cut."""
    for i, (rate, seed) in enumerate([(0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)]):
        finished(tmp_path, f"algo.learning_rate={rate},seed={seed}", 10.0 * i)
        (tmp_path / f"algo.learning_rate={rate},seed={seed}").rename(tmp_path / f"cut-{i}")
    _, _, rows = printed(tmp_path, capsys)
    found = {row[0]: row[1] for row in rows if row[-1] == "2"}
    assert found == {"learning_rate=0.1": "5.0", "learning_rate=0.2": "25.0"}


def test_numbers_are_sorted_by_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (10, 2, 1):
        finished(tmp_path, f"algo.learning_rate=1e-3,seed={seed}")
        finished(tmp_path, f"algo.learning_rate=0.0002,seed={seed}")
    rows = printed(tmp_path, capsys)[2]
    names = [row[0] for row in rows if row[1:2] == ["finished"]]
    assert names == [
        f"algo.learning_rate={rate},seed={seed}"
        for rate in ("0.0002", "1e-3")
        for seed in (1, 2, 10)
    ]


def test_a_comma_inside_of_a_value_parts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job(tmp_path, "network.hidden_sizes=-64,64-,seed=0", state="running")
    job(tmp_path, "network.hidden_sizes=-64,64-,seed=1", state="running")
    job(tmp_path, "network.hidden_sizes=-64-,seed=1", state="running")
    rows = printed(tmp_path, capsys)[2]
    assert ["network.hidden_sizes=-64,64-,seed=0", "stopped"] in rows


def lines(text: str, start: str) -> list[str]:
    return [
        line.removeprefix(start).strip() for line in text.splitlines() if line.startswith(start)
    ]


def test_the_best_is_that_of_the_best_mean_over_seeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for rate, scores in {"0.1": [9.0, 0.0], "0.2": [6.0, 5.0]}.items():
        for seed, score in enumerate(scores):
            finished(tmp_path, f"algo.learning_rate={rate},seed={seed}", score)
    text = printed(tmp_path, capsys)[1]
    assert lines(text, "best") == ["learning_rate=0.2: 5.5 over 2 seeds"]
    (command,) = lines(text, "evaluate")
    assert shlex.split(command)[-1] == str(tmp_path / "algo.learning_rate=0.2,seed=0")


def test_without_seeds_the_best_is_a_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path, "algo.gamma=0.5", 2.0)
    finished(tmp_path, "algo.gamma=0.6", 7.0)
    finished(tmp_path, "algo.gamma=0.7", float("nan"))
    assert lines(printed(tmp_path, capsys)[1], "best") == ["algo.gamma=0.6: 7.0"]


def test_equal_scores_are_said_to_be_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for gamma in (0.5, 0.6, 0.7):
        finished(tmp_path, f"algo.gamma={gamma}", 500.0)
    assert lines(printed(tmp_path, capsys)[1], "best") == ["algo.gamma=0.5: 500.0, as 2 others"]


def test_scores_of_several_environments_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for env, scores in {"CartPole-v1": [9.0, 500.0], "Acrobot-v1": [-90.0, -70.0]}.items():
        for algo, score in zip(["ppo", "dqn"], scores, strict=True):
            finished(tmp_path, f"algo={algo},env={env}", score)
    found = lines(printed(tmp_path, capsys)[1], "best")
    assert found == ["algo=dqn,env=Acrobot-v1: -70.0", "algo=dqn,env=CartPole-v1: 500.0"]


def first_column(text: str) -> list[str]:
    rows = (line.split("  ") for line in text.splitlines())
    return [row[0] for row in rows if "=" in row[0]]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("job", ["algo.gamma=0.5", "algo.gamma=0.6", "algo.gamma=0.7"]),
        ("score", ["algo.gamma=0.6", "algo.gamma=0.7", "algo.gamma=0.5"]),
        ("steps", ["algo.gamma=0.7", "algo.gamma=0.6", "algo.gamma=0.5"]),
        ("time", ["algo.gamma=0.5", "algo.gamma=0.7", "algo.gamma=0.6"]),
        ("algo.gamma", ["algo.gamma=0.5", "algo.gamma=0.6", "algo.gamma=0.7"]),
        ("gamma", ["algo.gamma=0.5", "algo.gamma=0.6", "algo.gamma=0.7"]),
    ],
)
def test_a_finished_sweep_is_shown_again_sorted(
    sort: str, order: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path, "algo.gamma=0.5", None, steps=30, seconds=1)
    finished(tmp_path, "algo.gamma=0.6", 7.0, steps=20, seconds=3)
    finished(tmp_path, "algo.gamma=0.7", -7.0, steps=10, seconds=2)
    assert show_table([str(tmp_path)], {"sort": sort}) == OK
    assert first_column(capsys.readouterr().out) == order


def test_an_unknown_key_to_sort_by_names_the_nearest(tmp_path: Path) -> None:
    finished(tmp_path, "algo.gamma=0.5")
    with pytest.raises(UserError, match=r"sort=gama: .* Did you mean gamma"):
        show_table([str(tmp_path)], {"sort": "gama"})


def test_a_table_of_a_job_that_never_began_has_its_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path, "algo=ppo,seed=0")
    job(tmp_path, "algo=ppo,seed=1")
    (tmp_path / "algo=ppo,seed=1" / "error.txt").write_text("it does not fit\n")
    show_table([str(tmp_path)], {})
    assert "seed=1    failed" in capsys.readouterr().out


def test_what_to_do_next_is_quoted_for_a_shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my runs"
    finished(folder, "algo=ppo,seed=0")
    text = printed(folder, capsys)[1]
    assert lines(text, "table") == [f"rltrain table '{folder}' sort=score"]
    assert lines(text, "curves") == [f"rltrain plot '{folder}'"]


def test_long_names_are_folded_in_a_terminal_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "algo.learning_rate=0.12345678901234567,env.kwargs.gravity=9.8123456789012345"
    job(tmp_path, f"{name},seed=0", state="running")
    job(tmp_path, f"{name}1,seed=1", state="running")
    assert f"{name.partition(',')[2]},seed=0   stopped" in printed(tmp_path, capsys)[1]
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed(tmp_path, capsys)[1])
    table = text.split(" jobs finished")[0].splitlines()
    assert max(map(len, table)) <= 60
    assert sum("stopped" in line for line in table) == 2
