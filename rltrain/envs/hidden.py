"""Environments that show a part of their state: what is hidden has to be remembered."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleEnv


def cartpole_no_velocity() -> gym.Env:
    """CartPole that shows the cart's position and the pole's angle alone."""
    env, seen = CartPoleEnv(), [0, 2]
    whole = env.observation_space
    assert isinstance(whole, spaces.Box)
    shown = spaces.Box(whole.low[seen], whole.high[seen])
    return gym.wrappers.TransformObservation(env, lambda obs: np.asarray(obs)[seen], shown)


gym.register(
    "rltrain/CartPoleNoVelocity-v0",
    entry_point=f"{__name__}:cartpole_no_velocity",
    max_episode_steps=500,
)
