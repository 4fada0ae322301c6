"""What is measured: the same work for every side, and rltrain's aims.

An aim is rltrain's speed over the fastest peer's: from the first step on, and for the
whole process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rltrain.core.processes import cores

OFF = (
    "tuned=none eval.every=0 checkpoint.every=0 logger.console=off logger.every=2000"
    " algo.normalize_obs=false"
)
BUSY = "benchmarks.speed.busy:Busy-v0"
SWEEP = 8  # runs of a sweep
AT_ONCE = 2  # processes of a peer's sweep
# Those that get faster by it; TorchRL's ParallelEnv took several times as long, CleanRL has none.
WORKERS = ("sb3", "sheeprl", "tianshou")


@dataclass(frozen=True)
class Row:
    """`work` is what peers are told, `command` the same for rltrain.

    kind: `train` for steps a second, `solve` for the time until an evaluation passes,
    `start` until the first update, `sweep` for several runs, `memory` for the peak in
    another row. `workers` are the peers that run a second time, with environments in
    processes of their own, and count by the better one. `threads` are torch's of a peer: one
    is what each documents, all cores what is faster with convolutions (TRIED.md).
    """

    name: str
    title: str
    command: str = ""
    work: Mapping[str, Any] = field(default_factory=dict)
    steady_aim: float | None = None
    whole_aim: float | None = None
    light_aim: float | None = None
    kind: str = "train"
    peers: tuple[str, ...] = ()  # all of them where there is none
    workers: tuple[str, ...] = ()
    threads: int = 1
    waits_for: str = ""


def ppo(env: str, num_envs: int, n_steps: int, batch: int, epochs: int, steps: float) -> Row:
    rollout = num_envs * n_steps
    total = max(1, math.ceil(steps / rollout)) * rollout  # whole rollouts: sides round differently
    work = {
        "algo": "ppo",
        "env": env,
        "num_envs": num_envs,
        "n_steps": n_steps,
        "batch_size": batch,
        "n_epochs": epochs,
        "steps": total,
        "learning_rate": 3e-4,
        "anneal": False,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "clip_range": 0.2,
    }
    command = (
        f"algo=ppo env={env} env.num_envs={num_envs} algo.n_steps={n_steps}"
        f" algo.batch_size={batch} algo.n_epochs={epochs} total_timesteps={total}"
        f" algo.learning_rate_schedule=constant algo.normalize_reward=false {OFF}"
    )
    short = env.split(":")[-1]
    title = f"PPO {short}, {num_envs} × {n_steps}, minibatches of {batch}, {epochs} epochs"
    return Row("", title, command, work, light_aim=0.7)


def atari(steps: float) -> Row:
    """The usual preprocessing, without sticky actions, which none of the peers' games have."""
    plain = ppo("ALE/Breakout-v5", 8, 128, 256, 4, steps)
    work = dict(plain.work) | {"learning_rate": 2.5e-4, "clip_range": 0.1}
    command = (
        f"{plain.command} env.sticky_actions=0 network=nature_cnn network.shared=true"
        " algo.learning_rate=2.5e-4 algo.clip_range=0.1"
    )
    title = f"{plain.title}, Nature CNN, all cores"
    return replace(plain, title=title, command=command, work=work, light_aim=None, threads=cores())


def dqn(steps: float, starts: float) -> Row:
    work = {
        "algo": "dqn",
        "env": "CartPole-v1",
        "batch_size": 128,
        "train_freq": 10,
        "learning_starts": round(starts / 10) * 10,
        "buffer_size": 10_000,
        "target_update_interval": 500,
        "learning_rate": 2.5e-4,
        "steps": round(steps / 10) * 10,
    }
    command = (
        "algo=dqn env=CartPole-v1 network.hidden_sizes=[120,84] algo.batch_size=128"
        f" algo.train_freq=10 algo.learning_starts={work['learning_starts']}"
        " algo.buffer_size=10000 algo.target_update_interval=500 algo.learning_rate=2.5e-4"
        f" exploration.fraction=0.5 total_timesteps={work['steps']} {OFF}"
    )
    title = "DQN CartPole-v1, 120-84, batch 128, train every 10"
    return Row("", title, command, work, light_aim=0.7)


