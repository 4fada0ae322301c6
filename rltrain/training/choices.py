"""What is chosen where the settings leave it open: device, kernels, threads, sampler."""

from __future__ import annotations

import functools
import multiprocessing
import os
import random
import time
from typing import Any

import numpy as np
import torch

from rltrain.core.errors import UserError
from rltrain.core.processes import cores
from rltrain.core.seeding import global_state, set_global_state
from rltrain.envs import batched
from rltrain.envs.make import make_env
from rltrain.envs.team import Team
from rltrain.envs.vector import Env
from rltrain.settings import registry
from rltrain.settings.run import RunSettings
from rltrain.training.bodies import network_size
from rltrain.training.performance import Performance

# Below this many parameters of a body: one thread, NumPy, the CPU. One thread beat two by a
# fifth for 64-64, and NumPy beat torch up to 512-512 (270,000); where a GPU begins to pay
# was not measured.
SMALL = 500_000

# Workers pay from this many seconds on that they save in a step of all environments: they
# write each step twice, and a horizon begins and ends with a message.
WORTH_WORKERS = 400e-6


def choose_device(wanted: str, parameters: int, performance: Performance) -> torch.device:
    """The device that was asked for, or the one that suits the network's size.

    Raises:
        UserError: there is no such device.
    """
    if wanted == "auto":
        use = "cuda" if torch.cuda.is_available() and parameters >= SMALL else "cpu"
        why = "no GPU here" if not torch.cuda.is_available() else _size(parameters)
        performance.chose("device", use, f"auto: {why}")
        return torch.device(use)
    try:
        device = torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        count = torch.cuda.device_count()
        there = "cpu" + "".join(f", cuda:{i}" for i in range(count))
        near = " Did you mean device=cuda?" if wanted.lower() in ("gpu", "cuda", "nvidia") else ""
        near = near if wanted != "cuda" else ""
        raise UserError(f"device={wanted} is not there. Devices here: {there}.{near}") from error
    performance.chose("device", wanted, "asked for")
    return device


def choose_kernels(
    wanted: str,
    device: torch.device,
    parameters: int,
    performance: Performance,
    known: bool = True,
    torch_only: str = "",
) -> str:
    """`numpy` or `torch`: what small networks act and learn with, if NumPy's kernels are `known`
    to have them and nothing was asked for that is `torch_only`, which says why.

    Raises:
        UserError: NumPy's were asked for, and cannot be.
    """
    if torch_only:
        if wanted == "numpy":
            raise UserError(f"kernels=numpy: {torch_only}. Set kernels=auto.")
        performance.chose("kernels", "torch", f"{wanted}: {torch_only}")
        return "torch"
    if wanted == "auto":
        small = device.type == "cpu" and parameters < SMALL
        what = _size(parameters) if parameters else "a linear network" if known else "a table"
        why = f"{what} on {device.type}"
        if small and parameters and not known:
            why = "the network is no chain of layers that NumPy's are written for"
        use = "numpy" if small and known else "torch"
        performance.chose("kernels", use, f"auto: {why}")
        return use
    if wanted == "numpy" and device.type != "cpu":
        raise UserError(f"kernels=numpy computes on the CPU, and this run's device is {device}.")
    performance.chose("kernels", wanted, "asked for")
    return wanted


def torch_only(run: RunSettings) -> str:
    """Why NumPy's kernels cannot do what the settings ask for; empty where they can."""
    accumulation = getattr(run.optimizer, "accumulation", 1)
    if registry.entry("network", run.network.name).recurrent:
        return "the network is recurrent"
    if run.init_freeze:
        return "init_freeze keeps parameters as they are"
    if run.precision == "bf16":
        return "precision=bf16 is torch's"
    if run.compile == "on":
        return "compile=on is torch's"
    if run.augment.name != "none":
        return f"augment={run.augment.name} is torch's"
    if reason := getattr(run.algo, "torch_only", ""):
        return str(reason)
    return f"optimizer.accumulation={accumulation} is torch's" if accumulation > 1 else ""


