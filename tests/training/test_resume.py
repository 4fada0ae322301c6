"""A run that is stopped and resumed is, bit for bit, the run that was never stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rltrain.core.state import digest
from rltrain.training import assemble, checkpoint, run, session
from rltrain.training.run import Run
from rltrain.training.signals import Interrupted
from rltrain.training.tables import read_csv
from rltrain.training.trainer import fingerprint
from tests.conftest import ALGOS, REMEMBERING, STEPPING, small, some

# Where the environments' state cannot be saved: nobody can read a generator.
OPAQUE = """
import gymnasium as gym, numpy as np
class Opaque(gym.Env):
    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.rows = (row for row in self.np_random.normal(size=(30, 1)).astype(np.float32))
        return next(self.rows), {}
    def step(self, action):
        row = next(self.rows, None)
        last = np.zeros(1, np.float32) if row is None else row
        return last, float(action), row is None, False, {}
gym.register("Opaque-v0", entry_point=Opaque)
"""


def stop_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the process get SIGTERM once `steps` environment steps (or samples) were taken."""
    originals = {cls: cls.collect for cls in (assemble.InlineSampler, assemble.SampleCounter)}

    def collect(self: Any, horizon: int, progress: Any, stop: Callable[[], bool]) -> bool:
        def stop_or_signal() -> bool:
            if progress.steps >= steps and not stop():
                os.kill(os.getpid(), signal.SIGTERM)
            return stop()

        return originals[type(self)](self, horizon, progress, stop_or_signal)

    for cls in originals:
        monkeypatch.setattr(cls, "collect", collect)


def newest(folder: Path) -> checkpoint.Checkpoint:
    return checkpoint.CheckpointFolder(folder / "checkpoints", 1).load_newest()[0]


def rows_without_time(path: Path) -> list[dict[str, str]]:
    times = ("time/fps", "time/time_elapsed")
    return [
        {k: v for k, v in row.items() if k not in times and not k.endswith("_seconds")}
        for row in read_csv(path)
    ]


