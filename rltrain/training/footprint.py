"""How much memory training takes, said before it starts: `grep memory run.log`.

Legend: N samples that a gradient is computed of at once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rltrain.algos.base import Algorithm
from rltrain.core.spaces import dtype_of, shape_of
from rltrain.networks.actor_critic import ActorCritic
from rltrain.networks.critics import Critics
from rltrain.networks.recurrent import Sequences, as_tensors, recurrent
from rltrain.settings.on_policy import TRPOSettings
from rltrain.settings.run import RunSettings
from rltrain.training.performance import Performance

logger = logging.getLogger("rltrain")

LARGE = 1_000_000  # parameters from which on the memory is looked at
GIB = 2**30


def report(run: RunSettings, algorithm: Algorithm, performance: Performance) -> None:
    """Logs what training will take, and warns where that is more than there is.

    Networks that are not large are passed over: looking costs a forward pass.
    """
    if algorithm.num_parameters < LARGE:
        return
    sizes = footprint(run, algorithm)
    device = next(t.device for t in _parameters(algorithm))
    parts = ", ".join(f"{name} {size / GIB:.2f}" for name, size in sizes.items())
    total = sum(sizes.values())
    performance.chose("memory", f"{total / GIB:.2f} GiB", f"{parts}; estimated, for {device}")
    if device.type == "cuda":
        needed, there = total - sizes["buffers"], torch.cuda.mem_get_info(device)[1]
    else:
        needed, there = total, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > 0.9 * there:
        logger.warning(
            "memory: training needs about %.1f GiB on %s, which has %.1f. What would help: %s.",
            needed / GIB,
            device,
            there / GIB,
            "; ".join(advice(run, device.type == "cpu")),
        )


def advice(run: RunSettings, buffers: bool) -> list[str]:
    """Keys that would make training smaller and are not set already; with `buffers` theirs too."""
    found = [f"optimizer.accumulation={2 * run.optimizer.accumulation}"]
    if not getattr(run.network, "checkpointing", True):
        found.append("network.checkpointing=true")
    if run.precision == "fp32":
        found.append("precision=bf16")
    if buffers and hasattr(run.algo, "buffer_size"):
        found.append("a smaller algo.buffer_size")
    return [*found, "a smaller network"]


def footprint(run: RunSettings, algorithm: Any) -> dict[str, int]:
    """Bytes by what they are for; activations are those of one part of a minibatch."""
    groups = [group for o in _optimizers(algorithm) for group in o.param_groups]
    return {
        "parameters": sum(t.nbytes for t in _parameters(algorithm)),
        "gradients": sum(p.nbytes for group in groups for p in group["params"]),
        "optimizer": sum(_moments(g) * p.nbytes for g in groups for p in g["params"]),
        "activations": activations(algorithm, samples_at_once(run)),
        "buffers": sum(_arrays([learner.memory for learner in _learners(algorithm)], set())),
    }


def samples_at_once(run: RunSettings) -> int:
    """N: a minibatch or, without, a rollout; or one part of it (optimizer.accumulation)."""
    s = run.algo
    if isinstance(s, TRPOSettings) or not hasattr(s, "batch_size"):
        # the step of TRPO's policy is of all samples, in one part
        rollout = int(s.n_steps * run.env.num_envs)
        parts = 1 if isinstance(s, TRPOSettings) else int(run.optimizer.accumulation)
        return -(-rollout // parts)
    return -(-int(s.batch_size) // int(run.optimizer.accumulation))


def activations(algorithm: Any, samples: int) -> int:
    """Bytes that the networks which learn keep of so many samples until the backward pass."""
    total = 0.0
    for _, module, policy in learning(algorithm):
        memory = recurrent(module)
        least = 2 if memory is None else memory.sequence_length
        few, more = (_kept(module, example(module, policy, n)) for n in (least, 2 * least))
        each = (more - few) / least  # the rest are copies of parameters
        total += few - least * each + samples * each
    return int(total)


def _kept(module: nn.Module, inputs: tuple[Any, ...]) -> int:
    own = {p.untyped_storage().data_ptr() for p in module.parameters()}
    found: dict[int, int] = {}

    def pack(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        output = passed(module, inputs)  # kept, so that no place in memory is counted twice
    del output
    return sum(found.values())


def passed(module: Any, inputs: tuple[Any, ...]) -> Any:
    """A forward pass of all that a module has."""
    return module.both(*inputs) if isinstance(module, ActorCritic) else module(*inputs)


def learning(algorithm: Any) -> Iterator[tuple[str, nn.Module, Any]]:
    """Networks that learn, by name, and the policy (or reward) whose observations they take."""
    if hasattr(algorithm, "learners"):  # one for each agent, or one for all
        for view, learner in zip(algorithm.views, algorithm.learners, strict=True):
            for name, module, policy in learning(learner):
                yield f"{view.name}.{name}", module, policy
        return
    if hasattr(algorithm, "inner"):
        yield from learning(algorithm.inner)
        owners = [algorithm.intrinsic] if hasattr(algorithm, "intrinsic") else []
    else:
        owners = [algorithm.policy, algorithm]
    for owner in owners:
        for name, module in vars(owner).items():
            if isinstance(module, nn.Module) and any(p.requires_grad for p in module.parameters()):
                yield name, module, owner if hasattr(owner, "inputs") else algorithm.policy


def example(module: nn.Module, policy: Any, count: int) -> tuple[Any, ...]:
    """What a module takes of `count` samples: zeros, in sequences where it has memory."""
    obs = np.zeros((count, *shape_of(policy.inputs.space)), dtype_of(policy.inputs.space))
    x, memory = policy.inputs.array(obs), recurrent(module)
    if memory is not None:
        begins = np.arange(count) % memory.sequence_length == 0
        state = np.zeros((count, *policy.recall.shape), np.float32)
        x = Sequences(x, state, begins)
    x = as_tensors(x, policy.inputs.device)
    beside = isinstance(module, Critics) and hasattr(policy, "bounds")
    if beside:
        return x, torch.zeros(count, policy.bounds.size, device=policy.inputs.device)
    return (x,)


def _moments(group: dict[str, Any]) -> int:
    """Numbers that an optimiser of torch's keeps of each parameter of a group."""
    if "betas" in group:
        return 2
    return int("alpha" in group) + int(bool(group.get("momentum")))


