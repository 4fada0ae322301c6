"""A part of `python -m tests.fuzz`: its seed is another one than the command's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import Maker, fault

ROOT = Path(__file__).parents[2]


def test_lines_are_those_of_the_seed() -> None:
    first, second, other = (Maker(seed) for seed in (3, 3, 4))
    lines = [first.line() for _ in range(50)]
    assert lines == [second.line() for _ in range(50)]
    assert lines != [other.line() for _ in range(50)]
    assert len({tuple(line) for line in lines}) > 40


@pytest.mark.parametrize(
    ("ending", "wrong"),
    [
        ((2, "", "rltrain: x.\n", []), None),
        ((0, "", "", ["outputs/a"]), None),
        ((1, "0 of 2 jobs finished", "", ["outputs/a"]), None),
        ((1, "", "rltrain: x.\n", []), "exit code 1"),
        ((None, "", "", []), "hangs for more than 30 seconds"),
        ((2, "", "rltrain: x\ny\n", []), "not one line: 'rltrain: x\\ny\\n'"),
        ((2, "", "rltrain: write ++x\n", []), "advises a ++ that was not typed"),
        ((2, "", "rltrain: x\n", ["outputs"]), "leaves outputs"),
        ((1, "", "Traceback (most recent\n  a\nValueError: b\n", []), "traceback: ValueError: b"),
    ],
)
def test_what_breaks_the_rule(ending: tuple[int, str, str, list[str]], wrong: str | None) -> None:
    assert fault(["x"], *ending) == wrong


@pytest.mark.slow
def test_no_line_breaks_the_rule() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--lines", "100", "--seed", "100"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
