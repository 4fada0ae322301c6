"""From settings to objects."""

from __future__ import annotations

import functools
import logging
import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from gymnasium import Space
from torch import Tensor, nn

from rltrain import fast
from rltrain.algos.averaged import Averaged
from rltrain.algos.base import Algorithm, Parts
from rltrain.augment.base import Augmentation
from rltrain.core.errors import UserError
from rltrain.core.layout import Layout, layout_of
from rltrain.core.lean_torch import spare_dynamo
from rltrain.core.processes import cores, keep_freed_memory
from rltrain.core.seeding import generator, global_state, seed_everything, set_global_state
from rltrain.core.spaces import Agent
from rltrain.envs import batched
from rltrain.envs.make import make_env
from rltrain.envs.team import Team
from rltrain.envs.team_vector import vector_env
from rltrain.envs.vector import Env, VectorEnv
from rltrain.intrinsic.curious import Curious
from rltrain.memory.dataset import Dataset, read
from rltrain.networks.encoders import with_encoder
from rltrain.networks.mlp import with_head
from rltrain.networks.precision import in_bfloat16
from rltrain.settings import registry
from rltrain.settings.optimizers import OptimizerSettings
from rltrain.settings.run import RunSettings
from rltrain.training.evaluation import Evaluator
from rltrain.training.performance import Performance

logger = logging.getLogger("rltrain")

# Below this many parameters of a body: one thread, NumPy, the CPU. One thread beat two by a
# fifth for 64-64, and NumPy beat torch up to 512-512 (270,000); where a GPU begins to pay
# was not measured.
SMALL = 500_000

# Workers pay from this many seconds on that they save in a step of all environments: they
# write each step twice, and a horizon begins and ends with a message.
WORTH_WORKERS = 400e-6


def env_factory(run: RunSettings, **overrides: Any) -> Callable[[], Env]:
    """Makes environments as the run's settings say."""
    return functools.partial(make_env, run.env, **overrides)


def build_evaluator(run: RunSettings) -> Evaluator:
    return Evaluator(
        functools.partial(make_env, replace(run.env, episodic_life=False)),
        run.eval.episodes,
        run.eval.deterministic,
        run.seed,
        run.eval.max_episode_steps,
    )


@dataclass(frozen=True)
class Spaces:
    """All that an algorithm has to know of the environments."""

    observation_space: Space
    action_space: Space
    num_envs: int
    agents: tuple[Agent, ...] = ()

    @property
    def num_rows(self) -> int:
        return self.num_envs * max(1, len(self.agents))


def build_envs(
    run: RunSettings,
    first: int = 0,
    count: int | None = None,
    performance: Performance | None = None,
) -> VectorEnv:
    """The run's environments, or `count` of them beginning with number `first`."""
    make, env = env_factory(run), run.env
    count = env.num_envs if count is None else count
    how: dict[str, Any] = {"batch": env.batched, "first": first, "clip_reward": env.clip_reward}
    envs = vector_env(make, count, run.seed, "environments", **how)
    if performance is not None:
        choice = "batched" if envs.batched else "one by one"
        why = f"the physics of {envs.name} is {'' if envs.batched else 'not '}known"
        if not env.batched:
            why = "asked for"
        performance.chose("environments", choice, why)
    return envs


def build_algorithm(
    run: RunSettings, envs: VectorEnv | Spaces, performance: Performance | None = None
) -> Algorithm:
    """The algorithm with its networks, on its device; sets torch's threads and global seeds."""
    performance = performance or Performance()
    hidden: set[Tensor] = set()
    augmentation = _augmentation(run)
    network = functools.partial(_network, run, hidden, augmentation=augmentation)
    parameters, known = _looked_at(run, envs.observation_space)
    device = choose_device(run.device, parameters, performance)
    choose_threads(run.num_threads, parameters, performance)
    kernels = choose_kernels(run.kernels, device, parameters, performance, known, _torch_only(run))
    if kernels == "torch":
        keep_freed_memory()
    dataset = _dataset(run, envs)
    seed_everything(run.seed)
    parts = Parts(
        observation_space=envs.observation_space,
        action_space=envs.action_space,
        num_envs=envs.num_envs,
        seed=run.seed,
        device=device,
        network=network,
        optimizer=functools.partial(_optimizer, run, hidden),
        exploration=registry.entry("exploration", run.exploration.name).load()(run.exploration),
        dataset=dataset,
        dataset_share=run.dataset_share,
        kernels=kernels,
        shared=getattr(run.network, "shared", False),
        threads=run.num_threads if isinstance(run.num_threads, int) else cores(),
        agents=envs.agents,
        warmup=getattr(run.optimizer, "warmup", 0.0),
    )
    made: Any = registry.entry("algo", run.algo.name).load()(run.algo, parts)
    if augmentation is not None:
        augmentation.watch(made.learner)
        made.augmentation = augmentation
        made._state = (*made._state, "augmentation")
    algorithm: Algorithm = made
    if dataset is not None:  # of replay a part, and of cloning all that there is to see
        policy: Any = algorithm.policy
        policy.inputs.observe(dataset.obs)
    if run.intrinsic.name != "none":
        reward = registry.entry("intrinsic", run.intrinsic.name).load()(run.intrinsic, parts)
        algorithm = Curious(algorithm, reward)
    return algorithm if run.ema is None else Averaged(algorithm, run.ema)