def resume_in_new_process(folder: Path, *changes: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rltrain", f"resume={folder}", *changes],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr


def same(a: Path, b: Path) -> None:
    one, other = newest(a), newest(b)
    assert one.step == other.step
    for part in one.content:
        if part not in ("clock", "config", "machine"):
            assert digest(one.content[part]) == digest(other.content[part]), part
    assert fingerprint(one.content) == fingerprint(other.content)
    for name in ("progress.csv", "evaluations.csv"):
        assert rows_without_time(a / name) == rows_without_time(b / name)


@pytest.mark.parametrize("algo", some([*ALGOS, *REMEMBERING]))
def test_two_runs_of_one_seed_are_identical(compose: Any, in_tmp: Path, algo: str) -> None:
    a = session.start(compose(*small(algo), "run_name=a")).folder
    b = session.start(compose(*small(algo), "run_name=b")).folder
    same(a, b)


@pytest.mark.parametrize("algo", some(ALGOS))
def test_seeds_differ(compose: Any, in_tmp: Path, algo: str) -> None:
    a = session.start(compose(*small(algo), "run_name=a")).folder
    b = session.start(compose(*small(algo), "run_name=b", "seed=1")).folder
    assert fingerprint(newest(a).content) != fingerprint(newest(b).content)


@pytest.mark.parametrize("algo", some([*STEPPING, *REMEMBERING]))
def test_stopped_in_mid_rollout_and_resumed_in_a_new_process(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, algo: str
) -> None:
    whole = session.start(compose(*small(algo), "run_name=whole")).folder
    stop_after(110, monkeypatch)  # in mid-episode, and for PPO and DQN in mid-horizon
    with pytest.raises(Interrupted) as stopped:
        session.start(compose(*small(algo), "run_name=stopped"))
    assert stopped.value.exit_code == 128 + signal.SIGTERM
    folder = in_tmp / "outputs" / "stopped"
    state = newest(folder)
    assert 96 < state.step < 120
    assert state.content["sampler"]["envs"]["lengths"].any()
    resume_in_new_process(folder)
    same(in_tmp / whole, folder)


@pytest.mark.parametrize("algo", [*ALGOS, *REMEMBERING])
def test_resumed_from_a_checkpoint_between_updates(compose: Any, in_tmp: Path, algo: str) -> None:
    whole = session.start(compose(*small(algo), "run_name=whole")).folder
    other = session.start(compose(*small(algo), "run_name=other")).folder
    file = sorted((other / "checkpoints").glob("step_*"))[0]
    assert checkpoint.read(file).step < 192
    session.resume(other, file, {})
    same(whole, other)
    assert list((other / "checkpoints").glob("*.superseded"))


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_resumed_where_the_environment_cannot_be_saved(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, algo: str
) -> None:
    (in_tmp / "opaque_env.py").write_text(OPAQUE)
    monkeypatch.syspath_prepend(str(in_tmp))
    overrides = [o for o in small(algo) if not o.startswith("env=")]
    overrides.append("env=opaque_env:Opaque-v0")
    whole = session.start(compose(*overrides, "run_name=whole")).folder
    assert "episodes end at each checkpoint" in (whole / "run.log").read_text()
    other = session.start(compose(*overrides, "run_name=other")).folder
    session.resume(other, sorted((other / "checkpoints").glob("step_*"))[0], {})
    same(whole, other)


def parameters_of(file: checkpoint.Checkpoint) -> str:
    return digest(file.content["policy"])


@pytest.mark.parametrize("algo", ["ppo", "a2c", "reinforce", "pqn", "bc"])
def test_a_run_that_had_ended_learns_on_when_it_is_resumed_for_longer(
    compose: Any, in_tmp: Path, algo: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = session.start(compose(*small(algo), "run_name=a")).folder
    ended = newest(folder)
    shutil.copytree(folder, "kept")
    session.resume(folder, None, {"total_timesteps": 2 * ended.step})
    assert f"schedules: extended from step 192 to {2 * ended.step}" in caplog.text
    later = newest(folder)
    assert later.content["progress"]["schedule_total"] == 2 * ended.step
    rates = [float(r["train/learning_rate"]) for r in read_csv(folder / "progress.csv")]
    first = next(i for i, rate in enumerate(rates) if i and rate > rates[i - 1])
    assert all(rate > 0 for rate in rates[first:])
    session.resume(Path("kept"), None, {"total_timesteps": 2 * ended.step, "schedules": "keep"})
    kept = [float(r["train/learning_rate"]) for r in read_csv(Path("kept") / "progress.csv")]
    assert kept[-1] == 0
    assert parameters_of(later) != parameters_of(ended)


@pytest.mark.parametrize("choice", ["auto", "extend", "keep"])
def test_what_became_of_schedules_is_part_of_the_run(
    compose: Any, in_tmp: Path, choice: str
) -> None:
    folder = session.start(compose(*small("ppo"), "run_name=a")).folder
    session.resume(folder, None, {"total_timesteps": 384, "schedules": choice})
    end = {"auto": 384, "extend": 384, "keep": 192}[choice]
    assert newest(folder).content["progress"]["schedule_total"] == end
    shutil.copytree(folder, "other")
    for step in (288, 192):  # a checkpoint that was resumed for longer, and the one before
        session.resume(Path("other"), Path(f"other/checkpoints/step_{step:012d}.ckpt"), {})
        same(folder, Path("other"))


def test_schedules_of_a_run_that_had_not_ended_stay_as_they_are(
    compose: Any, in_tmp: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = session.start(compose(*small("ppo"), "run_name=a")).folder
    half = sorted((folder / "checkpoints").glob("step_*"))[0]
    session.resume(folder, half, {"total_timesteps": 384})
    assert newest(folder).content["progress"]["schedule_total"] == 192
    assert "schedules: they end at step 192, as before, and the run at 384" in caplog.text


def test_a_longer_run_may_keep_the_schedules_of_the_original_total(
    compose: Any, in_tmp: Path
) -> None:
    overrides = small("dqn", "exploration.fraction=1.0")
    folder = session.start(compose(*overrides, "run_name=a")).folder
    session.resume(folder, None, {"total_timesteps": 384, "schedules": "keep"})
    state = newest(folder)
    assert state.step == 384
    assert state.content["progress"]["schedule_total"] == 192
    rates = [float(r["rollout/exploration_rate"]) for r in read_csv(folder / "progress.csv")]
    assert rates[-1] == 0.05
    assert rates == sorted(rates, reverse=True)


def test_no_step_stands_twice_in_csv_or_tensorboard(compose: Any, in_tmp: Path) -> None:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    folder = session.start(compose(*small("ppo"), "run_name=a")).folder
    session.resume(folder, sorted((folder / "checkpoints").glob("step_*"))[0], {})
    for name in ("progress.csv", "evaluations.csv"):
        steps = [float(r["time/total_timesteps"]) for r in read_csv(folder / name)]
        assert steps == sorted(set(steps))
        assert steps[-1] == 192
    (events,) = folder.glob("events.*")
    points = [
        (value.tag, event.step)
        for event in EventFileLoader(str(events)).Load()
        for value in event.summary.value
    ]
    assert len(points) == len(set(points))
    assert ("rollout/ep_rew_mean", 192) in points


def test_a_finished_run_says_so(compose: Any, in_tmp: Path) -> None:
    folder = session.start(compose(*small("q_learning"), "run_name=a")).folder
    with pytest.raises(session.UserError, match=r"is finished.*total_timesteps="):
        session.resume(folder, None, {})


def test_a_changed_configuration_is_refused_and_shown(compose: Any, in_tmp: Path) -> None:
    folder = session.start(compose(*small("ppo"), "run_name=a")).folder
    before = (folder / "config.yaml").read_text()
    with pytest.raises(session.UserError, match=r"(?s)network.hidden_sizes: \[64, 64\].*\[32\]"):
        session.resume(folder, None, {"network.hidden_sizes": [32], "total_timesteps": 400})
    (folder / "config.yaml").write_text(before.replace("id: CartPole-v1", "id: Acrobot-v1"))
    with pytest.raises(session.UserError, match=r"env.id: 'CartPole-v1'.*'Acrobot-v1'"):
        session.resume(folder, None, {"total_timesteps": 400})


def test_best_is_refused_for_going_on(compose: Any, in_tmp: Path) -> None:
    folder = session.start(compose(*small("ppo"), "run_name=a")).folder
    with pytest.raises(session.UserError, match="holds a policy to act with"):
        session.resume(folder, folder / "checkpoints" / "best.ckpt", {"total_timesteps": 400})


def test_latest_is_the_run_that_was_touched_last(compose: Any, in_tmp: Path) -> None:
    session.start(compose(*small("q_learning"), "run_name=a"))
    session.start(compose(*small("q_learning"), "run_name=b"))
    assert run.find("latest")[0].name == "b"
    session.resume(Path("outputs/a"), None, {"total_timesteps": 300})
    assert run.find("latest")[0].name == "a"


def test_a_run_in_use_is_refused(compose: Any, in_tmp: Path) -> None:
    folder = session.start(compose(*small("q_learning"), "run_name=a")).folder
    held = Run(folder)
    with pytest.raises(session.UserError, match=f"in use by process {os.getpid()}"):
        session.resume(folder, None, {"total_timesteps": 400})
    held.close()


def test_result_says_how_the_run_stands(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(60, monkeypatch)
    with pytest.raises(Interrupted):
        session.start(compose(*small("ppo"), "run_name=a"))
    result = json.loads(Path("outputs/a/result.json").read_text())
    assert result["state"] == "interrupted"


def test_a_job_that_was_killed_before_its_first_checkpoint_starts_over(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = compose(*small("ppo"))
    monkeypatch.setattr(assemble.Trainer, "_stop", lambda self, signum: 1 / 0)
    stop_after(60, monkeypatch)
    with pytest.raises(ZeroDivisionError):
        session.start_in(in_tmp / "job", values)
    assert read_csv(in_tmp / "job/progress.csv")
    monkeypatch.undo()
    session.start_in(in_tmp / "job", values)
    steps = [float(r["time/total_timesteps"]) for r in read_csv(in_tmp / "job/progress.csv")]
    assert steps == [48, 96, 144, 192]
    assert len(list((in_tmp / "job").glob("events.*"))) == 1


RESTLESS = """
import gymnasium as gym, numpy as np
class Restless(gym.Env):
    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    def __init__(self):
        self.bias = np.random.normal()  # of the global generator, once for each made
        self.episodes = 0
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episodes += 1
        self.steps = 0
        return self.observe(), {}
    def step(self, action):
        self.steps += 1
        return self.observe(), self.bias + self.episodes, False, self.steps == 7, {}
    def observe(self):
        return np.random.normal(size=1).astype(np.float32)  # and in every step
gym.register("Restless-v0", entry_point=Restless)
"""


def restless(in_tmp: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> list[str]:
    (in_tmp / "restless_env.py").write_text(RESTLESS)
    monkeypatch.syspath_prepend(str(in_tmp))
    kept = [o for o in small("ppo", *overrides) if not o.startswith("env=")]
    return [*kept, "env=restless_env:Restless-v0"]


def test_what_draws_from_global_generators_is_resumed_and_repeated_exactly(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = restless(in_tmp, monkeypatch)
    whole = session.start(compose(*overrides, "run_name=whole")).folder
    again = session.start(compose(*overrides, "run_name=again")).folder
    same(whole, again)
    session.resume(again, sorted((again / "checkpoints").glob("step_*"))[0], {})
    same(whole, again)


def test_evaluation_leaves_no_trace_in_training(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = []
    for every in (48, 0):
        overrides = restless(in_tmp, monkeypatch, f"eval.every={every}", f"run_name=e{every}")
        folder = session.start(compose(*overrides)).folder
        policies.append(digest(newest(folder).content["policy"]))
    assert policies[0] == policies[1]


def test_a_state_that_cannot_be_put_back_costs_exactness_not_the_run(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = session.start(compose(*small("ppo"), "run_name=a")).folder

    def fail(self: Any, state: Any) -> None:
        raise TypeError("an object that a fresh environment does not have")

    monkeypatch.setattr("rltrain.envs.vector.VectorEnv.load_state_dict", fail)
    session.resume(folder, None, {"total_timesteps": 384})
    assert newest(folder).step == 384
    assert "goes another way" in (folder / "run.log").read_text()


def test_a_total_that_lies_behind_the_checkpoint_changes_nothing(
    compose: Any, in_tmp: Path
) -> None:
    folder = session.start(compose(*small("ppo"), "run_name=a")).folder
    before = {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.suffix}
    file = sorted((folder / "checkpoints").glob("step_*"))[1]
    with pytest.raises(session.UserError, match="is at step 192 already"):
        session.resume(folder, file, {"total_timesteps": 10})
    del before["run.log"]
    after = {p.name: p.read_bytes() for p in folder.rglob("*") if p.name in before}
    assert after == before


def test_another_number_of_threads_is_told(compose: Any, in_tmp: Path) -> None:
    folder = session.start(compose(*small("ppo"), "run_name=a")).folder
    session.resume(folder, None, {"total_timesteps": 384, "num_threads": 2})
    assert "threads 1 then, 2 now" in (folder / "run.log").read_text()


LARGE = [
    "optimizer=muon",
    "optimizer.warmup=0.8",
    "optimizer.accumulation=2",
    "algo.learning_rate_schedule=cosine",
    "precision=bf16",
    "ema=0.9",
]


@pytest.mark.parametrize("algo", some(["ppo", "sac", "iql"]))
def test_resumed_with_all_that_large_networks_need(compose: Any, in_tmp: Path, algo: str) -> None:
    whole = session.start(compose(*small(algo, *LARGE), "run_name=whole")).folder
    other = session.start(compose(*small(algo, *LARGE), "run_name=other")).folder
    file = sorted((other / "checkpoints").glob("step_*"))[0]
    assert checkpoint.read(file).step < 192
    session.resume(other, file, {})
    same(whole, other)
