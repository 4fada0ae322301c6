"""Continuous policies that are sampled from act in a unit box, scaled to the environment's bounds.

The reference is Gymnasium's own RescaleAction: an environment with any bounds is learned as
the same environment behind that wrapper, with bounds of ±1, is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from rltrain.core.errors import UserError
from rltrain.core.types import Progress
from rltrain.envs.teams import SideBySide
from rltrain.settings.run import build_run
from rltrain.training import session
from rltrain.training.build import build_algorithm, build_envs, spaces_of
from rltrain.training.sampler import InlineSampler
from tests import datasets
from tests.conftest import small

HERE = "tests.algos.test_scaled_actions"
SAMPLED = ["ppo", "a2c", "reinforce", "trpo"]
# Middles and halves: wide, narrow and not symmetric.
BOXES = {"wide": (0, 1024), "narrow": (-0.125, 0.125), "asymmetric": (-0.25, 0.75)}


class Dose(gym.Env[Any, Any]):
    """Give the share of the range that is seen: the optimum is 0, of episodes of 5 steps."""

    def __init__(self, low: float = 0, high: float = 1024) -> None:
        self.observation_space = spaces.Box(0, 1, (1,), np.float32)
        self.action_space = spaces.Box(low, high, (1,), np.float32)
        self.seen: list[float] = []

    def observe(self) -> np.ndarray[Any, Any]:
        self.wanted = self.np_random.uniform(0.2, 0.8)
        return np.array([self.wanted], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 5
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        space: Any = self.action_space
        given = float((action[0] - space.low[0]) / (space.high[0] - space.low[0]))
        self.seen.append(given)
        self.left -= 1
        return self.observe(), -abs(given - self.wanted), self.left == 0, False, {}


def rescaled(low: float = 0, high: float = 1024) -> gym.Env[Any, Any]:
    return gym.wrappers.RescaleAction(Dose(low, high), np.float32(-1), np.float32(1))


def two(part: float = 1, wrapped: bool = False) -> SideBySide:
    """Two agents, the second with a part of the first one's range."""
    make = rescaled if wrapped else Dose
    return SideBySide({"a": make(0, 1024), "b": make(0, part * 1024)})


def collected(compose: Any, algo: str, *overrides: str) -> tuple[Any, Any]:
    """An algorithm whose memory is full, and its environments."""
    run = build_run(compose(*small(algo), *overrides))
    envs = build_envs(run)
    algorithm = build_algorithm(run, envs)
    sampler = InlineSampler(envs, algorithm, np.random.default_rng(0))
    sampler.collect(algorithm.horizon, Progress(1000), lambda: False)
    return algorithm, envs


def at(step: int) -> Progress:
    progress = Progress(100_000)
    progress.steps = step
    return progress


def bounds(box: str) -> list[str]:
    low, high = BOXES[box]
    return [f"env.kwargs.low={low}", f"env.kwargs.high={high}"]


def parameters(algorithm: Any) -> torch.Tensor:
    learners = getattr(algorithm, "learners", [algorithm])
    found = [p for a in learners for p in a.policy.networks.parameters()]
    return torch.cat([p.detach().reshape(-1) for p in found])


@pytest.mark.parametrize("kernels", ["numpy", "torch"])
@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("algo", SAMPLED)
def test_any_bounds_are_learned_as_the_unit_box_is(
    compose: Any, algo: str, box: str, kernels: str
) -> None:
    keys = [f"kernels={kernels if algo != 'trpo' else 'torch'}", *bounds(box)]
    ours, envs = collected(compose, algo, f"env={HERE}:Dose", *keys)
    reference, wrapped = collected(compose, algo, f"env={HERE}:rescaled", *keys)
    for one, other in zip(envs.envs, wrapped.envs, strict=True):
        np.testing.assert_allclose(one.unwrapped.seen, other.unwrapped.seen, atol=1e-5)
    before = parameters(ours)
    for algorithm in (ours, reference):
        algorithm.update(at(48))
    assert not torch.allclose(before, parameters(ours), atol=1e-4)
    torch.testing.assert_close(parameters(ours), parameters(reference), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("shared", [True, False])
def test_each_agent_has_its_own_bounds(compose: Any, shared: bool) -> None:
    part = 1 if shared else 0.25  # one learner needs equal spaces
    keys = [f"env={HERE}:two", f"env.kwargs.part={part}", "algo.agent_id=false"]
    keys += [f"algo.share_parameters={shared}".lower()]
    ours, envs = collected(compose, "ippo", *keys)
    reference, wrapped = collected(compose, "ippo", *keys, "env.kwargs.wrapped=true")
    for one, other in zip(envs.envs, wrapped.envs, strict=True):
        for name in "ab":
            seen = [env.unwrapped.parallel_env.envs[name].unwrapped.seen for env in (one, other)]
            np.testing.assert_allclose(*seen, atol=1e-5)
    for algorithm in (ours, reference):
        algorithm.update(at(48))
    torch.testing.assert_close(parameters(ours), parameters(reference), atol=1e-4, rtol=1e-3)


def test_what_is_learned_from_is_what_was_drawn(compose: Any) -> None:
    """The log-probability of each action in memory is the one it was drawn with."""
    algorithm, _ = collected(compose, "ppo", f"env={HERE}:Dose")
    x, action, log_prob = algorithm.samples()
    again = algorithm.policy.networks.evaluate(torch.from_numpy(x), torch.from_numpy(action))[0]
    np.testing.assert_allclose(again.detach().numpy(), log_prob, atol=1e-4)
    assert 0.7 < action.std() < 1.3


def test_without_the_key_actions_have_the_units_of_the_environment(compose: Any) -> None:
    algorithm, envs = collected(compose, "ppo", f"env={HERE}:Dose", "algo.scale_actions=false")
    _, action, _ = algorithm.samples()
    assert 0.7 < action.std() < 1.3
    np.testing.assert_array_equal(action, algorithm.memory.action.reshape(-1, 1))
    assert max(given for env in envs.envs for given in env.unwrapped.seen) < 0.01


def test_a_clone_acts_in_the_units_of_its_dataset(compose: Any) -> None:
    env = Dose()
    obs = np.linspace(0.2, 0.8, 40, dtype=np.float32)[:, None]
    datasets.write("dose/right-v0", env, datasets.one_step_episodes(obs, obs * 1024, obs[:, 0]))
    keys = ["algo=bc", f"env={HERE}:Dose", "tuned=none", "dataset=dose/right-v0", "algo.loss=mse"]
    run = build_run(compose(*keys, "algo.learning_rate_schedule=constant", "algo.batch_size=36"))
    algorithm: Any = build_algorithm(run, spaces_of(run))
    for step in range(300):
        algorithm.update(at((step + 1) * 36))
    action, _, _ = algorithm.policy.act(obs, None, False, np.random.default_rng(0))
    assert abs(action / 1024 - obs).max() < 0.05


def test_an_earlier_run_keeps_the_units_that_it_learned_in(compose: Any, in_tmp: Path) -> None:
    """Networks are taken over only with what their actions mean."""
    keys = ["env=Pendulum-v1", "eval.every=0"]
    raw = session.start(compose(*small("ppo"), *keys, "algo.scale_actions=false")).folder
    config = [*small("ppo"), *keys, f"init_from={raw}"]
    with pytest.raises(UserError, match=r"learned with algo\.scale_actions=false"):
        session.start(compose(*config))
    session.start(compose(*config, "algo.scale_actions=false"))
