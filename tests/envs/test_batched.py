from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from rltrain.envs.batched import FEW, BatchedCartPole
from rltrain.envs.vector import VectorEnv


def make(**kwargs: Any) -> Callable[[], gym.Env]:
    return lambda: gym.make("CartPole-v1", disable_env_checker=True, **kwargs)


def both(num_envs: int, **kwargs: Any) -> tuple[VectorEnv, VectorEnv]:
    plain = VectorEnv(make(**kwargs), num_envs, 3, "x", batch=False)
    batched = VectorEnv(make(**kwargs), num_envs, 3, "x")
    assert plain._batch is None
    assert isinstance(batched._batch, BatchedCartPole)
    return plain, batched


def same_step(plain: VectorEnv, batched: VectorEnv, actions: np.ndarray) -> bool:
    """Whether an episode ended; everything must be equal to the last bit."""
    a, b = plain.step(actions), batched.step(actions)
    for name in ("obs", "successor", "reward", "terminated", "truncated"):
        one, other = getattr(a, name), getattr(b, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert a.episodes == b.episodes
    return bool(a.episodes)


@pytest.mark.parametrize("num_envs", [1, 3, FEW, FEW + 1])
@pytest.mark.parametrize(
    "kwargs", [{}, {"sutton_barto_reward": True}, {"max_episode_steps": 13}], ids=str
)
def test_every_bit_is_that_of_the_environments_own_steps(
    num_envs: int, kwargs: dict[str, Any]
) -> None:
    plain, batched = both(num_envs, **kwargs)
    np.testing.assert_array_equal(plain.restart(5), batched.restart(5))
    rng = np.random.default_rng(0)
    ended = [same_step(plain, batched, rng.integers(2, size=num_envs)) for _ in range(300)]
    assert sum(ended) > 5


def test_a_state_goes_from_one_kind_to_the_other() -> None:
    plain, batched = both(4)
    plain.restart()
    batched.restart()
    rng = np.random.default_rng(0)
    for _ in range(29):
        same_step(plain, batched, rng.integers(2, size=4))
    states = plain.state_dict(), batched.state_dict()
    other_plain, other_batched = both(4)
    other_plain.load_state_dict(states[1])
    other_batched.load_state_dict(states[0])
    for _ in range(60):
        same_step(other_plain, other_batched, rng.integers(2, size=4))


def test_another_kind_is_stepped_by_itself() -> None:
    assert VectorEnv(make(render_mode="rgb_array"), 2, 0)._batch is None
    pendulum = lambda: gym.make("Pendulum-v1", disable_env_checker=True)  # noqa: E731
    assert VectorEnv(pendulum, 2, 0)._batch is None
    assert BatchedCartPole.of([gym.wrappers.RescaleAction(pendulum(), -1.0, 1.0)]) is None
    assert BatchedCartPole.of([gym.wrappers.ClipReward(make()(), 0, 1)]) is None


def test_a_wrong_action_is_still_an_error() -> None:
    from rltrain.core.errors import EnvError

    _, batched = both(2)
    batched.restart()
    with pytest.raises(EnvError, match="actions of shape"):
        batched.step(np.zeros(3, np.int64))
