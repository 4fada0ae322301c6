"""Run folders that a command line names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rltrain.training import run as folders

# Where runs are below a folder: in it, in sweeps of it, in the sweeps of an output folder.
_DEPTHS = ("", "[!.]*/", "[!.]*/[!.]*/", "[!.]*/[!.]*/[!.]*/")


def find_runs(targets: Sequence[str], marks: Sequence[str] = (folders.CONFIG,)) -> list[Path]:
    """Return the folders that have one of the files `marks`, each once.

    A target is a run, `latest`, or a folder that stands for the runs in it; where it has none,
    for those of the nearest level below.

    Raises:
        UserError: a target is neither a run nor a folder of runs.
    """
    found: dict[Path, Path] = {}
    for target in targets:
        here = _nearest(Path(target), marks) or [folders.find(target)[0]]
        found |= {folder.resolve(): folder for folder in here}
    return list(found.values())


def _nearest(target: Path, marks: Sequence[str]) -> list[Path]:
    for depth in _DEPTHS:
        here = {path.parent for mark in marks for path in target.glob(depth + mark)}
        if here:
            return sorted(here)
    return []
