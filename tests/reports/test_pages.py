from __future__ import annotations

from pathlib import Path

import pytest

from rltrain.reports import pages
from rltrain.settings import registry


def test_every_algorithm_has_a_page_and_every_page_an_algorithm() -> None:
    assert {p.stem for p in pages.FOLDER.glob("*.md")} == set(registry.entries("algo"))


@pytest.mark.parametrize("path", sorted(pages.FOLDER.glob("*.md")), ids=lambda p: p.stem)
def test_the_generated_part_is_that_of_the_code(path: Path) -> None:
    assert path.read_text() == pages.page(path), "run python -m rltrain.reports.pages"


@pytest.mark.parametrize("path", sorted(pages.FOLDER.glob("*.md")), ids=lambda p: p.stem)
def test_the_written_part_says_what_it_must(path: Path) -> None:
    written = path.read_text().partition(pages.MARK)[0]
    for heading in ("## When to choose it", "## Equation", "## Measured"):
        assert heading in written


def test_a_page_without_the_mark_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ppo.md").write_text("# PPO\n")
    with pytest.raises(ValueError, match="has no line"):
        pages.page(tmp_path / "ppo.md")
