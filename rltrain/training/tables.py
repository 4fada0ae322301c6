"""Rows by step in CSV files and TensorBoard event files that a resumed run continues."""

from __future__ import annotations

import csv
import io
import math
import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STEP = "time/total_timesteps"
Row = Mapping[str, float]
_CHECKED_END = 100_000  # bytes


class CSVTable:
    """A CSV file whose first column is the step; a new column rewrites it."""

    def __init__(self, path: Path, up_to: int | None = None) -> None:
        self.path = path
        self.columns: list[str] = [STEP]
        self._torn = True  # whether the last line may have been cut short
        rows = read_csv(path) if path.exists() else []
        if rows:
            self.columns = list(rows[0])
        if up_to is not None:
            self._rewrite([r for r in rows if float(r[STEP]) <= up_to], self.columns)

    def write(self, step: int, row: Row) -> None:
        new = [name for name in row if name not in self.columns]
        if new or self._torn or not self.path.exists():
            rows = read_csv(self.path) if self.path.exists() else []
            self._rewrite(rows, self.columns + new)
        self._torn = True
        with open(self.path, "a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow({STEP: step, **row})
        self._torn = False

    def _rewrite(self, rows: list[dict[str, str]], columns: list[str]) -> None:
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        with open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(temporary, self.path)
        self.columns = columns


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, without what a kill or a full disk left of others."""
    with open(path, newline="", errors="replace") as file:
        whole, newline, _ = file.read().rpartition("\n")
    try:
        rows = list(csv.DictReader(io.StringIO(whole + newline)))
    except csv.Error:  # no table of ours
        return []
    return [r for r in rows if None not in r and None not in r.values() and _is_number(r)]


def _is_number(row: dict[str, str]) -> bool:
    """Whether a row has a step, and numbers or nothing in all columns."""
    try:
        others = [float(text) for text in row.values() if text]
        return bool(others) and math.isfinite(float(row[STEP]))
    except (KeyError, ValueError):
        return False


class TensorBoardTable:
    """One event file; a row is one record, which is thirty times faster than one a value."""

    def __init__(self, folder: Path, up_to: int | None = None) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        files = sorted(folder.glob("events.out.tfevents.*"))
        path = files[0] if files else folder / f"events.out.tfevents.{int(time.time())}.rltrain"
        if up_to is not None and path.exists():
            cut_events(path, up_to)
        new = not path.exists() or not path.stat().st_size
        self._file = open(path, "ab")  # noqa: SIM115 # closed by `close`
        self._writer = RecordWriter(self._file)
        if new:
            self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def write(self, step: int, row: Row) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in row.items()]
        self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def _write(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def cut_events(path: Path, up_to: int) -> None:
    """Cuts an event file before the first record after step `up_to`, or the first damaged one.

    A kill or a full disk damages the end: the data's checksum, which is slow, is looked at
    there alone, that of the lengths everywhere.
    """
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import masked_crc32c

    raw = path.read_bytes()
    at = 0
    while at + 12 <= len(raw):
        length, length_sum = struct.unpack_from("<QI", raw, at)
        start, end = at + 12, at + 12 + length
        if masked_crc32c(raw[at : at + 8]) != length_sum or end + 4 > len(raw):
            break
        (data_sum,) = struct.unpack_from("<I", raw, end)
        if end > len(raw) - _CHECKED_END and masked_crc32c(raw[start:end]) != data_sum:
            break
        try:
            event = Event.FromString(raw[start:end])
        except DecodeError:
            break
        if event.step > up_to:
            break
        at = end + 4
    with open(path, "r+b") as file:
        file.truncate(at)
