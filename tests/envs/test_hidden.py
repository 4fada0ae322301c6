import gymnasium as gym
import numpy as np

import rltrain.envs.hidden  # noqa: F401  # registers them


def test_the_cart_hides_its_velocities() -> None:
    shown, whole = gym.make("rltrain/CartPoleNoVelocity-v0"), gym.make("CartPole-v1")
    assert shown.spec is not None
    assert shown.spec.max_episode_steps == 500
    a, _ = shown.reset(seed=3)
    b, _ = whole.reset(seed=3)
    for action in (0, 1, 1):
        assert shown.observation_space.contains(a)
        assert a.tolist() == np.asarray(b)[[0, 2]].tolist()
        (a, *left), (b, *right) = shown.step(action), whole.step(action)
        assert left == right
