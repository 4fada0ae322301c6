"""The kill benchmark: phases by what a run left, and a run that is killed twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import kills


@pytest.mark.parametrize(
    ("before", "after", "phase"),
    [
        ({}, {}, "start-up"),
        ({"result.json": 1}, {"result.json": 1}, "start-up"),
        ({"result.json": 1, ".a.tmp": 1}, {"result.json": 1, ".a.tmp": 1}, "start-up"),
        ({"result.json": 1}, {"result.json": 2}, "training"),
        ({".a.tmp": 1}, {"result.json": 2}, "training"),
        ({"result.json": 1}, {"result.json": 2, ".a.tmp": 2}, "saving"),
    ],
)
def test_a_phase_is_told_by_what_changed(
    before: dict[str, int], after: dict[str, int], phase: str
) -> None:
    assert kills._phase(before, after) == phase


@pytest.mark.slow
def test_a_run_that_is_killed_twice_ends_as_one_that_was_left_alone(tmp_path: Path) -> None:
    family = kills.Family(("algo=ppo", "env=CartPole-v1", *kills._ROLLOUTS), 512, 20_480)
    trial = kills.try_run(family, "inline", 2, 0, tmp_path)
    assert not trial.differs
    assert trial.lost <= family.every


@pytest.mark.slow
def test_a_run_of_another_seed_differs(tmp_path: Path) -> None:
    ends = []
    for seed in (0, 1):
        words = ["algo=ppo", "env=CartPole-v1", "total_timesteps=256", f"seed={seed}"]
        assert not kills._attempt(tmp_path, [*words, f"run_name={seed}"], None)
        ends.append(tmp_path / "outputs" / str(seed))
    assert kills.difference(*ends)
    assert not kills.difference(ends[0], ends[0])