def choose_threads(wanted: int | str, parameters: int, performance: Performance) -> int:
    """Sets torch's threads: what was asked for, or what is fastest for the network's size."""
    if isinstance(wanted, int):
        count, why = wanted, "asked for"
    elif parameters < SMALL:
        count, why = 1, f"auto: {_size(parameters)} runs fastest with one"
    else:
        allowed = os.environ.get("OMP_NUM_THREADS", "")
        count = int(allowed) if allowed.isdigit() else cores()
        why = f"auto: {_size(parameters)}"
    torch.set_num_threads(count)
    performance.chose("threads", count, why)
    return count


def choose_sampler(run: RunSettings, performance: Performance) -> int:
    """The number of worker processes, 0 for none: what was asked for, or what is faster.

    On a CPU both give the same numbers, so that a clock may decide.

    Raises:
        UserError: there are more workers than environments.
    """
    count, most = run.env.num_envs, cores()
    workers = min(count, most) if run.num_workers == "auto" else run.num_workers
    if workers > count:
        raise UserError(f"num_workers={workers}: env.num_envs={count} leaves some without work.")
    if run.env.step_timeout is not None and run.sampler == "inline":
        raise UserError(
            f"env.step_timeout={run.env.step_timeout:g}: an environment that hangs in this process"
            " cannot be stopped. Set sampler=processes, or env.step_timeout=null."
        )
    if run.env.step_timeout is not None:
        pays, why = True, "env.step_timeout needs them"
    elif run.sampler != "auto":
        pays, why = run.sampler == "processes", "asked for"
    elif count == 1 or most == 1:
        pays, why = False, f"auto: one {'environment' if count == 1 else 'core'}"
    elif run.env.batched and batched.knows(functools.partial(make_env, run.env)):
        pays, why = False, "auto: they are stepped at once"
    elif run.compile == "on":
        pays, why = False, "auto: workers compile nothing, and act otherwise in the last bits"
    elif multiprocessing.current_process().daemon:
        pays, why = False, "auto: this process may have no children"
    else:
        pays, why = _workers_pay(run, workers)
    chosen = f"{workers} processes" if pays else "inline"
    performance.chose("sampler", chosen, why)
    return workers if pays else 0


def _workers_pay(run: RunSettings, workers: int) -> tuple[bool, str]:
    """Whether what workers save in a step is worth handing over, and why."""
    env = make_env(run.env)
    try:
        try:
            seconds, draws = time_step(env)
        except Exception as error:  # what it is says the first step of training
            return False, f"auto: a trial step raised {type(error).__name__}"
        on_gpu = run.device != "cpu" and torch.cuda.is_available()
        team = env.unwrapped
        space = team.row_space if isinstance(team, Team) else env.observation_space
        if on_gpu and network_size(run, space) >= SMALL:
            return False, "auto: workers act on the CPU, whose last bits are not the GPU's"
    finally:
        env.close()
    if draws:
        return False, "auto: the environment draws from global random generators"
    count = run.env.num_envs
    saved = (count - -(-count // workers)) * seconds
    return saved > WORTH_WORKERS, f"auto: {count} environments, {seconds * 1e6:,.0f} µs a step"


def time_step(env: Env) -> tuple[float, bool]:
    """Seconds of a step under random actions, the median of some, and whether it draws from
    Python's or NumPy's global generators, which are put back."""
    outside, began = global_state(), time.perf_counter()
    seconds: list[float] = []
    env.action_space.seed(0)
    env.reset(seed=0)
    before = _globals()
    while len(seconds) < 2 or (len(seconds) < 100 and time.perf_counter() - began < 0.1):
        action, clock = env.action_space.sample(), time.perf_counter()
        _, _, terminated, truncated, _ = env.step(action)
        seconds.append(time.perf_counter() - clock)
        if terminated or truncated:
            env.reset()
    draws = before != _globals()
    set_global_state(outside)
    return float(np.median(seconds)), draws


def _globals() -> tuple[Any, ...]:
    state: Any = np.random.get_state(legacy=False)
    return random.getstate(), state["state"]["key"].tobytes(), state["state"]["pos"]


def _size(parameters: int) -> str:
    return f"a network of {parameters:,} parameters" if parameters else "no hidden layers"
