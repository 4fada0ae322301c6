"""The suite depends on nothing outside itself: threads, markers, and what CI runs."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.kernels import core, environment
from tests.learning import over_seeds

ROOT = Path(__file__).parents[1]
ALL_TESTS = 'pytest -m "slow or not slow"'


def test_torch_has_as_many_threads_as_the_environment_says() -> None:
    assert torch.get_num_threads() == int(os.environ["OMP_NUM_THREADS"])


def test_a_test_process_has_one_thread_without_a_variable_being_set() -> None:
    unset = {name: value for name, value in os.environ.items() if "_NUM_THREADS" not in name}
    code = """
import tests, numpy as np
np.ones((512, 512)) @ np.ones((512, 512))
print(next(l.split()[1] for l in open("/proc/self/status") if l.startswith("Threads:")))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=unset, capture_output=True, text=True
    )
    assert done.stdout.strip() == "1", done.stderr


@pytest.mark.parametrize("file", ["README.md", ".ci/run"])
def test_ci_runs_the_slow_tests_and_the_readme_says_how(file: str) -> None:
    if not (ROOT / file).exists():
        pytest.skip(f"{file} is not part of the source distribution")
    assert ALL_TESTS in (ROOT / file).read_text()


def test_a_test_of_learning_passes_with_its_first_seed_or_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.learning.SEEDS", (0, 1, 2))
    tried: list[int] = []

    def outcome(*passing: int) -> bool:
        def test(seed: int, other: str) -> None:
            tried.append(seed)
            assert seed in passing, other

        tried.clear()
        try:
            over_seeds(test)(other="a fixture")
        except AssertionError:
            return False
        return True

    assert outcome(0)
    assert tried == [0]
    with pytest.warns(UserWarning, match="seed 0 fails"):
        assert outcome(1, 2)
    assert tried == [0, 1, 2]
    with pytest.warns(UserWarning, match="seed 0 fails"):
        assert not outcome(2)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="kernels of x86-64 are named")
def test_a_kernel_is_chosen_by_its_variables() -> None:
    assert core(environment("Nehalem", 1)) == "Nehalem"  # every x86-64 processor has it
    assert environment("Nehalem", 2)["OMP_NUM_THREADS"] == "2"