def without_data(run: RunSettings) -> RunSettings:
    """The settings of one that acts and does not learn."""
    return replace(run, dataset=None)


def _dataset(run: RunSettings, envs: VectorEnv | Spaces) -> Dataset | None:
    if run.dataset is None:
        return None
    dataset = read(run.dataset, envs.observation_space, envs.action_space, run.env.drop_keys)
    if run.env.clip_reward:  # as those of the steps beside it
        dataset = replace(dataset, reward=np.sign(dataset.reward))
    logger.info("dataset: %d episodes, %d steps", len(dataset.ends), len(dataset))
    return dataset


def network_size(run: RunSettings, observation_space: Space) -> int:
    """Parameters of the network's body; 0 for a table."""
    return _looked_at(run, observation_space)[0]


def _looked_at(run: RunSettings, observation_space: Space) -> tuple[int, bool]:
    """Parameters of the network's body, 0 for a table; and whether NumPy's kernels know it."""
    if not registry.entry("algo", run.algo.name).networks:
        return 0, False
    body = _network(run, set(), layout_of(observation_space))
    shared = getattr(run.network, "shared", False)
    known = not shared and fast.knows(with_head(body, 1, gain=None))
    return sum(p.numel() for p in body.parameters()), known


def spaces_of(run: RunSettings) -> Spaces:
    """What an algorithm has to know of the environments, from one that is made and closed."""
    envs = build_envs(run, count=1)
    envs.close()
    return Spaces(envs.observation_space, envs.action_space, run.env.num_envs, envs.agents)


def _network(
    run: RunSettings,
    hidden: set[Tensor],
    layout: Layout,
    beside: int = 0,
    body: Callable[[int], nn.Module] | None = None,
    augmentation: Augmentation | None = None,
) -> nn.Module:
    """A body; the matrices of its linear layers are added to those that are `hidden`."""
    if body is None:
        cls = registry.entry("network", run.network.name).load()
        body = functools.partial(cls, run.network)
    made = with_encoder(run.network, layout, body, beside)
    hidden.update(m.weight for m in made.modules() if isinstance(m, nn.Linear))
    if augmentation is not None:
        augmentation.attach(made, layout)
    return in_bfloat16(made) if run.precision == "bf16" else made


def _augmentation(run: RunSettings) -> Augmentation | None:
    """What changes samples, with a stream of chance of its own; None where nothing does."""
    if run.augment.name == "none":
        return None
    cls = registry.entry("augment", run.augment.name).load()
    made: Augmentation = cls(run.augment, generator(run.seed, "augmentation"))
    return made


def _optimizer(
    run: RunSettings,
    hidden: set[Tensor],
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
) -> torch.optim.Optimizer:
    cls = registry.entry("optimizer", run.optimizer.name).load()
    spare_dynamo(cls)
    common = [field.name for field in fields(OptimizerSettings)]
    kwargs = {k: v for k, v in asdict(run.optimizer).items() if k not in common}
    if "fused" in cls.__init__.__annotations__:
        kwargs["fused"] = True  # one call for all parameters
    if "hidden" in cls.__init__.__annotations__:
        kwargs["hidden"] = hidden
    group: dict[str, Any] = {"params": list(parameters)}
    if run.optimizer.accumulation > 1:
        group["accumulation"] = run.optimizer.accumulation  # `descend` looks there
    optimizer: torch.optim.Optimizer = cls([group], lr=learning_rate, **kwargs)
    return optimizer


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
        raise UserError(f"device={wanted} is not there. Devices here: {there}.") from error
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
        small = device.type == "cpu" and 0 < parameters < SMALL
        why = f"{_size(parameters)} on {device.type}"
        if small and not known:
            why = "the network is no chain of layers that NumPy's are written for"
        use = "numpy" if small and known else "torch"
        performance.chose("kernels", use, f"auto: {why}")
        return use
    if wanted == "numpy" and device.type != "cpu":
        raise UserError(f"kernels=numpy computes on the CPU, and this run's device is {device}.")
    performance.chose("kernels", wanted, "asked for")
    return wanted


def _torch_only(run: RunSettings) -> str:
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
    if run.sampler != "auto":
        pays, why = run.sampler == "processes", "asked for"
    elif count == 1 or most == 1:
        pays, why = False, f"auto: one {'environment' if count == 1 else 'core'}"
    elif run.env.batched and batched.knows(env_factory(run)):
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
    env = env_factory(run)()
    try:
        seconds, draws = time_step(env)
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
    while len(seconds) < 3 or (len(seconds) < 100 and time.perf_counter() - began < 0.1):
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
    return f"a network of {parameters:,} parameters" if parameters else "a table"
