"""Completion: what is offered exists and fits, and the shells' scripts put it in."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rltrain.completion import SCRIPTS, completions
from rltrain.settings.defaults import choices


@pytest.fixture
def runs(in_tmp: Path) -> Path:
    """A folder with a run, a sweep of two jobs, and a mark of the latest."""
    jobs = [f"outputs/sweeps/algo=ppo,seed=0,1/seed={i}" for i in (0, 1)]
    for folder in ("outputs/alpha", *jobs):
        (in_tmp / folder / "checkpoints").mkdir(parents=True)
        (in_tmp / folder / "config.yaml").write_text("")
    (in_tmp / "outputs/alpha/checkpoints/step_000000000512.ckpt").write_text("")
    (in_tmp / "outputs/.latest").write_text("alpha")
    return in_tmp


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rltrain ev", ["eval", "eval."]),
        ("rltrain res", ["resume="]),
        ("rltrain algo=d", ["algo=d3qn", "algo=ddpg", "algo=dqn"]),
        ("rltrain -m algo=ppo,td", ["algo=ppo,td3"]),
        ("rltrain env=CartPole-v", ["env=CartPole-v0", "env=CartPole-v1"]),
        ("rltrain env=ba", []),  # base, which others start from
        ("rltrain algo=ppo network=n", ["network=nature_cnn"]),
        ("rltrain algo=q_learning network=", ["network=none"]),
        ("rltrain algo=rainbow exploration=n", ["exploration=noisy"]),
        ("rltrain algo=sac exploration=", ["exploration=none"]),
        ("rltrain algo.ga", ["algo.gae_lambda=", "algo.gamma="]),
        ("rltrain algo=dqn algo.do", ["algo.double="]),
        ("rltrain algo=dqn ++algo.do", ["++algo.double="]),
        ("rltrain sampler=", ["sampler=auto", "sampler=inline", "sampler=processes"]),
        ("rltrain eval.det", ["eval.deterministic="]),
        ("rltrain eval.deterministic=", ["eval.deterministic=false", "eval.deterministic=true"]),
        ("rltrain env.kw", ["env.kwargs."]),
        ("rltrain eval=", []),  # it has keys, no choices
        ("rltrain --cfg ", ["all", "hydra", "job"]),
        ("rltrain list al", ["algos"]),
        ("rltrain describe pp", ["ppo"]),
        ("rltrain eval ou", []),
        ("rltrain resume=l", []),  # there is no run
    ],
)
def test_words(in_tmp: Path, line: str, words: list[str]) -> None:
    assert completions(line) == words


def test_the_first_word(in_tmp: Path) -> None:
    found = completions("rltrain ")
    assert {"eval", "record", "list", "describe", "plot", "resume=", "algo=", "env="} <= set(found)
    assert "env.num_envs=" not in found


@pytest.mark.parametrize("command", ["eval ", "record ", "resume=", "plot ", "table "])
def test_runs_and_jobs(runs: Path, command: str) -> None:
    prefix = command if command.endswith("=") else ""
    found = completions(f"rltrain {command}")
    assert f"{prefix}latest" in found
    assert f"{prefix}outputs/alpha" in found
    assert f"{prefix}outputs/sweeps/algo=ppo,seed=0,1/seed=1" in found
    assert ("outputs/sweeps/algo=ppo,seed=0,1" in found) == (command in ("plot ", "table "))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rltrain eval latest ch", ["checkpoint="]),
        ("rltrain record latest da", ["dataset="]),
        ("rltrain eval outputs/alpha checkpoint=s", ["checkpoint=step_000000000512.ckpt"]),
        ("rltrain resume=latest logger.c", ["logger.console=", "logger.csv="]),
        ("rltrain resume=latest algo.", []),  # which may not change
        ("rltrain init_from=outputs/a", ["init_from=outputs/alpha"]),
    ],
)
def test_options_of_commands(runs: Path, line: str, words: list[str]) -> None:
    assert completions(line) == words


def test_every_choice_that_is_offered_exists(in_tmp: Path) -> None:
    for group in ("algo", "network", "optimizer", "exploration", "intrinsic", "augment"):
        found = {w.partition("=")[2] for w in completions(f"rltrain {group}=")}
        assert found
        assert found <= set(choices(group))


@pytest.mark.parametrize("shell", SCRIPTS)
def test_scripts_are_valid(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    done = subprocess.run([shell, "-n"], input=SCRIPTS[shell], text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("breaks", ["$COMP_WORDBREAKS", "${COMP_WORDBREAKS//[=:]}"])
def test_bash_gets_the_part_that_it_replaces(in_tmp: Path, breaks: str) -> None:
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    script = f"""
rltrain() {{ {sys.executable} -m rltrain "$@"; }}
{SCRIPTS["bash"]}
COMP_WORDBREAKS="{breaks}"
COMP_LINE="rltrain env=CartPole-v"; COMP_POINT=${{#COMP_LINE}}; _rltrain_complete
printf '%s|' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    head = "env=" if "//" in breaks else ""
    assert done.stdout == f"{head}CartPole-v0 |{head}CartPole-v1 |", done.stderr
