"""Metrics between rows: means, newest values, the window of episodes, full disks."""

from __future__ import annotations

import errno
import logging
import math
from pathlib import Path

import pytest
import torch
from tensorboard.summary.writer.record_writer import RecordWriter

from rltrain.core.state import digest
from rltrain.core.types import Progress
from rltrain.envs.vector import Episode
from rltrain.training.log import WINDOW, Clock, MetricLog
from rltrain.training.tables import CSVTable, TensorBoardTable, read_csv
from tests.files import through_file


@pytest.fixture
def log() -> MetricLog:
    return MetricLog(None, None)


def row_of(log: MetricLog) -> dict[str, float]:
    """A row without its times."""
    row = log.row(Progress(100), Clock())
    return {k: v for k, v in row.items() if not k.startswith("time/")}


def episodes(*returns: float, length: int = 5) -> list[Episode]:
    return [Episode(0, ret, length) for ret in returns]


def test_tensors_are_averaged_between_rows(log: MetricLog) -> None:
    for value in (1.0, 2.0, 6.0):
        log.add({"train/loss": torch.tensor(value)}, [])
    assert row_of(log)["train/loss"] == 3.0
    log.add({"train/loss": torch.tensor(10.0)}, [])
    assert row_of(log)["train/loss"] == 10.0


def test_a_tensor_that_comes_now_and_then_is_averaged_over_its_own_count(log: MetricLog) -> None:
    log.add({"a": torch.tensor(2.0), "b": torch.tensor(4.0)}, [])
    log.add({"a": torch.tensor(4.0)}, [])
    row = row_of(log)
    assert (row["a"], row["b"]) == (3.0, 4.0)


def test_a_tensor_that_did_not_come_has_no_column(log: MetricLog) -> None:
    log.add({"train/loss": torch.tensor(1.0)}, [])
    row_of(log)
    assert "train/loss" not in row_of(log)


def test_tensors_are_kept_without_what_they_were_computed_from(log: MetricLog) -> None:
    loss = torch.tensor(1.0, requires_grad=True) * 2
    log.add({"train/loss": loss}, [])
    assert not log.sums["train/loss"].requires_grad


def test_a_sum_does_not_write_into_the_tensors_it_was_given(log: MetricLog) -> None:
    first = torch.tensor(1.0)
    log.add({"train/loss": first}, [])
    log.add({"train/loss": torch.tensor(5.0)}, [])
    assert first.item() == 1.0


def test_of_plain_numbers_the_newest_is_kept_over_rows(log: MetricLog) -> None:
    for value in (1.0, 2.0, 6.0):
        log.add({"train/learning_rate": value}, [])
    assert row_of(log)["train/learning_rate"] == 6.0
    assert row_of(log)["train/learning_rate"] == 6.0


def test_episodes_are_averaged_over_the_newest_hundred(log: MetricLog) -> None:
    log.add({}, episodes(*[1000.0] * 7, length=900))
    log.add({}, episodes(*range(60), length=2))
    log.add({}, episodes(*range(60, 100), length=12))
    row = row_of(log)
    assert WINDOW == 100
    assert row["rollout/ep_rew_mean"] == 49.5
    assert row["rollout/ep_len_mean"] == (60 * 2 + 40 * 12) / 100
    assert row["rollout/episodes"] == 107


def test_the_window_stays_over_rows(log: MetricLog) -> None:
    log.add({}, episodes(1.0))
    row_of(log)
    log.add({}, episodes(3.0))
    row = row_of(log)
    assert (row["rollout/ep_rew_mean"], row["rollout/episodes"]) == (2.0, 2)


def test_without_an_episode_there_is_no_mean(log: MetricLog) -> None:
    row = row_of(log)
    assert row == {"rollout/episodes": 0, "train/n_updates": 0}


def test_a_row_tells_updates_and_times(log: MetricLog) -> None:
    progress, clock = Progress(100), Clock()
    progress.updates, progress.steps = 17, 90
    clock.seconds |= {"env": 2.0, "learn": 1.0, "eval": 7.0}
    row = log.row(progress, clock)
    assert row["train/n_updates"] == 17
    assert row["time/env_seconds"] == 2.0
    assert row["time/time_elapsed"] == 10.0
    assert row["time/fps"] == 30.0  # evaluation left out


def some_log() -> MetricLog:
    log = MetricLog(None, None)
    log.add({"a": torch.tensor(1.5), "rate": 0.25}, episodes(*range(130)))
    log.add({"a": torch.tensor(2.0)}, [])
    return log


