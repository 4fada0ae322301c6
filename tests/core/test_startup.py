from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rltrain.core import startup
from rltrain.core.startup import Startup, process_age


def test_a_process_is_as_old_as_it_has_lived() -> None:
    code = "import time; time.sleep(0.5)\nfrom rltrain.core.startup import process_age\n"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code + "print(process_age())"], capture_output=True, text=True
    )
    assert 0.5 <= float(done.stdout) <= time.monotonic() - began + 0.05, done.stderr


def test_where_the_age_is_not_known_time_begins_now(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert process_age() == 0.0


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [100.0]
    monkeypatch.setattr(startup.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(startup, "process_age", lambda: 2.0)
    return clock


def test_time_between_marks_is_booked_from_the_start_of_the_process(now: Any) -> None:
    marks = Startup()
    marks.begin()
    for seconds, name in ((1.0, "imports"), (0.5, "configuration"), (3.0, "imports")):
        now[0] += seconds
        marks.mark(name)
    assert marks.take() == {"imports": 6.0, "configuration": 0.5}


def test_a_second_job_begins_with_its_first_mark(now: Any) -> None:
    marks = Startup()
    marks.begin()
    marks.mark("imports")
    assert marks.take() == {"imports": 2.0}
    now[0] += 1000.0
    marks.mark("configuration")
    now[0] += 1.0
    marks.mark("networks")
    assert marks.take() == {"networks": 1.0}
