"""From settings to objects."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from rltrain.algos.base import Algorithm, Parts
from rltrain.core.errors import UserError
from rltrain.core.seeding import seed_everything
from rltrain.core.spaces import size_of
from rltrain.envs.make import make_env
from rltrain.envs.vector import Env, VectorEnv
from rltrain.fast.startup import spare_dynamo
from rltrain.settings import registry
from rltrain.settings.run import RunSettings
from rltrain.training.evaluation import Evaluator

logger = logging.getLogger("rltrain")

# Below this many parameters of a body: one thread, NumPy, the CPU. One thread beat two by a
# fifth for 64-64, and NumPy beat torch up to 512-512 (270,000); where a GPU begins to pay
# was not measured.
SMALL = 500_000


def env_factory(run: RunSettings, **overrides: Any) -> Callable[[], Env]:
    """Makes environments as the run's settings say."""
    return functools.partial(make_env, run.env, **overrides)


def build_evaluator(run: RunSettings) -> Evaluator:
    return Evaluator(
        env_factory(run),
        run.eval.episodes,
        run.eval.deterministic,
        run.seed,
        run.eval.max_episode_steps,
    )


def build_envs(run: RunSettings) -> VectorEnv:
    make, env = env_factory(run), run.env
    return VectorEnv(make, env.num_envs, run.seed, "environments", batch=env.batched)


def build_algorithm(run: RunSettings, envs: VectorEnv) -> Algorithm:
    """The algorithm with its networks, on its device; sets torch's threads and global seeds."""
    entry = registry.entry("algo", run.algo.name)
    network = functools.partial(_network, run)
    parameters = (
        sum(p.numel() for p in network(size_of(envs.observation_space)).parameters())
        if entry.networks
        else 0
    )
    device = choose_device(run.device, parameters)
    choose_threads(run.num_threads, parameters)
    kernels = choose_kernels(run.kernels, device, parameters)
    if kernels == "numpy":
        spare_dynamo()
    seed_everything(run.seed)
    parts = Parts(
        observation_space=envs.observation_space,
        action_space=envs.action_space,
        num_envs=envs.num_envs,
        seed=run.seed,
        device=device,
        network=network,
        optimizer=functools.partial(_optimizer, run),
        kernels=kernels,
    )
    algorithm: Algorithm = entry.load()(run.algo, parts)
    return algorithm


def _network(run: RunSettings, in_features: int) -> nn.Module:
    module: nn.Module = registry.entry("network", run.network.name).load()(run.network, in_features)
    return module


def _optimizer(
    run: RunSettings, parameters: Iterable[nn.Parameter], learning_rate: float
) -> torch.optim.Optimizer:
    cls = registry.entry("optimizer", run.optimizer.name).load()
    kwargs = {k: v for k, v in asdict(run.optimizer).items() if k != "name"}
    if "fused" in cls.__init__.__annotations__:
        kwargs["fused"] = True  # one call for all parameters
    optimizer: torch.optim.Optimizer = cls(parameters, lr=learning_rate, **kwargs)
    return optimizer


def choose_device(wanted: str, parameters: int) -> torch.device:
    """The device that was asked for, or the one that suits the network's size.

    Raises:
        UserError: there is no such device.
    """
    if wanted == "auto":
        use = "cuda" if torch.cuda.is_available() and parameters >= SMALL else "cpu"
        why = "no GPU here" if not torch.cuda.is_available() else _size(parameters)
        logger.info("device: %s (auto: %s)", use, why)
        return torch.device(use)
    try:
        device = torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        count = torch.cuda.device_count()
        there = "cpu" + "".join(f", cuda:{i}" for i in range(count))
        raise UserError(f"device={wanted} is not there. Devices here: {there}.") from error
    return device


def choose_kernels(wanted: str, device: torch.device, parameters: int) -> str:
    """`numpy` or `torch`: what small networks act and learn with."""
    if wanted == "auto":
        use = "numpy" if device.type == "cpu" and 0 < parameters < SMALL else "torch"
        logger.info("kernels: %s (auto: %s on %s)", use, _size(parameters), device.type)
        return use
    if wanted == "numpy" and device.type != "cpu":
        raise UserError(f"kernels=numpy computes on the CPU, and this run's device is {device}.")
    return wanted


def choose_threads(wanted: int | str, parameters: int) -> int:
    """Sets torch's threads: what was asked for, or what is fastest for the network's size."""
    if isinstance(wanted, int):
        count, why = wanted, "asked for"
    elif parameters < SMALL:
        count, why = 1, f"auto: {_size(parameters)} runs fastest with one"
    else:
        allowed = os.environ.get("OMP_NUM_THREADS", "")
        count = int(allowed) if allowed.isdigit() else len(os.sched_getaffinity(0))
        why = f"auto: {_size(parameters)}"
    torch.set_num_threads(count)
    logger.info("torch threads: %d (%s)", count, why)
    return count


def _size(parameters: int) -> str:
    return f"a network of {parameters:,} parameters" if parameters else "a table"
