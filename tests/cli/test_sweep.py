"""Sweeps of jobs at once, as whole commands: they end as their user expects, whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rltrain.training.run import read_result
from rltrain.training.tables import read_csv
from tests.conftest import slow, small
from tests.processes import COUNT_SIGNALS, HANGS, signals_handled, wait_for

ENV = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
LONG = "total_timesteps=10_000_000"
SECONDS = ["total_timesteps=24_000", "checkpoint.every=2400", "logger.every=960", "eval.every=0"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "rltrain", "-m", "jobs=2", *arguments]


def sweep(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, env=ENV | env)


def begin(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENV,
        start_new_session=True,
    )


def job_folders(base: Path) -> list[Path]:
    return sorted(p for p in base.glob("outputs/sweeps/*/*") if p.is_dir())


def wait_for_training(process: subprocess.Popen[str], base: Path, count: int = 2) -> None:
    """Until so many jobs have a checkpoint."""

    def begun() -> bool:
        assert process.poll() is None, process.communicate()
        found = base.glob("outputs/sweeps/*/*/checkpoints/step_*")
        return len({path.parent for path in found}) >= count

    wait_for(begun)


def owner(folder: Path) -> int:
    return int((folder / "lock").read_text())


def alive(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def rows(folder: Path) -> list[dict[str, str]]:
    """What was logged, without what time says."""
    return [
        {k: v for k, v in row.items() if not k.startswith("time/") or "timesteps" in k}
        for row in read_csv(folder / "progress.csv")
    ]


@pytest.mark.slow
def test_jobs_at_once_are_what_each_is_alone(in_tmp: Path) -> None:
    done = sweep(*small("ppo"), "seed=0,1,2")
    assert done.returncode == 0, done.stderr
    assert "jobs: 3 in all, 2 at a time (asked for)" in done.stderr
    for seed in range(3):
        assert f"seed={seed}  started\n" in done.stdout
        assert f"seed={seed}  score " in done.stdout
    assert "192 / 192 steps" not in done.stdout
    assert "3 of 3 jobs finished" in done.stdout
    for folder in job_folders(in_tmp):
        alone = [sys.executable, "-m", "rltrain", *small("ppo"), folder.name]
        name = folder.name.replace("=", "")
        subprocess.run([*alone, f"run_name={name}"], check=True, capture_output=True)
        same = in_tmp / "outputs" / name
        assert rows(folder) == rows(same)
        assert read_csv(folder / "evaluations.csv") == read_csv(same / "evaluations.csv")
        assert (folder / "config.yaml").read_text().replace("run_name: null", "") == (
            (same / "config.yaml").read_text().replace(f"run_name: {name}", "")
        )
    again = sweep(*small("ppo"), "seed=0,1,2")
    assert (again.returncode, again.stdout.count("finished earlier")) == (0, 3)


def test_what_a_job_prints_is_in_its_folder(in_tmp: Path) -> None:
    said = "import os; print('SET is', os.environ.get('SET')); Hanging.total += 1"
    text = HANGING.replace("Hanging.total += 1", said).replace("> 600", "> 10**9")
    (in_tmp / "talking.py").write_text(text.replace("Hanging-v0", "Talking-v0"))
    overrides = [o for o in small("ppo", "logger.console=plain") if not o.startswith("env=")]
    variable = "+hydra.job.env_set.SET=really"
    done = sweep(*overrides, "env=talking:Talking-v0", "seed=0,1", variable)
    assert done.returncode == 0, done.stderr
    assert "192 / 192 steps" not in done.stdout
    for folder in job_folders(in_tmp):
        assert "192 / 192 steps" in (folder / "console.log").read_text()
        assert "SET is really" in (folder / "console.log").read_text()
        assert "threads 1" in (folder / "run.log").read_text()


def test_a_job_that_cannot_begin_is_told_of_first_and_the_others_run(in_tmp: Path) -> None:
    overrides = [o for o in small("ppo") if not o.startswith(("algo=", "env=", "algo."))]
    done = sweep(*overrides, "algo=ppo,q_learning", "env=CartPole-v1", "seed=0,1")
    assert done.returncode == 1
    told = [line for line in done.stdout.splitlines() if line.endswith("  started")]
    assert [line.split(",")[0] for line in told] == ["algo=q_learning"] * 2 + ["algo=ppo"] * 2
    assert done.stderr.count("failed: algo=q_learning does not fit env=CartPole-v1") == 2
    assert "2 of 4 jobs finished" in done.stdout
    failed = [f for f in job_folders(in_tmp) if "q_learning" in f.name]
    assert all("Algorithms that fit" in (f / "error.txt").read_text() for f in failed)


@pytest.mark.parametrize("number", [signal.SIGINT, slow(signal.SIGTERM)])
@pytest.mark.parametrize("whole_group", [slow(False), True])
def test_a_signal_saves_every_running_job_and_starts_no_other(
    in_tmp: Path, number: int, whole_group: bool
) -> None:
    process = begin(*small("ppo"), LONG, "seed=0,1,2")
    wait_for_training(process, in_tmp)
    if whole_group:
        os.killpg(process.pid, number)  # as a terminal does, and a scheduler
    else:
        process.send_signal(number)
    out, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 128 + number
    assert out.count("everything is saved") == 2
    assert "The same command goes on from there." in errors
    assert "Traceback" not in errors
    assert "seed=2" not in out
    states = [read_result(f).get("state") for f in job_folders(in_tmp)]
    assert states == ["interrupted"] * 2
    assert not any(alive(owner(f)) for f in job_folders(in_tmp))


@pytest.mark.slow
def test_what_was_stopped_goes_on_to_the_same_end(in_tmp: Path) -> None:
    overrides = small("ppo", *SECONDS, "seed=0,1")
    process = begin(*overrides)
    wait_for_training(process, in_tmp)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=HANGS)
    assert process.returncode == 143
    again = sweep(*overrides)
    assert again.returncode == 0, again.stderr
    whole = sweep(*overrides, "output_dir=whole")
    assert whole.returncode == 0
    for folder in job_folders(in_tmp):
        (other,) = in_tmp.glob(f"whole/sweeps/*/{folder.name}")
        assert "resumed at step" in (folder / "run.log").read_text()
        assert rows(folder) == rows(other)


HANGING = (
    COUNT_SIGNALS
    + """
