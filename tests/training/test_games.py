"""Games, as they are learned from: the preprocessing by namespace, scores of whole games, exact
resume with stacks in replay and with workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from rltrain.core.errors import UserError
from rltrain.envs.make import make_env
from rltrain.settings.run import build_run
from rltrain.training import build, checkpoint, session
from tests.conftest import small
from tests.training.test_resume import same
from tests.training.test_workers import same as same_but_for_workers

TINY = ("env.screen_size=12", "network.hidden_sizes=[8]", "env.num_envs=2", "env.frame_stack=3")


def test_atari_ids_start_from_the_usual_preprocessing(compose: Any) -> None:
    pytest.importorskip("ale_py")
    run = build_run(compose("algo=dqn", "env=ALE/Breakout-v5"))
    env = run.env
    assert (env.frame_stack, env.frame_skip, env.screen_size, env.noop_max) == (4, 4, 84, 30)
    assert env.grey
    assert env.clip_reward
    assert env.episodic_life
    assert env.fire_reset
    made = make_env(env)
    assert made.observation_space.shape == (4, 84, 84)
    assert made.unwrapped.ale.getFloat("repeat_action_probability") == 0.25  # type: ignore[attr-defined]
    assert made.spec is not None
    assert made.spec.max_episode_steps == 27_000  # actions: 108,000 frames
    made.close()


def test_each_step_is_a_key(compose: Any) -> None:
    pytest.importorskip("ale_py")
    plain = ("env.grey=false", "env.screen_size=null", "env.frame_stack=1", "env.sticky_actions=0")
    made = make_env(build_run(compose("env=ALE/Pong-v5", *plain)).env)
    assert made.observation_space.shape == (210, 160, 3)
    assert made.unwrapped.ale.getFloat("repeat_action_probability") == 0  # type: ignore[attr-defined]
    made.close()


def test_lives_end_no_episode_that_is_scored(compose: Any) -> None:
    pytest.importorskip("ale_py")
    run = build_run(compose("env=ALE/Breakout-v5", "env.num_envs=1"))
    training, scoring = build.env_factory(run)(), build.build_evaluator(run)._make()
    for env, ends in ((training, 5), (scoring, 1)):
        rng, found = np.random.default_rng(0), 0
        env.reset(seed=0)
        over = False
        while not over:
            _, _, terminated, truncated, info = env.step(int(rng.integers(4)))
            if terminated or truncated:
                found += 1
                over = info["lives"] == 0
                env.reset()
        assert found == ends
        env.close()


def test_keys_of_games_are_refused_elsewhere(compose: Any) -> None:
    with pytest.raises(UserError, match=r"env\.noop_max=30 is for ALE/ ids"):
        make_env(build_run(compose("env=CartPole-v1", "env.noop_max=30")).env)


@pytest.mark.parametrize("algo", ["dqn", "ppo"])
def test_atari_spread_over_processes_and_resumed_exactly(
    compose: Any, in_tmp: Path, algo: str
) -> None:
    pytest.importorskip("ale_py")
    overrides = [*small(algo, "env=ALE/Breakout-v5", *TINY), "eval.episodes=1", "eval.every=0"]
    overrides += ["eval.max_episode_steps=20", "env.max_episode_steps=60"]
    whole = session.start(compose(*overrides, "run_name=whole")).folder
    workers = ("sampler=processes", "num_workers=2", "run_name=spread")
    spread = session.start(compose(*overrides, *workers)).folder
    same_but_for_workers(whole, spread)
    file = sorted((spread / "checkpoints").glob("step_*"))[0]
    assert checkpoint.read(file).content["sampler"]["envs"]["lengths"].any()
    session.resume(spread, file, {"sampler": "inline"})
    same(whole, spread)


def test_a_specification_makes_the_same_game(compose: Any) -> None:
    """As a file has it: what a dataset recovers its environment by."""
    pytest.importorskip("ale_py")
    made = make_env(build_run(compose("env=ALE/Pong-v5", *TINY, "env.max_episode_steps=9")).env)
    assert made.spec is not None
    again: Any = gym.make(EnvSpec.from_json(made.spec.to_json()))
    assert again.observation_space == made.observation_space
    assert (made.reset(seed=3)[0] == again.reset(seed=3)[0]).all()
    for i in range(9):
        (seen, *rest), (same, *others) = made.step(2 + i % 2), again.step(2 + i % 2)
        assert (seen == same).all()
        assert rest[:3] == others[:3] == [0.0, False, i == 8]
    made.close()
    again.close()


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["dqn", "ppo"])
def test_a_run_on_minatar_is_resumed_exactly(compose: Any, in_tmp: Path, algo: str) -> None:
    """Its pictures go through convolutions, whose weights are in another order of memory."""
    pytest.importorskip("minatar")
    command = [o for o in small(algo) if not o.startswith("env=")]
    command += ["env=MinAtar/Breakout-v1", "env.num_envs=2", "logger.every=32"]
    whole = session.start(compose(*command, "run_name=whole")).folder
    other = session.start(compose(*command, "run_name=other")).folder
    session.resume(other, sorted((other / "checkpoints").glob("step_*"))[0], {})
    same(whole, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algo", "sampler", "seed", "stack"),
    [("dqn", "inline", 1, 1), ("dqn", "processes", 1, 1), ("ppo", "inline", 0, 4)],
)
def test_a_run_on_atari_is_resumed_exactly(
    compose: Any, in_tmp: Path, algo: str, sampler: str, seed: int, stack: int
) -> None:
    """From a state after which pictures differ where the emulator alone is restored."""
    pytest.importorskip("ale_py")
    command = small(algo, "env=ALE/Pong-v5", "env.num_envs=2", f"env.frame_stack={stack}")
    command += ["env.screen_size=null", "network.hidden_sizes=[8]", f"sampler={sampler}"]
    command += ["eval.episodes=1", "eval.every=0", "logger.every=16", f"seed={seed}"]
    command += ["checkpoint.every=48", "checkpoint.keep_last=9"]
    whole = session.start(compose(*command, "run_name=whole")).folder
    other = session.start(compose(*command, "run_name=other")).folder
    file = sorted((other / "checkpoints").glob("step_*"))[1]
    assert checkpoint.read(file).content["sampler"]["envs"]["lengths"].all()
    session.resume(other, file, {})
    same(whole, other)
