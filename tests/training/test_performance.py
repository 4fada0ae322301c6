"""What was chosen for speed is said, with the reason, and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rltrain.training import session
from rltrain.training.run import read_result
from tests.conftest import small


@pytest.mark.parametrize(
    ("overrides", "lines", "choices"),
    [
        (
            [],
            [
                "performance: sampler inline (asked for)",
                "performance: environments batched (the physics of CartPole-v1 is known)",
                "performance: device cpu (auto: ",
                "performance: threads 1 (auto: a network of 4,480 parameters runs fastest",
                "performance: kernels numpy (auto: a network of 4,480 parameters on cpu)",
                "performance: compile off (auto: on a CPU it saves little)",
            ],
            {
                "sampler": "inline",
                "environments": "batched",
                "device": "cpu",
                "threads": 1,
                "kernels": "numpy",
                "compile": "off",
            },
        ),
        (
            ["device=cpu", "compile=off", "kernels=torch", "num_threads=1", "env.batched=false"],
            [
                "performance: sampler inline (asked for)",
                "performance: environments one by one (asked for)",
                "performance: device cpu (asked for)",
                "performance: threads 1 (asked for)",
                "performance: kernels torch (asked for)",
                "performance: compile off (asked for)",
            ],
            {
                "sampler": "inline",
                "environments": "one by one",
                "device": "cpu",
                "threads": 1,
                "kernels": "torch",
                "compile": "off",
            },
        ),
    ],
)
def test_every_choice_of_a_run_is_in_its_log_and_its_result(
    compose: Any, in_tmp: Path, overrides: list[str], lines: list[str], choices: dict[str, Any]
) -> None:
    folder = session.start(compose(*small("ppo", *overrides))).folder
    found = [w for w in (folder / "run.log").read_text().splitlines() if "performance" in w]
    assert len(found) == len(lines)
    assert all(line in text for line, text in zip(lines, found, strict=True))
    assert read_result(folder)["performance"] == choices


def test_environments_whose_physics_is_not_known(compose: Any, in_tmp: Path) -> None:
    folder = session.start(compose(*small("q_learning"))).folder
    text = (folder / "run.log").read_text()
    assert "environments one by one (the physics of FrozenLake-v1 is not known)" in text
    assert "kernels torch (auto: a table on cpu)" in text
