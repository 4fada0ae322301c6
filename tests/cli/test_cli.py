"""The command line as its user meets it: what is printed, and the exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rltrain.training.run import read_result
from tests.cli.conftest import Run
from tests.conftest import small


def runs(in_tmp: Path) -> list[Path]:
    return [p for p in in_tmp.glob("outputs/*") if p.is_dir()]


def test_help_and_version(run: Run) -> None:
    for arguments in ([], ["--help"], ["-h"], ["help"]):
        code, out, _ = run(*arguments)
        assert (code, "rltrain algo=ppo env=CartPole-v1" in out) == (0, True)
    assert run("--version")[1].startswith("rltrain ")


def test_a_run_says_how_to_go_on(run: Run, in_tmp: Path) -> None:
    code, out, err = run(*small("ppo", "logger.console=plain"))
    assert code == 0
    (folder,) = runs(in_tmp)
    name = folder.relative_to(in_tmp)
    for line in (f"rltrain eval {name}", f"rltrain resume={name}", f"tensorboard --logdir {name}"):
        assert line in out
    assert "192 / 192 steps" in out
    assert "performance: threads 1 (auto: a network of" in err
    expected = {"config.yaml", "command.txt", "versions.json", "run.log", "progress.csv"}
    assert expected <= {p.name for p in folder.iterdir()}
    result = read_result(folder)
    assert result["state"] == "finished"
    assert result["performance"]["kernels"] == "numpy"
    assert not set(folder.name) & set(":/")


def test_a_folder_is_named_by_the_choice_of_algorithm(run: Run, in_tmp: Path) -> None:
    assert run(*small("rainbow"))[0] == 0
    assert [folder.name.split("_")[0] for folder in runs(in_tmp)] == ["rainbow"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["algo=ppo", "env=CartPol-v1"], "Did you mean CartPole-v1"),
        (["env=CartPole-v1", "algo.gama=0.9"], "Did you mean algo.gamma?"),
        (["env=CartPole-v1", "+algo.gama=0.9"], "Did you mean algo.gamma?"),
        (["env=CartPole-v1", "algo.gamma=1.5"], "must be ≥ 0 and ≤ 1"),
        (["env=CartPole-v1", "algo.gamma=nan"], "out of range"),
        (["env=CartPole-v1", "algo.batch_size=0"], "must be ≥ 1"),
        (["env=CartPole-v1", "algo.batch_size=many"], "expected integer"),
        (["env=CartPole-v1", "algo.learning_rate=nan"], "out of range"),
        (["env=CartPole-v1", "logger.console=lif"], "Did you mean live?"),
        (["env=CartPole-v1", "num_threads=atuo"], "Did you mean auto?"),
        (["algo=dqn", "env=Pendulum-v1"], "Algorithms that fit: a2c, "),
        (["algo=q_learning", "env=CartPole-v1"], "Algorithms that fit: a2c, "),
        (["algo=q_learning", "env=Blackjack-v1"], "these are Tuple"),
        (["algo=ppo", "env=Pendulum-v1", "env.kwargs.gg=1"], "no such argument"),
        (["algo=ppo", "env=CartPole-v1", "device=cudda"], "Devices here: cpu"),
        (["algo=ppo", "env=CartPole-v1", "network=none"], "algo=ppo needs one"),
        (["algo=q_learning", "env=Taxi-v4", "network=mlp"], "is tabular and uses none"),
        (["algo=dqn", "env=CartPole-v1", "algo.buffer_size=1e12"], "GiB"),
        (["algo=ppo"], "choose an environment"),
        (["env=CartPole-v1", "plugins=[no_such_module]"], "no module no_such_module"),
        (["resume=nothing"], "is no run folder"),
        (["resume=latest"], "there is no run"),
        (["eval"], "Which run?"),
        (["eval", "x", "episods=3"], "Did you mean episodes?"),
        (["list", "algoz"], "Did you mean algos?"),
        (["describe", "pppo"], "Did you mean ppo or ippo?"),
        (["describe", "algo=ppo", "env=CartPole-v1", "network=simbo"], "Did you mean simba?"),
        (["env=CartPole-v1", "network.encoders.camera=impala"], "have no such part"),
        (["env=CartPole-v1", "env.drop_keys=[camera]"], "no part called camera"),
        (["algo=dqn", "env=CartPole-v1", "network.shared=true"], "algo=dqn has no policy and"),
        (["trian"], "Unknown command 'trian'"),
        (["train", "env=CartPole-v1"], "key=value"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_message_and_exit_code_2(
    run: Run, in_tmp: Path, arguments: list[str], message: str
) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert not runs(in_tmp)


def test_an_unwritable_output_folder_is_told_before_training(run: Run, in_tmp: Path) -> None:
    (in_tmp / "file").write_text("")
    code, _, err = run(*small("ppo", "output_dir=file/outputs"))
    assert code == 2
    assert "output_dir=file/outputs cannot be written" in err


def test_resume_and_eval(run: Run, in_tmp: Path) -> None:
    run(*small("ppo", "run_name=a"))
    code, out, _ = run("resume=latest", "total_timesteps=384", "logger.every=96")
    assert (code, "384 in" in out) == (0, True)
    code, out, _ = run("eval", "latest", "episodes=3", "seed=5", "deterministic=false")
    assert (code, "3 episodes, seed 5, sampled" in out) == (0, True)
    code, out, _ = run("eval", "outputs/a", "checkpoint=best", "env.kwargs.sutton_barto_reward=1")
    assert (code, "best.ckpt" in out) == (0, True)
    code, _, err = run("resume=outputs/a", "algo.gamma=0.5")
    assert (code, "algo.gamma: 0.99 in the run, 0.5 asked for" in err) == (2, True)


def test_every_checkpoint_damaged_fails_and_deletes_nothing(run: Run, in_tmp: Path) -> None:
    run(*small("q_learning", "run_name=a"))
    files = sorted((in_tmp / "outputs/a/checkpoints").glob("step_*"))
    for file in files:
        file.write_bytes(b"")
    code, _, err = run("resume=outputs/a", "total_timesteps=400")
    assert (code, "nothing was changed or deleted" in err) == (1, True)
    assert sorted((in_tmp / "outputs/a/checkpoints").glob("step_*")) == files


def test_a_missing_extra_holds_the_install_command(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mujoco", None)
    code, _, err = run("algo=ppo", "env=HalfCheetah-v5")
    assert (code, 'pip install "rltrain[mujoco]"' in err) == (2, True)


ENVS = """
import gymnasium as gym, numpy as np
class MyEnv(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    def __init__(self, gain=1.0, broken=False):
        self.gain, self.broken = gain, broken
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(2, np.float32), {}
    def step(self, action):
        self.steps += 1
        if self.broken:
            raise RuntimeError("the environment's own bug")
        return np.zeros(2, np.float32), self.gain, False, self.steps == 5, {}
gym.register("MyEnv-v0", entry_point=MyEnv)
"""


def test_an_environment_of_ones_own(run: Run, in_tmp: Path) -> None:
    (in_tmp / "my_cli_envs.py").write_text(ENVS)
    overrides = [o for o in small("ppo") if not o.startswith("env=")]
    code, out, _ = run(*overrides, "env=my_cli_envs:MyEnv-v0", "env.kwargs.gain=2")
    assert code == 0
    assert "score     10.0" in out
    code, _, err = run(*overrides, "env=my_cli_envs:MyEnv-v0", "env.kwargs.broken=true")
    assert code == 1
    assert "the environment's own bug" in err


PLUGIN = """
from dataclasses import dataclass
from rltrain.algos.q_learning import QLearning
from rltrain.settings.off_policy import QLearningSettings
from rltrain.settings.registry import Entry, register
from rltrain.settings.schema import key
@dataclass(frozen=True)
class MineSettings(QLearningSettings):
    bonus: float = key("Added to every target.", min=0)
class Mine(QLearning):
    pass
register(Entry("algo", "mine", MineSettings, "my_plugin:Mine", "Mine", ("Discrete",),
               ("Discrete",), ("epsilon_greedy",), networks=False))
"""


def test_an_algorithm_of_ones_own_without_a_fork(
    run: Run, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rltrain.settings import registry

    monkeypatch.setattr(registry, "_entries", {g: dict(e) for g, e in registry._entries.items()})
    (in_tmp / "my_plugin.py").write_text(PLUGIN)
    (in_tmp / "configs/algo").mkdir(parents=True)
    (in_tmp / "configs/algo/mine.yaml").write_text(
        "# @package _global_\ndefaults: [q_learning, _self_]\n"
        "algo: {name: mine, bonus: 0.5}\nplugins: [my_plugin]\n"
    )
    overrides = [o for o in small("q_learning") if not o.startswith("algo=")]
    assert run(*overrides, "algo=mine", "run_name=a")[0] == 0
    code, _, err = run(*overrides, "algo=mine", "algo.bonus=-1")
    assert (code, "algo.bonus=-1" in err) == (2, True)


def test_sweep_runs_on_reports_and_continues(run: Run, in_tmp: Path) -> None:
    overrides = [o for o in small("ppo") if not o.startswith(("algo=", "env=", "algo."))]
    command = ["-m", "jobs=1", *overrides, "algo=ppo,q_learning", "env=CartPole-v1", "seed=0,1"]
    code, out, _ = run(*command)
    assert code == 1
    assert "2 of 4 jobs finished" in out
    assert "does not fit env=CartPole-v1" in out
    (folder,) = (in_tmp / "outputs/sweeps").iterdir()
    jobs = sorted(p for p in folder.iterdir() if p.is_dir())
    assert len(jobs) == 4
    assert "Algorithms that fit" in (jobs[2] / "error.txt").read_text()
    assert "over seeds" in out
    before = (jobs[0] / "progress.csv").stat().st_mtime_ns
    code, out, _ = run(*command)
    assert (code, out.count("finished earlier")) == (1, 2)
    assert (jobs[0] / "progress.csv").stat().st_mtime_ns == before


def test_a_sweep_that_was_killed_goes_on_where_it_was(in_tmp: Path) -> None:
    command = [sys.executable, "-m", "rltrain", "-m", "jobs=1", *small("ppo"), "seed=0,1"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    fault = {"RLTRAIN_FAULT": "checkpoint.done:kill:6"}  # each job writes best, 96, best?, 192
    killed = subprocess.run(command, env=env | fault, capture_output=True)
    assert killed.returncode < 0
    (folder,) = (in_tmp / "outputs/sweeps").iterdir()
    states = [read_result(p).get("state") for p in sorted(folder.iterdir()) if p.is_dir()]
    assert states == ["finished", "running"]
    again = subprocess.run(command, env=env, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("finished earlier") == 1
    assert "resumed at step" in again.stderr
    assert "2 of 2 jobs finished" in again.stdout


def test_a_mistake_in_a_sweep_starts_nothing(run: Run, in_tmp: Path) -> None:
    code, _, err = run("-m", "algo=ppo", "env=CartPole-v1,Nonsense-v0")
    assert (code, "Nonsense-v0: there is no such environment" in err) == (2, True)
    assert not list(in_tmp.glob("outputs/sweeps/*"))


def test_completion_knows_environments(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", "rltrain env=CartP")
    monkeypatch.setenv("COMP_POINT", "17")
    code, out, _ = run("-sc", "query=bash")
    assert code == 0
    assert "env=CartPole-v1" in out.split()


def test_the_composed_configuration_can_be_seen(run: Run) -> None:
    code, out, _ = run("algo=ppo", "env=CartPole-v1", "--cfg", "job")
    assert code == 0
    assert "gae_lambda: 0.8" in out


def test_the_configurations_of_a_sweep_can_be_seen(run: Run, in_tmp: Path) -> None:
    code, out, _ = run("-m", "env=CartPole-v1", "seed=0,1", "tuned=none", "--cfg", "job")
    assert code == 0
    documents = list(yaml.safe_load_all(out))
    assert [d["seed"] for d in documents] == [0, 1]
    assert "---  # env=CartPole-v1 seed=1 tuned=none\n" in out
    assert not list(in_tmp.iterdir())


def test_an_interpolation_of_hydra_s_stays_one(run: Run) -> None:
    code, _, err = run("env=CartPole-v1", "env.kwargs.x=${hydra:job.num}")
    assert (code, "has no such argument" in err) == (2, True), err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["algo=ppo,dqn", "env=CartPole-v1"], "need a sweep: rltrain -m"),
        (["env=null"], "there is no such environment"),
        (["env=CartPole-v1", "tuned=ppo/Cart"], "Did you mean ppo/CartPole-v1"),
        (["env=CartPole-v1", "~env.kwargs.x"], "Unknown key env.kwargs.x."),
        (["env=CartPole-v1", "run_name=../x"], "must stay inside"),
        (["resume", "outputs/x"], "Write: rltrain resume=outputs/x"),
        (["-m", "output_dir=/dev/null/x", "env=CartPole-v1"], "cannot be written"),
        (["eval", "latest"], "latest: there is no run"),
        (["env=CartPole-v1", "jobs=2"], "jobs=2 is for a sweep (-m)"),
        (["-m", "env=CartPole-v1", "jobs=0"], "jobs=0 must be auto or a whole number"),
        (["-m", "env=CartPole-v1", "jobs=two"], "jobs=two must be auto or a whole number"),
        (["-m", "env=CartPole-v1", "jobs=1.5"], "jobs=1.5 must be auto or a whole number"),
        (["-m", "env=CartPole-v1", "jobs=true"], "must be auto or a whole number"),
        (["-m", "env=CartPole-v1", "jobs="], "must be auto or a whole number"),
        (["-m", "env=CartPole-v1", "jobs=1,2"], "not supported"),
        (["-m", "env=CartPole-v1", "hydra/launcher=basic", "jobs=2"], "keys of its own"),
        (
            ["-m", "env=CartPole-v1", "hydra/launcher=none"],
            "hydra/launcher=none is not known. Choose from: basic, rltrain",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_more_mistakes(run: Run, in_tmp: Path, arguments: list[str], message: str) -> None:
    code, _, err = run(*arguments)
    assert (code, message in err) == (2, True), err
    assert "Traceback" not in err
    assert "Error executing job" not in err
    assert not runs(in_tmp)


def test_a_yaml_that_is_broken_is_named_with_its_line(run: Run, in_tmp: Path) -> None:
    (in_tmp / "configs/env").mkdir(parents=True)
    (in_tmp / "configs/env/mine.yaml").write_text("id: CartPole-v1\nkwargs: [1\n")
    code, _, err = run("env=mine")
    assert (code, "mine.yaml" in err, "line 3" in err) == (2, True, True), err


def test_a_run_that_never_began_is_not_the_latest(run: Run) -> None:
    assert run(*small("q_learning", "run_name=a"))[0] == 0
    assert run(*small("q_learning", "device=cudda"))[0] == 2
    assert run("eval", "latest", "episodes=1")[0] == 0


def test_a_preset_of_ones_own_wins_and_is_announced(run: Run, in_tmp: Path) -> None:
    (in_tmp / "configs/tuned/ppo").mkdir(parents=True)
    text = "# @package _global_\nalgo:\n  gamma: 0.5\n"
    (in_tmp / "configs/tuned/ppo/CartPole-v1.yaml").write_text(text)
    overrides = [o for o in small("ppo", "run_name=a") if o != "tuned=none"]
    code, _, err = run(*overrides)
    assert (code, "tuned values of ppo/CartPole-v1 are applied" in err) == (0, True)
    assert "gamma: 0.5" in (in_tmp / "outputs/a/config.yaml").read_text()


def test_kwargs_can_be_given_as_a_whole(run: Run, in_tmp: Path) -> None:
    code, _, _ = run(*small("ppo", "run_name=a"), "env.kwargs={sutton_barto_reward: true}")
    assert code == 0
    assert "sutton_barto_reward: true" in (in_tmp / "outputs/a/config.yaml").read_text()


def test_a_finished_job_of_another_configuration_is_not_taken_for_this_one(
    run: Run, in_tmp: Path
) -> None:
    command = ["-m", "jobs=1", *small("q_learning"), "seed=0,1"]
    assert run(*command)[0] == 0
    (in_tmp / "configs/eval").mkdir(parents=True)
    (in_tmp / "configs/env").mkdir(parents=True)
    text = "defaults: [base]\nid: FrozenLake-v1\nkwargs: {is_slippery: false}\n"
    (in_tmp / "configs/env/FrozenLake-v1.yaml").write_text(text)
    code, out, _ = run(*command)
    assert code == 1
    assert "A resumed run keeps what decides its numbers" in (
        next(in_tmp.glob("outputs/sweeps/*/seed=0/error.txt")).read_text()
    )
    assert "0 of 2 jobs finished" in out
    (in_tmp / "configs/env/FrozenLake-v1.yaml").unlink()
    code, out, _ = run(*command)
    assert (code, out.count("finished earlier"), "2 of 2 jobs" in out) == (0, 2, True)


def test_discrete_spaces_of_other_dtypes(
    run: Run, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = ENVS.replace(
        "gym.spaces.Box(-1, 1, (2,), np.float32)", "gym.spaces.Discrete(3, dtype=np.int32)"
    ).replace("np.zeros(2, np.float32)", "np.int32(1)")
    (in_tmp / "small_envs.py").write_text(text.replace("MyEnv-v0", "MySmallEnv-v0"))
    for algo in ("ppo", "dqn", "q_learning"):
        overrides = [o for o in small(algo) if not o.startswith("env=")]
        assert run(*overrides, "env=small_envs:MySmallEnv-v0")[0] == 0


def test_commands_are_completed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for line, expected in (("rltrain list al", "algos"), ("rltrain describe pp", "ppo")):
        monkeypatch.setenv("COMP_LINE", line)
        code, out, err = run("-sc", "query=bash")
        assert (code, out.strip(), err) == (0, expected, "")


def test_the_command_is_kept_as_it_was_typed(in_tmp: Path) -> None:
    words = [*small("q_learning", "run_name=a"), "env.kwargs.is_slippery=false"]
    subprocess.run([sys.executable, "-m", "rltrain", *words], check=True, capture_output=True)
    kept = (in_tmp / "outputs/a/command.txt").read_text()
    assert kept.strip() == "rltrain " + " ".join(words)


def test_a_run_that_ended_early_says_why_and_how_to_go_on(run: Run, in_tmp: Path) -> None:
    code, out, err = run(*small("ppo", "run_name=a", "eval.stop_at=-1"))
    assert (code, "eval.stop_at: mean reward" in err) == (0, True)
    assert "steps     96 in" in out
    command = "rltrain resume=outputs/a eval.stop_at=null"
    assert f"longer    {command}" in out
    code, out, _ = run(*command.split()[1:])
    assert (code, "steps     192 in" in out) == (0, True)
