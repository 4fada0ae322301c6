"""Worker processes give the numbers of the inline sampler, resume, and never outlive a run."""

from __future__ import annotations

import errno
import itertools
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from rltrain.core import processes
from rltrain.core.errors import EnvError, UserError
from rltrain.core.state import digest
from rltrain.settings.run import build_run
from rltrain.training import assemble, checkpoint, session
from rltrain.training.arena import shares
from rltrain.training.choices import WORTH_WORKERS, choose_sampler, time_step
from rltrain.training.performance import Performance
from rltrain.training.signals import Interrupted
from rltrain.training.tables import read_csv
from rltrain.training.workers import ProcessSampler
from tests.conftest import REMEMBERING, STEPPING, small, some
from tests.processes import HANGS, wait_for
from tests.training.test_faults import NAN_ENV
from tests.training.test_resume import OPAQUE, newest, rows_without_time

PROCESSES = ("sampler=processes", "num_workers=2")


def overrides(algo: str, *more: str) -> list[str]:
    """A small run of workers; three environments, so that shares differ in size."""
    return [*small(algo, "env.num_envs=3", *PROCESSES, "total_timesteps=240"), *more]


def same(a: Path, b: Path) -> None:
    """Every bit is the same, less the global generators of the workers."""
    one, other = newest(a).content, newest(b).content
    for part in one:
        if part in ("clock", "config", "machine"):
            continue
        x, y = one[part], other[part]
        if part == "sampler":
            x, y = ({k: v for k, v in s.items() if k != "random"} for s in (x, y))
            assert x.keys() == y.keys()
            assert all(digest(x[k]) == digest(y[k]) for k in x), part
        assert digest(x) == digest(y), part
    for name in ("progress.csv", "evaluations.csv"):
        assert rows_without_time(a / name) == rows_without_time(b / name)


def choose(values: dict[str, Any]) -> int:
    return choose_sampler(build_run(values), Performance())


def test_shares_are_even_and_in_order() -> None:
    assert [(s.first, s.count) for s in shares(7, 3)] == [(0, 2), (2, 2), (4, 3)]


def test_a_share_of_several_agents_is_whole_environments() -> None:
    found = [(s.first, s.count, s.rows, s.envs, s.total_rows) for s in shares(3, 2, 4)]
    assert found == [(0, 1, slice(0, 4), slice(0, 1), 12), (1, 2, slice(4, 12), slice(1, 3), 12)]


def test_agents_that_share_a_learner_too(compose: Any, in_tmp: Path) -> None:
    more = ("algo.share_parameters=true", "algo.agent_id=true", "algo.normalize_obs=true")
    a = session.start(compose(*overrides("iql", *more), "run_name=a", "sampler=inline")).folder
    b = session.start(compose(*overrides("iql", *more), "run_name=b")).folder
    same(a, b)


@pytest.mark.parametrize("algo", some([*STEPPING, *REMEMBERING]))
def test_the_numbers_are_those_of_inline(compose: Any, in_tmp: Path, algo: str) -> None:
    a = session.start(compose(*overrides(algo), "run_name=a", "sampler=inline")).folder
    b = session.start(compose(*overrides(algo), "run_name=b")).folder
    same(a, b)
    assert newest(b).content["sampler"]["envs"]["lengths"].any()  # saved in mid-episode


def test_continuous_actions_and_normalisers_too(compose: Any, in_tmp: Path) -> None:
    more = ("algo.normalize_obs=true", "algo.normalize_reward=true", "env=Pendulum-v1")
    a = session.start(compose(*overrides("ppo", *more), "run_name=a", "sampler=inline")).folder
    b = session.start(compose(*overrides("ppo", *more), "run_name=b")).folder
    same(a, b)


@pytest.mark.parametrize("algo", some(["ppo", "a2c", "reinforce", "trpo"]))
@pytest.mark.parametrize("kind", ["MultiDiscrete", "MultiBinary"])
def test_actions_of_several_components_too(
    compose: Any, in_tmp: Path, algo: str, kind: str
) -> None:
    env = "env=rltrain.envs.probes:rltrain/ObservedAction-v0"
    more = (env, f"env.kwargs.actions={kind}", "total_timesteps=96", "eval.every=0")
    a = session.start(compose(*overrides(algo, *more), "run_name=a", "sampler=inline")).folder
    b = session.start(compose(*overrides(algo, *more), "run_name=b")).folder
    same(a, b)


