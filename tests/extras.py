"""Install each extra alone in a fresh environment, and do there what the extra is for.

    python -m tests.extras            # every extra of pyproject.toml, some minutes each
    python -m tests.extras mujoco     # these alone

For each extra: `pip install -c constraints.txt ".[NAME]"` into a new virtual environment, then
training, evaluation and resuming of its environments; then `.[NAME,data]` on top, and recording.
The table that is printed has a row per command. Exit code 1 if one failed.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SHORT = (
    "tuned=none total_timesteps=300 eval.every=150 eval.episodes=1 eval.max_episode_steps=50"
    " checkpoint.every=150 logger.console=off"
)
REPLAY = "algo.learning_starts=100 algo.buffer_size=500"
# Runs of each environment extra, after `rltrain`.
RUNS = {
    "atari": [f"algo=dqn env=ALE/Pong-v5 {REPLAY}"],
    "box2d": [
        "algo=ppo env=LunarLander-v3",
        f"algo=sac env=BipedalWalker-v3 {REPLAY}",
        "algo=ppo env=CarRacing-v3 env.num_envs=1 algo.n_steps=64",
    ],
    "classic": [
        "algo=ppo env=CartPole-v1 env.num_envs=1 env.kwargs.render_mode=human",
        "algo=q_learning env=FrozenLake-v1 env.num_envs=1 env.kwargs.render_mode=rgb_array",
    ],
    "minatar": ["algo=pqn env=MinAtar/Breakout-v1"],
    "minigrid": ["algo=ppo env=MiniGrid-Empty-5x5-v0", "algo=ppo env=BabyAI-GoToObj-v0"],
    "mujoco": [f"algo=sac env=HalfCheetah-v5 {REPLAY}", "algo=ppo env=Pusher-v5"],
    "pettingzoo": [
        f"algo=iql env=pettingzoo:mpe/simple_spread_v3 {REPLAY}",
        "algo=ippo env=pettingzoo:sisl/multiwalker_v9 env.num_envs=2",
        "algo=ippo env=pettingzoo:butterfly/pistonball_v6 env.num_envs=1 env.kwargs.n_pistons=3"
        " algo.agent_id=false algo.n_steps=32 total_timesteps=64 checkpoint.every=32 eval.every=32",
    ],
    "pettingzoo-atari": [
        "algo=ippo env=pettingzoo:atari/pong_v3 env.num_envs=1 algo.agent_id=false algo.n_steps=32"
        " total_timesteps=64 checkpoint.every=32 eval.every=32"
    ],
}
SEVERAL_AGENTS = ("pettingzoo", "pettingzoo-atari")  # their episodes cannot be recorded
# What the other extras are for; `{root}` is the source tree.
COMMANDS = {
    "data": [
        f"rltrain algo=ppo env=CartPole-v1 run_name=run0 {SHORT}",
        "rltrain record outputs/run0 dataset=cartpole/run0-v0 episodes=2",
        f"rltrain algo=bc env=CartPole-v1 dataset=cartpole/run0-v0 run_name=clone {SHORT}",
        "rltrain eval outputs/clone episodes=1",
        "rltrain resume=outputs/clone total_timesteps=600",
        "minari list local",
        "minari list remote",
        "minari download mujoco/inverteddoublependulum/expert-v0",
    ],
    "plot": [
        f"rltrain algo=ppo env=CartPole-v1 run_name=run0 {SHORT}",
        "rltrain plot outputs/run0 out=curves.png",
    ],
    "test": ["python -m pytest -n 0 {root}/tests/functional {root}/tests/settings"],
    "dev": ["ruff check {root}", "mypy --config-file {root}/pyproject.toml {root}/rltrain"],
}


NO_NETWORK = re.compile("Name or service not known|ConnectError|ConnectionError|Network is unreach")


class Row(NamedTuple):
    """A command and its result; with the last line that it printed where it failed."""

    extra: str
    command: str
    result: str

    def __str__(self) -> str:
        return f"| {' | '.join((self.extra, f'`{self.command}`', self.result))} |"

    @property
    def failed(self) -> bool:
        return self.result.startswith("FAILED")


def commands(extra: str) -> list[str]:
    """Return what is run where `extra` alone is installed."""
    found = list(COMMANDS.get(extra, []))
    for i, run in enumerate(RUNS.get(extra, [])):
        longer = 128 if "total_timesteps=64" in run else 1100
        found += [
            f"rltrain {SHORT} {run} run_name=run{i}",
            f"rltrain eval outputs/run{i} episodes=1",
            f"rltrain resume=outputs/run{i} total_timesteps={longer}",
        ]
    return found


def recordings(extra: str) -> list[str]:
    """Return what is run where `extra` and `data` are installed."""
    runs = [] if extra in SEVERAL_AGENTS else RUNS.get(extra, [])
    return [
        f"rltrain record outputs/run{i} dataset={extra}/run{i}-v0 episodes=1"
        for i in range(len(runs))
    ]


def check(extra: str, folder: Path) -> Iterator[Row]:
    """Install `extra` in a new environment in `folder` and yield what became of its commands."""
    venv.create(folder / "venv", with_pip=True)
    work = folder / "work"
    work.mkdir()

    def run(command: str, cwd: Path = work) -> Row:
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        env |= {"PATH": f"{folder}/venv/bin:{env['PATH']}", "SDL_VIDEODRIVER": "dummy"}
        env |= {"MINARI_DATASETS_PATH": str(folder / "minari"), "MUJOCO_GL": "disable"}
        words = shlex.split(command.format(root=shlex.quote(str(ROOT))))
        done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True)
        said = (done.stdout + done.stderr).strip()
        if done.returncode == 0:
            return Row(extra, command, "passed")
        if NO_NETWORK.search(said):
            return Row(extra, command, "passed as far as it goes without the internet")
        last = said.splitlines()[-1] if said else f"exit code {done.returncode}"
        return Row(extra, command, f"FAILED: {last}")

    for installed, wanted in ((extra, commands(extra)), (f"{extra},data", recordings(extra))):
        if not wanted:
            continue
        row = run(f"pip install -q -c constraints.txt '.[{installed}]'", ROOT)
        yield row
        if row.failed:
            return
        yield from map(run, wanted)


def main(names: list[str]) -> int:
    """Print a table of all rows; return the exit code."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    if unknown := set(names) - set(extras):
        print(f"Unknown extras: {', '.join(unknown)}. There are: {', '.join(extras)}.")
        return 2
    print("| extra | command | result |\n|---|---|---|", flush=True)
    failed = False
    for extra in names or extras:
        with tempfile.TemporaryDirectory() as folder:
            for row in check(extra, Path(folder)):
                print(row, flush=True)
                failed |= row.failed
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
