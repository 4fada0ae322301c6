"""Faults are injected into whole runs; the rows are those of the fault table."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rltrain import config
from rltrain.algos.descent import descend
from rltrain.core import faults
from rltrain.core.errors import EnvError, TrainingError
from rltrain.core.types import Progress
from rltrain.settings.run import build_run
from rltrain.training import assemble, session
from rltrain.training.build import build_algorithm, build_envs
from rltrain.training.evaluation import Evaluator
from rltrain.training.sampler import InlineSampler
from rltrain.training.signals import Interrupted
from rltrain.training.tables import read_csv
from tests.conftest import small
from tests.processes import COUNT_SIGNALS, HANGS, signals_handled, wait_for
from tests.training.test_resume import newest, same, stop_after

ENV = os.environ | {"OMP_NUM_THREADS": "1"}


def rltrain(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rltrain", *arguments],
        capture_output=True,
        text=True,
        env=ENV | env,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    return session.start(config.compose(small("ppo", f"output_dir={folder}"))).folder


@pytest.mark.parametrize(
    ("point", "survives"),
    [
        ("checkpoint.write:kill:3", 96),  # best, 96, then best or 192: half written
        ("checkpoint.rename:kill:3", 96),
        ("checkpoint.done:kill:2", 96),  # renamed, nothing else done
    ],
)
def test_killed_at_a_checkpoint_loses_at_most_an_interval_and_resumes_exactly(
    whole: Path, in_tmp: Path, point: str, survives: int
) -> None:
    killed = rltrain(*small("ppo"), "run_name=killed", RLTRAIN_FAULT=point)
    assert killed.returncode == -signal.SIGKILL
    folder = in_tmp / "outputs" / "killed"
    assert newest(folder).step == survives
    rows = read_csv(folder / "progress.csv")  # what was logged before the checkpoint is there
    assert float(rows[0]["time/total_timesteps"]) == 48
    session.resume(folder, None, {})  # the lock of the dead process is no obstacle
    same(whole, folder)
    assert not list((folder / "checkpoints").glob(".*.tmp"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_ends_with_the_documented_code(in_tmp: Path, number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "rltrain", *small("ppo"), "total_timesteps=10_000_000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENV,
    )
    wait_for(lambda: list(in_tmp.glob("outputs/*/checkpoints/step_*")))
    process.send_signal(number)
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 128 + number
    (folder,) = [p for p in in_tmp.glob("outputs/*") if p.is_dir()]
    assert f"resume={folder.relative_to(in_tmp)}" in errors
    assert "Traceback" not in errors
    state = newest(folder)
    rows = read_csv(folder / "progress.csv")
    assert float(rows[-1]["time/total_timesteps"]) <= state.step


def test_a_second_signal_during_the_save_changes_nothing(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(60, monkeypatch)
    monkeypatch.setenv("RLTRAIN_FAULT", "checkpoint.write:sigint")
    monkeypatch.setattr(faults, "_passed", {})
    with pytest.raises(Interrupted):
        session.start(compose(*small("ppo"), "run_name=a"))
    assert newest(Path("outputs/a")).step == 60


def test_a_full_disk_at_a_checkpoint_warns_and_the_run_goes_on(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLTRAIN_FAULT", "checkpoint.write:enospc:2")
    monkeypatch.setattr(faults, "_passed", {})
    folder = session.start(compose(*small("q_learning"), "run_name=a")).folder
    assert "could not be written (No space left" in (folder / "run.log").read_text()
    assert newest(folder).step == 192


def parts(compose: Any, algo: str, *overrides: str) -> tuple[Any, InlineSampler, Progress]:
    run = build_run(compose(*small(algo, *overrides)))
    envs = build_envs(run)
    algorithm = build_algorithm(run, envs)
    return algorithm, InlineSampler(envs, algorithm, np.random.default_rng(0)), Progress(1000)


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_a_loss_that_is_no_number_is_not_applied(compose: Any, algo: str) -> None:
    algorithm, sampler, progress = parts(compose, algo)
    sampler.collect(16, progress, lambda: False)
    poison(algorithm)
    before = {k: v.clone() for k, v in networks(algorithm).state_dict().items()}
    with pytest.raises(TrainingError, match=r"train/loss is nan; the update was not applied"):
        algorithm.update(progress)
    after = networks(algorithm).state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


def networks(algorithm: Any) -> torch.nn.Module:
    policy = algorithm.policy
    return policy.networks if hasattr(policy, "networks") else policy.network


def poison(algorithm: Any) -> None:
    """Rewards that are no number, past the vector's own check."""
    memory = algorithm.memory
    rewards = memory.columns["reward"] if hasattr(memory, "columns") else memory.reward
    rewards[:] = np.nan


class InfiniteGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad * float("nan")


def test_a_gradient_that_is_no_number_under_a_finite_loss_is_caught() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    before = [p.clone() for p in module.parameters()]

    def loss_of(x: torch.Tensor) -> tuple[torch.Tensor]:
        return (module[1](InfiniteGradient.apply(module[0](x))).mean(),)

    with pytest.raises(TrainingError, match=r"gradient of 0\.weight is no number"):
        descend(loss_of, (torch.ones(4, 2),), "train/loss", module, optimizer, 0.5)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


NAN_ENV = """
import gymnasium as gym, numpy as np
class Nan(gym.Env):
    observation_space = gym.spaces.Box(-10, 10, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    steps = 0
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}
    def step(self, action):
        self.steps += 1
        bad = self.steps > 45
        obs = np.full(1, np.nan if bad else self.steps % 7, np.float32)
        return obs, 0.0, False, self.steps % 9 == 0, {}
gym.register("Nan-v0", entry_point=Nan)
"""


