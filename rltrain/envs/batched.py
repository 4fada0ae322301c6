"""Environments whose physics is known well enough to step many at once.

The environments themselves stay: they reset, draw from their own generators, and are
saved; their state is pulled from them at a reset and pushed back before a save. Each step
is bit for bit the one they would have taken, which a test asserts.

Legend: B environments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.wrappers import OrderEnforcing, TimeLimit
from numpy.typing import NDArray

Env = gym.Env[Any, Any]
Rows = NDArray[Any]

FEW = 24  # up to as many, Python's floats are faster


class BatchedCartPole:
    """The cart and pole of Barto, Sutton & Anderson (1983), as Gymnasium steps it."""

    def __init__(self, envs: list[Env], limits: list[TimeLimit]) -> None:
        self._envs: list[Any] = [env.unwrapped for env in envs]
        self._limits: list[Any] = limits
        self._limit = self._limits[0]._max_episode_steps
        self._one = self._envs[0]  # the constants are those of all
        self._penalty = self._one._sutton_barto_reward
        self._state = np.zeros((4, len(envs)))  # x, ẋ, θ, θ̇
        self._elapsed = np.zeros(len(envs), np.int64)

    @classmethod
    def of(cls, envs: list[Env]) -> BatchedCartPole | None:
        """None where the environments are anything but plain CartPoles under a time limit."""
        limits = []
        for env in envs:
            if type(env) is not TimeLimit:
                return None
            inner: Any = env.env
            inner = inner.env if type(inner) is OrderEnforcing else inner
            if type(inner) is not CartPoleEnv or inner.render_mode is not None:
                return None
            limits.append(env)
        return cls(envs, limits)

    def pull(self, i: int) -> None:
        """Takes over the state of environment `i`, which was reset or restored."""
        self._state[:, i] = self._envs[i].state
        self._elapsed[i] = self._limits[i]._elapsed_steps

    def push(self) -> None:
        """Puts the state into the environments, as their own steps would have."""
        for i, env in enumerate(self._envs):
            env.state = self._state[:, i].copy()
            self._limits[i]._elapsed_steps = int(self._elapsed[i])

    def step(self, actions: Rows) -> tuple[Rows, Rows, Rows, Rows]:
        """Observations `[B, 4]`, rewards, and flags of termination and truncation `[B]`."""
        move = self._move_one_by_one if len(actions) <= FEW else self._move_at_once
        terminated = move(actions)
        reward = np.where(terminated, -1.0, 0.0) if self._penalty else np.ones(len(actions))
        self._elapsed += 1
        truncated = self._elapsed >= self._limit
        return self._state.T.astype(np.float32), reward, terminated, truncated

    def _move_one_by_one(self, actions: Rows) -> Rows:
        """In Python's floats, which for a few are faster than arrays; flags of termination."""
        c = self._one
        push_of, mass, total = c.force_mag, c.polemass_length, c.total_mass
        length, pole, gravity, tau = c.length, c.masspole, c.gravity, c.tau
        theta_limit, x_limit = c.theta_threshold_radians, c.x_threshold
        theta_row = self._state[2]
        columns = zip(
            self._state.T.tolist(),
            np.cos(theta_row).tolist(),
            np.sin(theta_row).tolist(),
            actions.tolist(),
            strict=True,
        )
        moved, out = [], []
        for (x, x_dot, theta, theta_dot), cos, sin, action in columns:
            force = push_of if action == 1 else -push_of
            push = (force + mass * (theta_dot * theta_dot) * sin) / total
            inertia = length * (4.0 / 3.0 - pole * (cos * cos) / total)
            theta_acc = (gravity * sin - cos * push) / inertia
            x_acc = push - mass * theta_acc * cos / total
            x += tau * x_dot
            theta += tau * theta_dot
            moved.append((x, x_dot + tau * x_acc, theta, theta_dot + tau * theta_acc))
            out.append(abs(x) > x_limit or abs(theta) > theta_limit)
        self._state = np.array(moved).T
        return np.array(out)

    def _move_at_once(self, actions: Rows) -> Rows:
        c = self._one
        x, x_dot, theta, theta_dot = self._state
        force = np.where(actions == 1, c.force_mag, -c.force_mag)
        cos, sin = np.cos(theta), np.sin(theta)
        push = (force + c.polemass_length * np.square(theta_dot) * sin) / c.total_mass
        inertia = c.length * (4.0 / 3.0 - c.masspole * np.square(cos) / c.total_mass)
        theta_acc = (c.gravity * sin - cos * push) / inertia
        x_acc = push - c.polemass_length * theta_acc * cos / c.total_mass
        # Each row is read before it is moved: an explicit Euler step.
        self._state = state = np.stack(
            (
                x + c.tau * x_dot,
                x_dot + c.tau * x_acc,
                theta + c.tau * theta_dot,
                theta_dot + c.tau * theta_acc,
            )
        )
        out = np.abs(state[0]) > c.x_threshold
        terminated: Rows = out | (np.abs(state[2]) > c.theta_threshold_radians)
        return terminated


def knows(make: Callable[[], Env]) -> bool:
    """Whether `batch` would step such environments at once."""
    env = make()
    try:
        return batch([env]) is not None
    finally:
        env.close()


def batch(envs: list[Env]) -> BatchedCartPole | None:
    """What steps these environments at once; None where nothing here knows them."""
    return BatchedCartPole.of(envs)