def test_a_log_goes_on_from_its_state() -> None:
    original, resumed = some_log(), MetricLog(None, None)
    resumed.load_state_dict(through_file(original.state_dict()))
    for log in (original, resumed):
        log.add({"a": torch.tensor(4.0)}, episodes(7.0, length=50))
    row = row_of(resumed)
    assert row == row_of(original)
    assert row["a"] == 2.5
    assert row["rollout/episodes"] == 131
    assert digest(resumed.state_dict()) == digest(original.state_dict())


def test_a_state_does_not_change_with_the_log() -> None:
    log = some_log()
    state = log.state_dict()
    before = digest(state)
    log.add({"a": torch.tensor(4.0), "rate": 1.0}, episodes(7.0))
    row_of(log)
    assert digest(state) == before


def test_loading_replaces_the_episodes_that_were_there() -> None:
    original, resumed = MetricLog(None, None), MetricLog(None, None)
    original.add({}, episodes(1.0))
    resumed.add({}, episodes(100.0))
    resumed.load_state_dict(original.state_dict())
    assert row_of(resumed)["rollout/ep_rew_mean"] == 1.0


def test_rows_go_to_both_tables(tmp_path: Path) -> None:
    csv, tensorboard = CSVTable(tmp_path / "a.csv"), Noting()
    MetricLog(csv, tensorboard).write(10, {"a": 1.5})  # type: ignore[arg-type] # looks like one
    assert [row["a"] for row in read_csv(csv.path)] == ["1.5"]
    assert tensorboard.rows == [(10, {"a": 1.5})]


def test_a_row_may_go_to_another_csv(tmp_path: Path) -> None:
    progress, evaluations = CSVTable(tmp_path / "a.csv"), CSVTable(tmp_path / "b.csv")
    tensorboard = Noting()
    log = MetricLog(progress, tensorboard)  # type: ignore[arg-type] # looks like one
    log.write(10, {"eval/mean_reward": 1.5}, evaluations)
    assert not progress.path.exists()
    assert [row["eval/mean_reward"] for row in read_csv(evaluations.path)] == ["1.5"]
    assert len(tensorboard.rows) == 1


def test_what_is_no_number_is_left_out() -> None:
    table = Noting()
    MetricLog(table, None).write(10, {"a": 1.5, "b": math.nan, "c": 0.0})  # type: ignore[arg-type]
    assert table.rows == [(10, {"a": 1.5, "c": 0.0})]


class Noting:
    """A table in memory; the disk is full for as long as `full`."""

    def __init__(self, full: bool = False) -> None:
        self.full = full
        self.rows: list[tuple[int, dict[str, float]]] = []

    def write(self, step: int, row: dict[str, float]) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.rows.append((step, row))


def test_a_full_disk_costs_rows_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    csv, tensorboard = Noting(full=True), Noting()
    log = MetricLog(csv, tensorboard)  # type: ignore[arg-type] # they look like tables
    with caplog.at_level(logging.WARNING, "rltrain"):
        for step in (1, 2, 3):
            log.write(step, {"a": 1.0})
        csv.full = False
        log.write(4, {"a": 1.0})
    assert [step for step, _ in tensorboard.rows] == [1, 2, 3, 4]
    assert [step for step, _ in csv.rows] == [4]
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "No space left on device" in caplog.text


def test_a_full_disk_does_not_make_closing_fail(tmp_path: Path) -> None:
    table = TensorBoardTable(tmp_path)
    table.close()
    table._file = open("/dev/full", "ab")  # noqa: SIM115 # `close` closes it
    table._writer = RecordWriter(table._file)
    log = MetricLog(None, table)
    log.write(1, {"a": 1.0})
    log.close()


def test_a_clock_books_laps_and_their_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("rltrain.training.log.time.perf_counter", lambda: now[0])
    clock = Clock()
    now[0] = 110.0
    clock.lap("other", env=6.0, act=3.0)
    now[0] = 115.0
    clock.lap("learn")
    assert clock.seconds == {"env": 6.0, "act": 3.0, "learn": 5.0, "eval": 0.0, "other": 1.0}
    assert clock.total == 15.0


def test_a_clock_goes_on_over_a_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [5.0]
    monkeypatch.setattr("rltrain.training.log.time.perf_counter", lambda: now[0])
    original = Clock()
    original.seconds["env"] = 1000.0
    now[0] = 70.0  # the time between the two is not the run's
    resumed = Clock()
    resumed.load_state_dict(through_file(original.state_dict()))
    now[0] = 72.0
    resumed.lap("learn")
    assert resumed.seconds["env"] == 1000.0
    assert resumed.total == 1002.0


def test_no_time_gives_no_speed() -> None:
    assert Clock().columns(10)["time/fps"] == 0.0
