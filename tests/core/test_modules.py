from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rltrain.core import modules


@pytest.fixture
def no_here(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory that is not on the path."""
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(in_tmp))])
    return in_tmp


def test_the_working_directory_comes_after_what_is_installed(no_here: Path) -> None:
    before = list(sys.path)
    modules.reach_working_directory()
    modules.reach_working_directory()
    assert sys.path == [*before, str(no_here)]


def test_for_training_it_comes_first(no_here: Path) -> None:
    before = list(sys.path)
    modules.reach_working_directory(first=True)
    assert sys.path == [str(no_here), *before]


def test_an_origin_is_found_without_importing(no_here: Path) -> None:
    (no_here / "a_single_file.py").write_text("raise SystemExit\n")
    (no_here / "a_package").mkdir()
    (no_here / "a_package" / "__init__.py").write_text("raise SystemExit\n")
    (no_here / "a_namespace").mkdir()
    alone, package = modules.origin("a_single_file"), modules.origin("a_package")
    namespace = modules.origin("a_namespace")
    assert alone is not None
    assert package is not None
    assert namespace is not None
    assert (alone.file, len(alone.sha256)) == (str(no_here / "a_single_file.py"), 64)
    assert package == (str(no_here / "a_package" / "__init__.py"), "", False)
    assert namespace == (str(no_here / "a_namespace"), "", False)
    assert modules.origin("no_such_module") is None
    assert "a_single_file" not in sys.modules


def test_what_is_installed_says_so() -> None:
    for name in ("numpy", "yaml", "gymnasium"):
        found = modules.origin(name)
        assert found is not None
        assert found.installed, found


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("/a/m.py", "1", False), ("/a/m.py", "2", False), True),  # it was edited
        (("/a/m.py", "1", False), ("/b/m.py", "1", False), True),  # it was moved
        (("/a/m.py", "1", False), ("/b/m.py", "2", False), False),
        (("/a/m/__init__.py", "", False), ("/b/m/__init__.py", "", False), False),
        (("/a/m.py", "1", True), ("/b/m.py", "2", True), True),  # of another environment
        (("/a/m.py", "1", True), ("/b/m.py", "1", False), False),
    ],
)
def test_when_two_origins_are_one_module(
    one: tuple[str, str, bool], other: tuple[str, str, bool], same: bool
) -> None:
    assert modules.Origin(*one).same(modules.Origin(*other)) is same
    assert modules.Origin(*other).same(modules.Origin(*one)) is same