def sac(steps: float, starts: float) -> Row:
    work = {
        "algo": "sac",
        "env": "HalfCheetah-v5",
        "batch_size": 256,
        "train_freq": 1,
        "learning_starts": round(starts),
        "buffer_size": 100_000,
        "learning_rate": 3e-4,
        "gamma": 0.99,
        "tau": 0.005,
        "steps": round(steps),
    }
    command = (
        "algo=sac env=HalfCheetah-v5 algo.batch_size=256 algo.buffer_size=100000"
        f" algo.learning_starts={work['learning_starts']} total_timesteps={work['steps']} {OFF}"
    )
    title = "SAC HalfCheetah-v5, 256-256, batch 256, an update every step"
    return Row("", title, command, work, light_aim=0.7)


def solve(steps: float, stop_at: float) -> Row:
    """Each side with the values that the RL Zoo found for it, evaluated equally often."""
    plain = ppo("CartPole-v1", 8, 32, 256, 20, steps)
    work = dict(plain.work) | {
        "learning_rate": 1e-3,
        "anneal": True,
        "gamma": 0.98,
        "gae_lambda": 0.8,
        "stop_at": stop_at,
        "eval_every": 5000,
        "eval_episodes": 10,
    }
    command = (
        f"algo=ppo env=CartPole-v1 total_timesteps={work['steps']} eval.stop_at={stop_at:g}"
        " eval.every=5000 eval.episodes=10 checkpoint.every=0 logger.console=off"
        " logger.every=2000"
    )
    title = f"PPO until CartPole-v1 evaluates at {stop_at:g}, tuned preset"
    return Row("", title, command, work, kind="solve")


def rows(scale: float = 1.0) -> tuple[Row, ...]:
    """All rows, their steps scaled for a quick look at whether everything runs."""
    c1 = ppo("CartPole-v1", 8, 128, 256, 4, 100_000 * scale)
    start = ppo("CartPole-v1", 8, 128, 256, 4, 1)
    sweep = ppo("CartPole-v1", 8, 128, 256, 4, 20_480 * scale)
    stop_at = 475 if scale >= 1 else max(20.0, round(475 * scale))

    def named(row: Row, name: str, steady: float | None, whole: float, **more: Any) -> Row:
        return replace(row, name=name, steady_aim=steady, whole_aim=whole, **more)

    return (
        named(c1, "C1", 4, 2.5),
        named(ppo("CartPole-v1", 1, 2048, 64, 10, 40_000 * scale), "C2", 4, 3),
        named(ppo(BUSY, 16, 128, 512, 4, 40_000 * scale), "C3", 1.8, 1.5, workers=WORKERS),
        named(sac(8_000 * scale, 1_000 * scale), "C4", 2, 1.9),
        named(dqn(100_000 * scale, 10_000 * scale), "C5", 3, 2),
        named(atari(20_480 * scale), "C6", 1.7, 1.5, peers=("sb3", "cleanrl"), workers=("sb3",)),
        named(ppo("HalfCheetah-v5", 1, 2048, 64, 10, 40_960 * scale), "C7", 4, 3),
        named(solve(100_000 * scale, stop_at), "T", 5, 2.5),
        named(
            start,
            "S",
            None,
            1 / 0.6,
            kind="start",
            title="from the start of the process to the first update of C1",
            light_aim=None,
        ),
        named(
            sweep,
            "M",
            None,
            3,
            kind="sweep",
            title=f"a sweep of {SWEEP} seeds of C1 at 20,480 steps",
            peers=("sb3", "cleanrl"),
            light_aim=None,
        ),
        Row("R", "peak memory in C1", whole_aim=1, kind="memory"),
    )


ROWS = rows()