def stop_at(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM comes in mid-horizon, once `steps` steps were taken before it."""
    original = ProcessSampler.collect

    def collect(self: Any, horizon: int, progress: Any, stop: Callable[[], bool]) -> bool:
        def stop_or_signal() -> bool:
            if progress.steps >= steps and not stop():
                os.kill(os.getpid(), signal.SIGTERM)
            return stop()

        return original(self, horizon, progress, stop_or_signal)

    monkeypatch.setattr(ProcessSampler, "collect", collect)


SLOW = """
import time, gymnasium as gym
from gymnasium.envs.classic_control import CartPoleEnv
class Slow(CartPoleEnv):
    def step(self, action):
        time.sleep(.01)
        return super().step(action)
gym.register("Slow-v0", entry_point=Slow, max_episode_steps=500)
"""


def slow(*more: str) -> list[str]:
    return [*overrides("ppo", "env=slow_env:Slow-v0", "eval.every=0", *more)]


@pytest.fixture
def slow_env(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (in_tmp / "slow_env.py").write_text(SLOW)
    monkeypatch.syspath_prepend(str(in_tmp))
    return in_tmp


def test_stopped_in_mid_rollout_and_resumed_under_either_sampler(
    compose: Any, slow_env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = session.start(compose(*slow("run_name=whole"))).folder
    with monkeypatch.context() as patch:
        stop_at(96, patch)
        for name in ("workers", "inline"):
            with pytest.raises(Interrupted):
                session.start(compose(*slow(f"run_name={name}")))
            state = newest(slow_env / "outputs" / name)
            assert 96 <= state.step < 144
            assert state.content["sampler"]["collected"] * 3 == state.step - 96
    session.resume(Path("outputs/workers"), None, {})
    session.resume(Path("outputs/inline"), None, {"sampler": "inline"})
    same(whole, Path("outputs/workers"))
    same(whole, Path("outputs/inline"))


@pytest.mark.parametrize("algo", some([*STEPPING, *REMEMBERING]))
def test_resumed_from_a_checkpoint(compose: Any, in_tmp: Path, algo: str) -> None:
    whole = session.start(compose(*overrides(algo), "run_name=whole")).folder
    other = session.start(compose(*overrides(algo), "run_name=other")).folder
    file = sorted((other / "checkpoints").glob("step_*"))[0]
    assert checkpoint.read(file).step < 240
    session.resume(other, file, {})
    same(whole, other)


def test_where_the_environment_cannot_be_saved(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_tmp / "opaque_env.py").write_text(OPAQUE)
    monkeypatch.syspath_prepend(str(in_tmp))
    command = overrides("ppo", "env=opaque_env:Opaque-v0")
    a = session.start(compose(*command, "run_name=a", "sampler=inline")).folder
    b = session.start(compose(*command, "run_name=b")).folder
    same(a, b)
    session.resume(b, sorted((b / "checkpoints").glob("step_*"))[0], {})
    same(a, b)


GLOBAL = """
import gymnasium as gym, numpy as np
class Global(gym.Env):
    observation_space = gym.spaces.Box(-9, 9, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    steps = 0
    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return self.observation_space.low * 0, {}
    def step(self, action):
        self.steps += 1
        return np.random.uniform(-1, 1, 1).astype(np.float32), 1.0, self.steps > 7, False, {}
gym.register("Global-v0", entry_point=Global)
"""


def test_chance_of_the_global_generators_is_resumed_in_each_worker(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_tmp / "global_env.py").write_text(GLOBAL)
    monkeypatch.syspath_prepend(str(in_tmp))
    command = overrides("ppo", "env=global_env:Global-v0", "eval.every=0")
    a = session.start(compose(*command, "run_name=a")).folder
    random = newest(a).content["sampler"]["random"]
    assert digest(random[0]) != digest(random[1])
    b = session.start(compose(*command, "run_name=b")).folder
    session.resume(b, sorted((b / "checkpoints").glob("step_*"))[0], {})
    same(a, b)
    assert digest(random) == digest(newest(b).content["sampler"]["random"])
    auto = build_run(compose(*command, "sampler=auto"))
    assert choose_sampler(auto, Performance()) == 0  # inline alone has one stream for all of them


def test_auto_weighs_a_step_against_handing_it_over(
    compose: Any, slow_env: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rltrain.training.choices.cores", lambda: 2)
    # Three environments on two workers save one step of three.
    measured = {"Slow-v0": WORTH_WORKERS * 1.01, "Pendulum-v1": WORTH_WORKERS * 0.99}
    monkeypatch.setattr(
        "rltrain.training.choices.time_step",
        lambda env: (measured[env.unwrapped.spec.id], False),  # CartPole-v1 is not measured
    )
    auto = ("sampler=auto", "num_workers=auto")
    with caplog.at_level("INFO", "rltrain"):
        assert choose(compose(*slow(*auto))) == 2
        assert choose(compose(*overrides("ppo", *auto))) == 0
        assert choose(compose(*overrides("ppo", *auto, "env=Pendulum-v1"))) == 0
        assert choose(compose(*overrides("ppo", *auto, "env.num_envs=1"))) == 0
    texts = [r.message for r in caplog.records if r.message.startswith("performance: sampler")]
    µs = {name: f"{seconds * 1e6:,.0f} µs" for name, seconds in measured.items()}
    assert texts == [
        f"performance: sampler 2 processes (auto: 3 environments, {µs['Slow-v0']} a step)",
        "performance: sampler inline (auto: they are stepped at once)",
        f"performance: sampler inline (auto: 3 environments, {µs['Pendulum-v1']} a step)",
        "performance: sampler inline (auto: one environment)",
    ]
    monkeypatch.setattr("rltrain.training.choices.cores", lambda: 1)
    assert choose(compose(*slow(*auto))) == 0


def test_a_step_is_timed_by_the_median_and_leaves_the_global_generators(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env, now = gym.make("Pendulum-v1"), [0.0]
    durations = iter([0.04, 0.01, 0.03, 0.02, 0.09])

    def step(action: Any) -> Any:
        now[0] += next(durations)
        np.random.random()
        return np.zeros(3, np.float32), 0.0, False, False, {}

    monkeypatch.setattr(env, "step", step)
    monkeypatch.setattr("rltrain.training.choices.time.perf_counter", lambda: now[0])
    before = np.random.get_state()[2]
    seconds, draws = time_step(env)  # until a tenth of a second has passed
    assert (round(seconds, 9), draws) == (0.025, True)
    assert np.random.get_state()[2] == before


def test_more_workers_than_environments(compose: Any) -> None:
    with pytest.raises(UserError, match=r"num_workers=4: env\.num_envs=3"):
        choose(compose(*overrides("ppo", "num_workers=4")))


def test_a_mistake_of_the_environment_reads_as_inline(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_tmp / "nan_env.py").write_text(NAN_ENV)
    monkeypatch.syspath_prepend(str(in_tmp))
    command = overrides("ppo", "env=nan_env:Nan-v0", "algo.n_steps=64")
    with pytest.raises(EnvError, match=r"no number.*\(environment [012], after step"):
        session.start(compose(*command))


@pytest.mark.parametrize("sampler", ["inline", "processes"])
def test_a_crash_of_the_environment_is_one_line_and_its_folder_says_where(
    sampler: str,
    compose: Any,
    in_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = NAN_ENV.replace("bad = ", "bad = 1 / (45 - self.steps) and ")
    (in_tmp / "zero_env.py").write_text(source.replace("Nan-v0", "Zero-v0"))
    monkeypatch.syspath_prepend(str(in_tmp))
    command = overrides("ppo", "env=zero_env:Zero-v0", "algo.n_steps=64", f"sampler={sampler}")
    said = r"^Zero-v0: step raised ZeroDivisionError: division by zero \(environment \d, step 9 of"
    with pytest.raises(EnvError, match=said) as caught:
        session.start(compose(*command))
    assert "\n" not in str(caught.value)
    report = next(in_tmp.glob("outputs/*/error.txt")).read_text()
    assert re.search(r'zero_env\.py", line \d+, in step', report)
    assert report.splitlines()[-1] == str(caught.value)


@pytest.mark.parametrize(
    ("name", "call", "number"),
    [("Pipe", 2, errno.EMFILE), ("Process", 2, errno.EMFILE), ("RawArray", 3, errno.ENOSPC)],
)
def test_workers_that_cannot_be_started_are_one_line_and_leave_none_running(
    name: str, call: int, number: int, compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too few open files, or no room for shared memory, as the system says them."""
    context = processes.context()
    real, calls = getattr(context, name), itertools.count(1)

    def failing(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            raise OSError(number, os.strerror(number))
        return real(*args, **kwargs)

    monkeypatch.setattr(context, name, failing, raising=False)
    monkeypatch.setattr(processes, "context", lambda: context)
    with pytest.raises(UserError, match=rf"^sampler=processes: .*{os.strerror(number)}") as caught:
        session.start(compose(*overrides("ppo", "num_workers=3", "eval.every=0")))
    assert "\n" not in str(caught.value)
    assert not multiprocessing.active_children()


def children(parent: int) -> list[int]:
    """Processes whose parent is `parent`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def process(slow_env: Path) -> Any:
    """A long run of two workers, in mid-rollout."""
    command = [sys.executable, "-m", "rltrain", *slow("run_name=a", "total_timesteps=1000000")]
    process = subprocess.Popen(
        [*command, "checkpoint.every=48"], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    rows = slow_env / "outputs/a/progress.csv"
    wait_for(lambda: rows.exists() and len(read_csv(rows)) > 2)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_dead_worker_is_noticed_and_the_run_resumes(process: Any, slow_env: Path) -> None:
    workers = children(process.pid)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 1
    assert "worker process" in errors
    assert "was killed by SIGKILL, perhaps for want of memory" in errors
    assert "To go on: rltrain resume=outputs/a" in errors
    assert not alive(workers[0])
    at = newest(slow_env / "outputs/a").step
    session.resume(Path("outputs/a"), None, {"total_timesteps": at + 96})


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_worker_outlives_its_parent(process: Any) -> None:
    workers = children(process.pid)
    assert len(workers) == 2
    process.kill()
    wait_for(lambda: not any(map(alive, workers)))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ctrl_c_to_the_whole_group_saves_and_ends_everything(process: Any, slow_env: Path) -> None:
    workers = children(process.pid)
    for pid in (*workers, process.pid):
        os.kill(pid, signal.SIGINT)
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 130
    assert "everything is saved" in errors
    assert not any(map(alive, workers))


def test_an_environment_that_cannot_begin(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = NAN_ENV.replace("return np.zeros(1, np.float32)", "return np.zeros(2, np.float32)")
    (in_tmp / "wrong_env.py").write_text(source.replace("Nan-v0", "Wrong-v0"))
    monkeypatch.syspath_prepend(str(in_tmp))
    with pytest.raises(EnvError, match=r"declares observations .* but returned"):
        session.start(compose(*overrides("ppo", "env=wrong_env:Wrong-v0")))
    assert not [p for p in multiprocessing.active_children() if p.name.startswith("rltrain")]


def test_a_run_that_cannot_be_built_leaves_no_worker(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[ProcessSampler] = []
    original = ProcessSampler.__init__

    def remember(self: Any, *args: Any) -> None:
        started.append(self)
        original(self, *args)

    monkeypatch.setattr(ProcessSampler, "__init__", remember)

    def refuse(*args: Any) -> None:
        raise UserError("no evaluator")

    monkeypatch.setattr(assemble, "build_evaluator", refuse)
    with pytest.raises(UserError, match="no evaluator"):
        session.start(compose(*overrides("ppo")))
    assert started
    assert not any(p.is_alive() for p in started[0]._processes)


def test_threads_that_the_parent_computed_with_are_not_waited_for(
    compose: Any, in_tmp: Path
) -> None:
    """A forked process has none of them: building a large network there would never end."""
    torch.set_num_threads(2)
    try:
        torch.linalg.qr(torch.randn(3136, 512))
        large = ["network.hidden_sizes=[1024,512]", "kernels=torch", "algo.n_epochs=1"]
        session.start(compose(*overrides("ppo", *large, "total_timesteps=48")))
    finally:
        torch.set_num_threads(1)