import time
import gymnasium as gym, numpy as np
class Hanging(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    total = 0
    def snapshot(self): return {}
    def restore(self, state): pass
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}
    def step(self, action):
        Hanging.total += 1
        while Hanging.total > 600:
            open(f"hangs-{os.getpid()}", "a").close()
            time.sleep(0.05)
        return np.zeros(1, np.float32), 0.0, False, Hanging.total % 9 == 0, {}
gym.register("Hanging-v0", entry_point=Hanging)
"""
)


def hanging(in_tmp: Path) -> subprocess.Popen[str]:
    (in_tmp / "hanging.py").write_text(HANGING)
    overrides = [o for o in small("ppo", "eval.every=0") if not o.startswith("env=")]
    process = begin(*overrides, "env=hanging:Hanging-v0", LONG, "seed=0,1")
    wait_for(lambda: len(list(in_tmp.glob("hangs-*"))) == 2)
    return process


def test_the_third_signal_ends_jobs_that_hang(in_tmp: Path) -> None:
    process = hanging(in_tmp)
    owners = [owner(f) for f in job_folders(in_tmp)]
    for count in (1, 2):
        process.send_signal(signal.SIGINT)  # the sweep tells its jobs
        for job in owners:
            wait_for(lambda count=count, job=job: signals_handled(in_tmp, job) == count)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=HANGS)
    assert process.returncode == 130
    assert not any(map(alive, owners))


@pytest.mark.slow
def test_a_job_that_is_killed_is_noticed_and_the_others_run_on(in_tmp: Path) -> None:
    process = begin(*small("ppo", *SECONDS), "seed=0,1,2")
    wait_for_training(process, in_tmp)
    victim = job_folders(in_tmp)[0]
    os.kill(owner(victim), signal.SIGKILL)
    wait_for((victim / "error.txt").exists)
    out, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 1
    assert "perhaps out of memory" in (victim / "error.txt").read_text()
    assert read_result(victim)["state"] == "failed"
    assert f"{victim.name}  failed: killed by signal 9 (SIGKILL), perhaps out of memory" in errors
    assert "2 of 3 jobs finished" in out
    again = sweep(*small("ppo", *SECONDS), "seed=0,1,2")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("finished earlier") == 2
    assert "resumed at step" in (victim / "run.log").read_text()


def test_jobs_save_and_end_when_the_sweep_is_killed(in_tmp: Path) -> None:
    process = begin(*small("ppo"), LONG, "seed=0,1,2")
    wait_for_training(process, in_tmp)
    owners = [owner(f) for f in job_folders(in_tmp)]
    process.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(map(alive, owners)))
    process.communicate()
    assert [json.loads((f / "result.json").read_text())["state"] for f in job_folders(in_tmp)] == [
        "interrupted"
    ] * 2


def test_jobs_that_hang_end_too_when_the_sweep_is_killed(in_tmp: Path) -> None:
    process = hanging(in_tmp)
    owners = [owner(f) for f in job_folders(in_tmp)]
    process.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(map(alive, owners)))
    process.communicate()


@pytest.mark.slow
def test_an_environment_that_starts_threads_gets_a_python_for_each_job(in_tmp: Path) -> None:
    text = HANGING.replace("> 600", "> 10**9") + (
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    (in_tmp / "threaded.py").write_text(text)
    overrides = [o for o in small("ppo") if not o.startswith("env=")]
    done = sweep(*overrides, "env=threaded:Hanging-v0", "seed=0,1")
    assert done.returncode == 0, done.stderr
    assert "each job starts a Python of its own" in done.stderr
    assert "2 of 2 jobs finished" in done.stdout


@pytest.mark.slow
def test_a_large_network_in_torch_has_its_share_of_threads(in_tmp: Path) -> None:
    wide = ["kernels=torch", "network.hidden_sizes=[600,900]", "eval.every=0"]
    done = sweep(*small("ppo", *wide), "seed=0,1")
    assert done.returncode == 0, done.stderr
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    for folder in job_folders(in_tmp):
        assert f"performance: threads {share} (auto" in (folder / "run.log").read_text()


@pytest.mark.slow
def test_hydras_own_launcher_is_still_a_choice(in_tmp: Path) -> None:
    arguments = ["-m", "hydra/launcher=basic", *small("q_learning"), "seed=0,1"]
    done = subprocess.run(
        [sys.executable, "-m", "rltrain", *arguments], capture_output=True, text=True, env=ENV
    )
    assert done.returncode == 0, done.stderr
    assert "jobs:" not in done.stderr
    assert "2 of 2 jobs finished" in done.stdout
