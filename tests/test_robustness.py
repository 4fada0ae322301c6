"""The fault table of docs/robustness.md has forty rows, each with tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import rltrain

ROOT = Path(rltrain.__file__).parents[1]
PAGE = ROOT / "docs" / "robustness.md"
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="docs/ is not part of the wheel")


def rows() -> dict[int, list[str]]:
    """Return the cells of each row of the fault table by its number."""
    text = PAGE.read_text() if PAGE.exists() else ""
    lines = re.findall(r"^\| (\d+) \|(.*)\|$", text, re.MULTILINE)
    return {int(number): [cell.strip() for cell in cells.split(" | ")] for number, cells in lines}


@cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_there_are_forty_rows() -> None:
    assert list(rows()) == list(range(1, 41))


@pytest.mark.parametrize("number", range(1, 41))
def test_a_row_says_what_happens_and_names_tests_that_exist(number: int) -> None:
    fault, behaviour, tests = rows()[number]
    assert fault
    assert behaviour
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", tests)
    assert named
    for path, name in named:
        assert name in functions_of(path), f"{path} has no {name}"
