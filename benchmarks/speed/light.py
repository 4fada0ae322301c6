"""`python -m benchmarks.speed.light ROW SCALE`: the least time that a row's work can take here.

E is the environments alone, with their MDP wrappers and actions drawn beforehand; I and U
are the matrix products that acting and updating cannot do without, preallocated, plus tanh
and the optimiser's memory traffic; P is the processes that may share the work. Each is
timed over a part of the row's work and scaled up to all of it.

    on-policy T = (E + I) / P + U / P      off-policy T = E + I + U      SAC T = E + I + U / P

SAC's two critics may be computed side by side, and halves of a minibatch of its actor.

Legend: B environments, N samples of a minibatch, D numbers of an observation.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.rows import Row, rows

Floats = NDArray[Any]
MOST = {"steps": 10_000, "acts": 5_000, "updates": 500}  # timed at most
TRIES = 5  # of which the median counts: the work is disturbed as much as what it is held to
# Linear from 1 to 0.05 over the first half: the share of steps that look at the network.
GREEDY = 1 - 0.5 * (1 + 0.05) / 2 - 0.5 * 0.05


@dataclass(frozen=True)
class Networks:
    """Layer sizes of what acts, of what learns, of what only goes forward, as targets do, and of
    what a gradient goes through to the inputs without one for the parameters."""

    act: tuple[tuple[int, ...], ...]
    learn: tuple[tuple[int, ...], ...]
    target: tuple[tuple[int, ...], ...] = ()
    through: tuple[tuple[int, ...], ...] = ()

    @property
    def parameters(self) -> int:
        return sum(a * b + b for sizes in self.learn for a, b in _pairs(sizes))


def networks(work: Mapping[str, Any], inputs: int, outputs: int) -> Networks:
    if work["algo"] == "dqn":
        q = ((inputs, 120, 84, outputs),)
        return Networks(q, q, q)
    if work["algo"] == "sac":
        actor, critic = (inputs, 256, 256, 2 * outputs), (inputs + outputs, 256, 256, 1)
        # Forward: the actor on successors, two targets, both critics on the actor's actions.
        # Each sample's gradient goes through the critic that is the smaller one for it.
        return Networks((actor,), (actor, critic, critic), (actor, *4 * (critic,)), (critic,))
    both = ((inputs, 64, 64, outputs), (inputs, 64, 64, 1))
    return Networks(both, both)


def counts(work: Mapping[str, Any]) -> dict[str, float]:
    """How often: environment steps, batched acts, and updates."""
    steps, num_envs = work["steps"], work.get("num_envs", 1)
    if work["algo"] == "dqn":
        updates = (steps - work["learning_starts"]) / work["train_freq"]
        return {"steps": steps, "acts": steps * GREEDY, "updates": updates}
    if work["algo"] == "sac":
        left = steps - work["learning_starts"]
        return {"steps": steps, "acts": left, "updates": left / work["train_freq"]}
    updates = steps / work["batch_size"] * work["n_epochs"]
    return {"steps": steps, "acts": steps / num_envs, "updates": updates}


def products(sizes: Sequence[int]) -> dict[str, int]:
    """Matrix products of one network: forward, and backward without that of the input."""
    layers = len(sizes) - 1
    return {"forward": layers, "backward": 2 * layers - 1}


def bound(algo: str, E: float, I: float, U: float, P: int) -> float:  # noqa: E741
    """Seconds of all the work, from those of its pieces."""
    if algo == "dqn":
        return E + I + U
    return (E + I) / (1 if algo == "sac" else P) + U / P


def processes(work: Mapping[str, Any], cores: int) -> int:
    """One environment cannot be shared out; twin critics can."""
    return min(2, cores) if work.get("num_envs", 1) > 1 or work["algo"] == "sac" else 1


def measure(row: Row) -> dict[str, Any]:
    """Calibrates a row on this machine."""
    work, often = row.work, counts(row.work)
    env = gym.make(work["env"])
    discrete = isinstance(env.action_space, gym.spaces.Discrete)
    inputs = int(np.prod(env.observation_space.shape))
    outputs = int(env.action_space.n if discrete else np.prod(env.action_space.shape))
    nets = networks(work, inputs, outputs)
    pieces = {
        "E": _timed(environments(work), often["steps"], MOST["steps"], work.get("num_envs", 1)),
        "I": _timed(acting(nets, work.get("num_envs", 1)), often["acts"], MOST["acts"]),
        "U": _timed(updating(nets, work["batch_size"]), often["updates"], MOST["updates"]),
        "P": processes(work, len(os.sched_getaffinity(0))),
    }
    return pieces | {"T": bound(work["algo"], **pieces), "counts": often}


def _timed(once: Callable[[], None], times: float, most: int, stride: int = 1) -> float:
    """Seconds of `times` units, `stride` of which a call does."""
    calls = max(1, int(min(times, most)) // stride)
    once()
    took = []
    for _ in range(TRIES):
        began = time.perf_counter()
        for _ in range(calls):
            once()
        took.append(time.perf_counter() - began)
    return float(np.median(took) * times / (calls * stride))


def environments(work: Mapping[str, Any]) -> Callable[[], None]:
    """One step of all environments."""
    num_envs = work.get("num_envs", 1)
    if work["env"] == "CartPole-v1" and num_envs > 1:
        return cartpoles(num_envs)
    env = bare(work["env"])
    env.reset(seed=0)
    space = env.action_space
    space.seed(0)
    actions = [space.sample() for _ in range(1000)]
    at = 0

    def step() -> None:
        nonlocal at
        for _ in range(num_envs):
            at = (at + 1) % 1000
            _, _, terminated, truncated, _ = env.step(actions[at])
            if terminated or truncated:
                env.reset()

    return step


def bare(name: str) -> gym.Env[Any, Any]:
    """An environment with its time limit, which is part of the task, and no other wrapper."""
    env = gym.make(name)
    limit = env.spec.max_episode_steps if env.spec else None
    plain = env.unwrapped
    return gym.wrappers.TimeLimit(plain, limit) if limit else plain


def cartpoles(num_envs: int) -> Callable[[], None]:
    """CartPole's arithmetic for all at once, with what a reset draws, and nothing around it."""
    rng = np.random.default_rng(0)
    pushes = rng.choice([-10.0, 10.0], (1000, num_envs))
    starts = rng.uniform(-0.05, 0.05, (1000, 4, num_envs))
    state = starts[0].copy()
    elapsed = np.zeros(num_envs, np.int64)
    a, b, c, d = np.empty((4, num_envs))
    at = 0

    def step() -> None:
        nonlocal at, elapsed
        at = (at + 1) % 1000
        _, x_dot, theta, theta_dot = state
        np.cos(theta, out=a)
        np.sin(theta, out=b)
        np.multiply(theta_dot, theta_dot, out=c)
        np.multiply(c, b, out=c)
        np.multiply(c, 0.05, out=c)
        np.add(c, pushes[at], out=c)
        np.divide(c, 1.1, out=c)  # push
        np.multiply(b, 9.8, out=b)
        np.multiply(a, c, out=d)
        np.subtract(b, d, out=b)
        np.multiply(a, a, out=d)
        np.multiply(d, -0.05 / 1.1, out=d)
        np.add(d, 0.5 * 4 / 3, out=d)
        np.divide(b, d, out=b)  # angular acceleration
        np.multiply(a, b, out=a)
        np.multiply(a, 0.05 / 1.1, out=a)
        np.subtract(c, a, out=c)  # acceleration
        state[0] += 0.02 * x_dot
        state[1] += 0.02 * c
        state[2] += 0.02 * theta_dot
        state[3] += 0.02 * b
        elapsed += 1
        over = (np.abs(state[0]) > 2.4) | (np.abs(state[2]) > 0.2095) | (elapsed >= 500)
        if over.any():
            state[:, over] = starts[at][:, over]
            elapsed[over] = 0

    return step


