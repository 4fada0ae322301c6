"""From settings to objects."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from gymnasium import Space
from torch import Tensor, nn

from rltrain.algos.averaged import Averaged
from rltrain.algos.base import Algorithm, Parts
from rltrain.augment.base import Augmentation
from rltrain.core.lean_torch import spare_dynamo
from rltrain.core.processes import cores, keep_freed_memory
from rltrain.core.seeding import generator, seed_everything
from rltrain.core.spaces import Agent, describe_all
from rltrain.envs.make import make_env
from rltrain.envs.supervisor import OnError
from rltrain.envs.team_vector import vector_env
from rltrain.envs.vector import Env, VectorEnv
from rltrain.intrinsic.curious import Curious
from rltrain.memory.dataset import Dataset, read
from rltrain.settings import registry
from rltrain.settings.optimizers import OptimizerSettings
from rltrain.settings.run import RunSettings
from rltrain.training.bodies import build_body, look_at
from rltrain.training.choices import choose_device, choose_kernels, choose_threads, torch_only
from rltrain.training.evaluation import Evaluator
from rltrain.training.performance import Performance

logger = logging.getLogger("rltrain")


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
        on_error_of(run),
    )


def on_error_of(run: RunSettings) -> OnError:
    """What becomes of an environment that raises."""
    return OnError(run.env.on_error, run.env.max_restarts)


@dataclass(frozen=True)
class Spaces:
    """All that an algorithm has to know of the environments."""

    observation_space: Space
    action_space: Space
    num_envs: int
    agents: tuple[Agent, ...] = ()

    @classmethod
    def of(cls, envs: VectorEnv) -> Spaces:
        return cls(envs.observation_space, envs.action_space, envs.num_envs, envs.agents)

    @property
    def described(self) -> dict[str, str]:
        """The spaces as text, which a checkpoint keeps."""
        return describe_all(self.observation_space, self.action_space, self.agents)

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
    how["on_error"] = on_error_of(run)
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
    network = functools.partial(build_body, run, hidden, augmentation=augmentation)
    parameters, known = look_at(run, envs.observation_space)
    device = choose_device(run.device, parameters, performance)
    choose_threads(run.num_threads, parameters, performance)
    kernels = choose_kernels(run.kernels, device, parameters, performance, known, torch_only(run))
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


def spaces_of(run: RunSettings) -> Spaces:
    """What an algorithm has to know of the environments, from one that is made and closed."""
    envs = build_envs(run, count=1)
    envs.close()
    return spaces_like(envs, run)


def spaces_like(envs: VectorEnv, run: RunSettings) -> Spaces:
    """Return what an algorithm has to know of the run's environments, of which `envs` are some."""
    return Spaces(envs.observation_space, envs.action_space, run.env.num_envs, envs.agents)


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