def test_an_observation_that_is_no_number_reaches_neither_buffer_nor_normaliser(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_tmp / "nan_env.py").write_text(NAN_ENV)
    monkeypatch.syspath_prepend(str(in_tmp))
    overrides = [o for o in small("dqn", "algo.normalize_obs=true") if not o.startswith("env=")]
    values = compose(*overrides, "env=nan_env:Nan-v0", "run_name=a", "checkpoint.every=16")
    built: list[Any] = []
    original = assemble.build
    monkeypatch.setattr(assemble, "build", lambda *args: built.append(original(*args)) or built[0])
    with pytest.raises(EnvError, match=r"Nan-v0 returned an observation that is no number"):
        session.start(values)
    algorithm = built[0].trainer.algorithm
    for column in algorithm.memory.columns.values():
        assert np.isfinite(column).all()
    assert np.isfinite(algorithm.policy.inputs.moments.mean).all()
    result = json.loads(Path("outputs/a/result.json").read_text())
    assert result["state"] == "failed"
    assert newest(Path("outputs/a")).step == 80


def test_a_crash_of_the_environment_keeps_logs_and_checkpoints(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The steps of training are those of a rollout: the ones that are tried before do not count.
    source = NAN_ENV.replace("steps = 0", "steps = total = 0; training = False")
    count = "Nan.total += Nan.training; bad = 1 / 0 if Nan.total > 150 else "
    source = source.replace("bad = ", count).replace("self.steps > 45", "0")
    (in_tmp / "crashing_env.py").write_text(source.replace("Nan-v0", "Crashing-v0"))
    monkeypatch.syspath_prepend(str(in_tmp))
    overrides = [o for o in small("ppo") if not o.startswith("env=")]
    values = compose(*overrides, "env=crashing_env:Crashing-v0", "run_name=a", "eval.every=0")
    collect = InlineSampler.collect

    def begin(*args: Any) -> bool:
        sys.modules["crashing_env"].Nan.training = True  # type: ignore[attr-defined]
        return collect(*args)

    monkeypatch.setattr(InlineSampler, "collect", begin)
    with pytest.raises(EnvError, match="step raised ZeroDivisionError"):
        session.start(values)
    assert "ZeroDivisionError" in Path("outputs/a/error.txt").read_text()
    rows = read_csv(Path("outputs/a/progress.csv"))
    assert [float(r["time/total_timesteps"]) for r in rows] == [48, 96, 144]
    assert newest(Path("outputs/a")).step == 96


def test_a_clock_that_steps_back_changes_no_order(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10**9, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    folder = session.start(compose(*small("q_learning"), "run_name=a")).folder
    steps = [float(r["time/total_timesteps"]) for r in read_csv(folder / "progress.csv")]
    assert steps == sorted(steps)
    assert newest(folder).step == 192
    elapsed = [float(r["time/time_elapsed"]) for r in read_csv(folder / "progress.csv")]
    assert elapsed == sorted(elapsed)


def test_a_users_error_in_mid_training_deletes_nothing(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Evaluator.run

    def refuse(self: Any, policy: Any, purpose: str) -> Any:
        if purpose == "final":
            raise session.UserError("the environment cannot be made any more")
        return original(self, policy, purpose)

    monkeypatch.setattr(Evaluator, "run", refuse)
    with pytest.raises(session.UserError):
        session.start(compose(*small("ppo"), "run_name=a"))
    assert newest(Path("outputs/a")).step == 96


def test_a_last_checkpoint_that_cannot_be_written_is_a_failure(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLTRAIN_FAULT", "checkpoint.write:enospc:1")
    monkeypatch.setattr(faults, "_passed", {})
    with pytest.raises(TrainingError, match="last checkpoint could not be written"):
        session.start(compose(*small("ppo"), "run_name=a", "eval.every=0", "checkpoint.every=0"))
    assert json.loads(Path("outputs/a/result.json").read_text())["state"] == "failed"
    assert "last checkpoint" in Path("outputs/a/error.txt").read_text()


def test_a_reader_that_goes_away_does_not_end_the_run(in_tmp: Path) -> None:
    command = [sys.executable, "-m", "rltrain", *small("ppo"), "logger.console=plain"]
    command += ["run_name=a", "checkpoint.every=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV)
    assert process.stdout is not None
    process.stdout.close()
    process.communicate(timeout=HANGS)
    assert json.loads((in_tmp / "outputs/a/result.json").read_text())["state"] == "finished"


HANGING_ENV = NAN_ENV.replace("bad = ", "bad = 0 if self.steps < 9 else hang(); ").replace(
    "import gymnasium as gym, numpy as np",
    "import time, gymnasium as gym, numpy as np\ndef hang():\n"
    "    open('hangs', 'a').close()\n    time.sleep(999)",
)


def test_a_third_signal_ends_a_step_that_hangs(in_tmp: Path) -> None:
    text = HANGING_ENV.replace("def step", "def snapshot(self): raise OSError\n    def step")
    (in_tmp / "hanging_env.py").write_text(text.replace("Nan-v0", "Hanging-v0"))
    overrides = [o for o in small("ppo", "run_name=a") if not o.startswith("env=")]
    overrides += ["env=hanging_env:Hanging-v0"]
    code = "from rltrain.envs import saving, trial\n"
    code += "saving.try_out = lambda *envs: trial.Trial('it hangs', 0, 0, 0.0, True)\n"
    code += COUNT_SIGNALS + "from rltrain.cli import main\nmain()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *overrides], stderr=subprocess.PIPE, text=True, env=ENV
    )
    wait_for((in_tmp / "hangs").exists)
    for count in (1, 2):
        process.send_signal(signal.SIGINT)
        wait_for(lambda count=count: signals_handled(in_tmp, process.pid) == count)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 130
    assert "once more to give up" in errors