class Layers:
    """One network's products, into arrays made beforehand."""

    def __init__(self, sizes: Sequence[int], n: int) -> None:
        rng = np.random.default_rng(0)

        def array(*shape: int) -> Floats:
            return rng.standard_normal(shape, np.float32)

        self.kept = [array(n, size) for size in sizes]
        self.weights = [array(a, b) / np.float32(a) for a, b in _pairs(sizes)]
        self.weight_gradients = [np.empty_like(w) for w in self.weights]
        self.gradients = [array(n, size) for size in sizes]

    def forward(self, tanh: bool = False) -> None:
        last = len(self.weights) - 1
        for i, weight in enumerate(self.weights):
            np.matmul(self.kept[i], weight, out=self.kept[i + 1])
            if tanh and i < last:
                np.tanh(self.kept[i + 1], out=self.kept[i + 1])

    def backward(self) -> None:
        for i in range(len(self.weights) - 1, -1, -1):
            np.matmul(self.kept[i].T, self.gradients[i + 1], out=self.weight_gradients[i])
            if i:
                np.matmul(self.gradients[i + 1], self.weights[i].T, out=self.gradients[i])

    def through(self) -> None:
        for i in range(len(self.weights) - 1, 0, -1):
            np.matmul(self.gradients[i + 1], self.weights[i].T, out=self.gradients[i])


def acting(nets: Networks, num_envs: int) -> Callable[[], None]:
    """One batched act."""
    layers = [Layers(sizes, num_envs) for sizes in nets.act]

    def act() -> None:
        for network in layers:
            network.forward(tanh=True)

    return act


def updating(nets: Networks, batch: int) -> Callable[[], None]:
    """One update: forward, backward, and Adam's reads of four arrays and writes of three."""
    learn = [Layers(sizes, batch) for sizes in nets.learn]
    target = [Layers(sizes, batch) for sizes in nets.target]
    through = [Layers(sizes, batch) for sizes in nets.through]
    values, gradient, first, second = np.zeros((4, nets.parameters), np.float32)

    def update() -> None:
        for network in target:
            network.forward()
        for network in learn:
            network.forward()
            network.backward()
        for network in through:
            network.through()
        np.add(first, gradient, out=first)
        np.add(second, gradient, out=second)
        np.add(values, first, out=values)

    return update


def _pairs(sizes: Sequence[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise(sizes))


if __name__ == "__main__":
    wanted = next(r for r in rows(float(sys.argv[2])) if r.name == sys.argv[1])
    print("REPORT " + json.dumps(measure(wanted)))