def _learners(algorithm: Any) -> list[Any]:
    while hasattr(algorithm, "inner"):
        algorithm = algorithm.inner
    return list(getattr(algorithm, "learners", [algorithm]))


def owners_of(algorithm: Any) -> list[Any]:
    """All that may hold networks and optimisers."""
    owners = []
    while hasattr(algorithm, "inner"):
        owners += [algorithm, getattr(algorithm, "intrinsic", algorithm)]
        algorithm = algorithm.inner
    for learner in _learners(algorithm):
        owners += [learner, learner.policy]
    return owners


def _optimizers(algorithm: Any) -> list[torch.optim.Optimizer]:
    values = [v for owner in owners_of(algorithm) for v in vars(owner).values()]
    return [v for v in values if isinstance(v, torch.optim.Optimizer)]


def _parameters(algorithm: Any) -> list[Tensor]:
    """Tensors of all networks, target networks and averages among them, each once."""
    values = [v for owner in owners_of(algorithm) for v in vars(owner).values()]
    modules = [v for v in values if isinstance(v, nn.Module)]
    found = [t for m in modules for t in (*m.parameters(), *m.buffers())]
    found += [t for owner in owners_of(algorithm) for t in getattr(owner, "average", ())]
    return list({t.data_ptr(): t for t in found}.values())


def _arrays(value: Any, seen: set[int]) -> Iterator[int]:
    """Bytes of every array that can be reached from a value, each once."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        owner = value
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        if owner is value or id(owner) not in seen:
            seen.add(id(owner))
            yield owner.nbytes
    elif isinstance(value, Tensor):
        yield value.nbytes
    elif isinstance(value, dict):
        for part in value.values():
            yield from _arrays(part, seen)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _arrays(part, seen)
    elif hasattr(value, "__dict__") and type(value).__module__.startswith("rltrain.memory"):
        yield from _arrays(vars(value), seen)
