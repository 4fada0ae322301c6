"""What of environments is saved, and how a run goes on where that is not all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rltrain.envs import saving, trial
from rltrain.training import session
from tests.conftest import small
from tests.training.test_resume import newest, same

# Its place in the episode is an iterator's.
WALK = """
import gymnasium as gym, numpy as np
class Walk(gym.Env):
    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.rows = iter(self.np_random.normal(size=(30, 2)).astype(np.float32))
        return next(self.rows), {}
    def step(self, action):
        row = next(self.rows, None)
        last = np.zeros(2, np.float32) if row is None else row
        return last, float(action * last[0]), row is None, False, {}
gym.register("Walk-v0", entry_point=Walk)
"""

# What a trial does not see: after 20 steps of training it is a generator.
LATE = WALK.replace("    def reset", "    steps, real = 0, False\n    def reset").replace(
    "        row =",
    "        self.steps += 1\n"
    "        if self.real and self.steps >= 20: self.rows = (row for row in list(self.rows))\n"
    "        row =",
)
LATE = LATE.replace("Walk-v0", "Late-v0").replace(
    "        self.rows = iter",
    "        self.real = self.real if seed is None else seed != 1\n        self.rows = iter",
)


def run(compose: Any, name: str, sampler: str, env: str = "walk:Walk-v0") -> Path:
    command = [o for o in small("ppo") if not o.startswith(("env=", "sampler="))]
    command += [f"env={env}", "total_timesteps=288", f"sampler={sampler}", f"run_name={name}"]
    return session.start(compose(*command)).folder


@pytest.fixture(params=["inline", pytest.param("processes", marks=pytest.mark.slow)])
def sampler(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_place_that_an_iterator_keeps_is_saved(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    (in_tmp / "walk.py").write_text(WALK)
    monkeypatch.syspath_prepend(str(in_tmp))
    whole, other = run(compose, "whole", sampler), run(compose, "other", sampler)
    assert newest(whole).content["sampler"]["verdict"][0] is None
    first = sorted((other / "checkpoints").glob("step_*"))[0]
    monkeypatch.setattr(saving, "try_out", None)  # the verdict is remembered
    session.resume(other, first, {})
    same(whole, other)


def test_what_becomes_impossible_to_save_is_said_and_resumed_exactly(
    compose: Any,
    in_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    sampler: str,
) -> None:
    (in_tmp / "late.py").write_text(LATE)
    monkeypatch.syspath_prepend(str(in_tmp))
    whole = run(compose, "whole", sampler, "late:Late-v0")
    other = run(compose, "other", sampler, "late:Late-v0")
    reason = "Walk.rows is a generator, whose state cannot be read"
    assert f"can no longer be saved exactly ({reason}): from here on" in caplog.text
    files = sorted((other / "checkpoints").glob("step_*"))
    assert len(files) == 3
    for file in (files[1], files[0]):
        session.resume(other, file, {})
        same(whole, other)


def test_a_trial_that_takes_long_is_said(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (in_tmp / "walk.py").write_text(WALK)
    monkeypatch.syspath_prepend(str(in_tmp))
    monkeypatch.setattr(saving, "try_out", lambda *envs: trial.Trial(None, 6, 1, 2.5, True))
    run(compose, "a", "inline")
    assert "was tried for 2.5 s: 6 steps, 1 resets, with random actions" in caplog.text
