"""Rows by step in CSV and TensorBoard files that a resumed run continues."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from rltrain.training.tables import STEP, CSVTable, TensorBoardTable, cut_events, read_csv


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "progress.csv"


def lines(path: Path) -> list[str]:
    return path.read_bytes().decode().splitlines()


def column(path: Path, name: str) -> list[str]:
    return [row[name] for row in read_csv(path)]


def filled(path: Path, steps: int = 3) -> CSVTable:
    table = CSVTable(path)
    for step in range(1, steps + 1):
        table.write(step, {"a": step + 0.25, "b": step + 0.5})
    return table


def test_the_first_column_is_the_step(path: Path) -> None:
    filled(path, 2)
    assert lines(path) == [f"{STEP},a,b", "1,1.25,1.5", "2,2.25,2.5"]


def test_no_row_makes_no_file(path: Path) -> None:
    CSVTable(path)
    assert not path.exists()


def test_a_new_column_rewrites_the_earlier_rows(path: Path) -> None:
    table = filled(path, 2)
    table.write(3, {"c": 7.0, "a": 3.25})
    table.write(4, {"b": 4.5, "c": 8.0})
    assert lines(path) == [
        f"{STEP},a,b,c",
        "1,1.25,1.5,",
        "2,2.25,2.5,",
        "3,3.25,,7.0",
        "4,,4.5,8.0",
    ]


def test_an_open_table_keeps_the_columns_that_are_there(path: Path) -> None:
    filled(path, 2)
    CSVTable(path, 2).write(3, {"b": 3.5})
    assert lines(path) == [f"{STEP},a,b", "1,1.25,1.5", "2,2.25,2.5", "3,,3.5"]


@pytest.mark.parametrize(
    ("up_to", "left"), [(-1, []), (0, []), (1, ["1"]), (2, ["1", "2"]), (9, ["1", "2", "3"])]
)
def test_rows_after_the_step_are_cut_off_and_written_once_more(
    path: Path, up_to: int, left: list[str]
) -> None:
    filled(path)
    table = CSVTable(path, up_to)
    assert column(path, STEP) == left
    table.write(10, {"a": 1.0, "b": 2.0})
    assert column(path, STEP) == [*left, "10"]
    assert lines(path)[0] == f"{STEP},a,b"


def test_steps_are_compared_as_numbers(path: Path) -> None:
    table = CSVTable(path)
    for step in (900, 1000, 20000):
        table.write(step, {"a": 1.0})
    CSVTable(path, 1000)
    assert column(path, STEP) == ["900", "1000"]


def test_without_a_step_nothing_is_cut(path: Path) -> None:
    filled(path)
    CSVTable(path).write(4, {"a": 4.25})
    assert column(path, STEP) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("cut", ["3", "3,", "3,3.2", "3,3.25"])
def test_a_last_line_that_a_kill_cut_short_is_left_out(path: Path, cut: str) -> None:
    filled(path, 2)
    with open(path, "a") as file:
        file.write(cut)
    assert column(path, STEP) == ["1", "2"]
    table = CSVTable(path, 5)
    table.write(6, {"a": 6.25, "b": 6.5})
    assert lines(path) == [f"{STEP},a,b", "1,1.25,1.5", "2,2.25,2.5", "6,6.25,6.5"]


def test_a_line_that_is_no_row_is_left_out(path: Path) -> None:
    filled(path, 2)
    with open(path, "a") as file:
        file.write("\0\0\0,1,2\n4,4.25,4.5,9,9\n")
    assert column(path, STEP) == ["1", "2"]


def test_a_last_line_that_was_cut_inside_its_last_number_is_left_out(path: Path) -> None:
    filled(path, 2)
    with open(path, "a") as file:
        file.write("3,3.25,3")  # of 3.5
    assert column(path, STEP) == ["1", "2"]


def test_a_row_after_a_line_that_was_cut_short_is_kept(path: Path) -> None:
    filled(path, 2)
    with open(path, "a") as file:
        file.write("3,3.2")
    CSVTable(path).write(4, {"a": 4.25, "b": 4.5})
    assert "4" in column(path, STEP)


def refuse(*args: Any, **kwargs: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_new_column_that_could_not_be_written_is_written_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = filled(path, 2)
    with monkeypatch.context() as patched:
        patched.setattr("os.replace", refuse)
        with pytest.raises(OSError, match="No space"):
            table.write(3, {"a": 3.25, "b": 3.5, "c": 3.75})
    table.write(4, {"a": 4.25, "b": 4.5, "c": 4.75})
    assert column(path, STEP) == ["1", "2", "4"]
    assert column(path, "c") == ["", "", "4.75"]


def test_a_rewrite_that_fails_leaves_the_rows_that_were_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = filled(path, 2)
    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="No space"):
        table.write(3, {"c": 1.0})
    assert lines(path) == [f"{STEP},a,b", "1,1.25,1.5", "2,2.25,2.5"]


def test_nothing_but_the_table_stays_in_the_folder(path: Path) -> None:
    filled(path)
    CSVTable(path, 2).write(3, {"new": 1.0})
    assert [p.name for p in path.parent.iterdir()] == ["progress.csv"]


def event_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def steps_in(folder: Path) -> list[int]:
    """Steps that TensorBoard's own loader finds, without the file's first record."""
    events = list(EventFileLoader(str(event_file(folder))).Load())
    assert events[0].file_version == "brain.Event:2"
    return [event.step for event in events[1:]]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard would show."""
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return {
        tag: [(e.step, e.value) for e in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """A folder with an event file of the steps 10, 20 and 30."""
    folder = tmp_path / "tensorboard"
    table = TensorBoardTable(folder)
    for step in (10, 20, 30):
        table.write(step, {"train/loss": step + 0.5, "rollout/episodes": step})
    table.close()
    return folder


def test_tensorboard_reads_what_was_written(events: Path) -> None:
    assert steps_in(events) == [10, 20, 30]
    assert scalars(events) == {
        "train/loss": [(10, 10.5), (20, 20.5), (30, 30.5)],
        "rollout/episodes": [(10, 10.0), (20, 20.0), (30, 30.0)],
    }


def test_tensorboard_reads_a_row_before_the_file_is_closed(tmp_path: Path) -> None:
    table = TensorBoardTable(tmp_path / "tensorboard")
    table.write(1, {"a": 1.5})
    assert scalars(tmp_path / "tensorboard") == {"a": [(1, 1.5)]}
    table.close()


@pytest.mark.parametrize(
    ("up_to", "left"), [(0, []), (10, [10]), (29, [10, 20]), (30, [10, 20, 30])]
)
def test_events_after_the_step_are_cut_off(events: Path, up_to: int, left: list[int]) -> None:
    cut_events(event_file(events), up_to)
    assert steps_in(events) == left


def test_a_resumed_run_goes_on_in_the_same_file_without_doubles(events: Path) -> None:
    table = TensorBoardTable(events, up_to=20)
    table.write(30, {"train/loss": 99.5})
    table.write(40, {"train/loss": 40.5})
    table.close()
    assert steps_in(events) == [10, 20, 30, 40]
    assert scalars(events)["train/loss"] == [(10, 10.5), (20, 20.5), (30, 99.5), (40, 40.5)]


def test_a_run_that_begins_anew_leaves_nothing_of_the_file(events: Path) -> None:
    table = TensorBoardTable(events, up_to=-1)
    table.write(10, {"train/loss": 99.5})
    table.close()
    assert steps_in(events) == [10]
    assert scalars(events) == {"train/loss": [(10, 99.5)]}


def test_without_a_step_events_are_appended(events: Path) -> None:
    table = TensorBoardTable(events)
    table.write(40, {"train/loss": 40.5})
    table.close()
    assert steps_in(events) == [10, 20, 30, 40]


def flipped(raw: bytes, at: int) -> bytes:
    changed = bytearray(raw)
    changed[at] ^= 0xFF
    return bytes(changed)


@pytest.mark.parametrize("cut", [1, 4, 20])
def test_a_record_that_a_kill_cut_short_is_removed(events: Path, cut: int) -> None:
    path = event_file(events)
    path.write_bytes(path.read_bytes()[:-cut])
    table = TensorBoardTable(events, up_to=30)
    table.write(40, {"train/loss": 40.5})
    table.close()
    assert steps_in(events) == [10, 20, 40]


def test_half_a_header_is_removed(events: Path) -> None:
    path = event_file(events)
    path.write_bytes(path.read_bytes() + b"\x20\x00\x00")
    table = TensorBoardTable(events, up_to=30)
    table.write(40, {"train/loss": 40.5})
    table.close()
    assert steps_in(events) == [10, 20, 30, 40]


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (lambda raw: raw + bytes(64), [10, 20, 30]),
        (lambda raw: flipped(raw, -1), [10, 20]),
        (lambda raw: flipped(raw, -10), [10, 20]),
    ],
    ids=["zeros after a power cut", "wrong checksum", "wrong byte"],
)
def test_a_damaged_tail_is_removed(
    events: Path, damage: Callable[[bytes], bytes], left: list[int]
) -> None:
    path = event_file(events)
    path.write_bytes(damage(path.read_bytes()))
    table = TensorBoardTable(events, up_to=30)
    table.write(40, {"train/loss": 40.5})
    table.close()
    assert steps_in(events) == [*left, 40]
