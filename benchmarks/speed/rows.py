"""What is measured: the same work for every side, and rltrain's aims.

An aim is rltrain's speed over the fastest peer's: from the first step on, and for the
whole process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

OFF = (
    "tuned=none eval.every=0 checkpoint.every=0 logger.console=off logger.every=2000"
    " algo.normalize_obs=false"
)


@dataclass(frozen=True)
class Row:
    """`work` is what peers are told, `command` the same for rltrain."""

    name: str
    title: str
    steps: int
    command: str
    work: dict[str, Any] = field(default_factory=dict)
    steady_aim: float | None = None
    whole_aim: float | None = None
    waits_for: str = ""


def ppo(env: str, num_envs: int, n_steps: int, batch: int, epochs: int, steps: int) -> Row:
    work = {
        "algo": "ppo",
        "env": env,
        "num_envs": num_envs,
        "n_steps": n_steps,
        "batch_size": batch,
        "n_epochs": epochs,
        "steps": steps,
    }
    command = (
        f"algo=ppo env={env} env.num_envs={num_envs} algo.n_steps={n_steps}"
        f" algo.batch_size={batch} algo.n_epochs={epochs} total_timesteps={steps}"
        f" algo.learning_rate_schedule=constant algo.normalize_reward=false {OFF}"
    )
    title = f"PPO {env}, {num_envs} × {n_steps}, minibatches of {batch}, {epochs} epochs"
    return Row("", title, steps, command, work)


def named(row: Row, name: str, steady: float, whole: float) -> Row:
    return Row(name, row.title, row.steps, row.command, row.work, steady, whole)


DQN = {
    "algo": "dqn",
    "env": "CartPole-v1",
    "batch_size": 128,
    "train_freq": 10,
    "learning_starts": 10_000,
    "buffer_size": 10_000,
    "target_update_interval": 500,
    "steps": 100_000,
}
WORK_ENV = "benchmarks.speed.busy:Busy-v0"

ROWS = (
    named(ppo("CartPole-v1", 8, 128, 256, 4, 100_000), "C1", 4, 2.5),
    named(ppo("CartPole-v1", 1, 2048, 64, 10, 40_000), "C2", 4, 3),
    named(ppo(WORK_ENV, 16, 128, 512, 4, 40_000), "C3", 1.8, 1.5),
    Row("C4", "SAC HalfCheetah-v5", 0, "", waits_for="SAC"),
    Row(
        "C5",
        "DQN CartPole-v1, 120-84, batch 128, train every 10",
        100_000,
        "algo=dqn env=CartPole-v1 network.hidden_sizes=[120,84] algo.batch_size=128"
        " algo.train_freq=10 algo.learning_starts=10000 algo.buffer_size=10000"
        " algo.target_update_interval=500 algo.learning_rate=2.5e-4"
        f" algo.exploration_fraction=0.5 total_timesteps=100000 {OFF}",
        DQN,
        3,
        2,
    ),
    Row("C6", "PPO ALE/Breakout-v5, Nature CNN", 0, "", waits_for="convolutions"),
    named(ppo("HalfCheetah-v5", 1, 2048, 64, 10, 40_960), "C7", 4, 3),
)
