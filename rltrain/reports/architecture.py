"""`rltrain describe algo=ppo env=…`: the networks that a configuration builds."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rltrain.core.errors import OK
from rltrain.core.layout import Leaf, describe_picture, layout_of
from rltrain.core.spaces import dtype_of, kind_of, shape_of
from rltrain.envs.make import check_env
from rltrain.networks.actor_critic import ActorCritic
from rltrain.networks.critics import Critics
from rltrain.networks.recurrent import as_tensors
from rltrain.reports.catalog import print_table
from rltrain.settings import registry
from rltrain.settings.encoders import choose_encoders
from rltrain.settings.networks import EncoderSettings
from rltrain.settings.run import RunSettings, build_run
from rltrain.training.build import build_algorithm, spaces_of

Row = tuple[str, str, str, str]


def show_networks(values: dict[str, Any]) -> int:
    """Prints each part of the observations with its encoder, and each layer with its output's
    shape (of one observation) and its number of parameters.

    Raises:
        UserError: the configuration is wrong, or does not fit the environment.
    """
    run = build_run(values)
    check_env(run)
    if not registry.entry("algo", run.algo.name).networks:
        print(f"algo={run.algo.name} learns a table: there is no network.")
        return OK
    logging.getLogger("rltrain").setLevel(logging.WARNING)  # nothing is run on what was chosen
    found = spaces_of(run)
    algorithm = build_algorithm(replace(run, device="cpu", kernels="torch"), found)
    print(f"algo={run.algo.name} env={run.env.id} network={run.network.name}\n")
    spaces = {agent.name: agent.observation_space for agent in found.agents}
    for name, space in (spaces or {"": found.observation_space}).items():
        layout = layout_of(space)
        encoders = {leaf.name: "flat" for leaf in layout.leaves}
        if isinstance(run.network, EncoderSettings):
            encoders = choose_encoders(run.network, layout)
        rows = [
            (leaf.name, kind_of(leaf.space), _measures(leaf, run), encoders[leaf.name])
            for leaf in layout.leaves
        ]
        print_table(rows, f"{name} observes".strip(), "space", "size", "encoder")
        print()
    total = 0
    for name, module, inputs in networks_of(algorithm):
        print_table(layers(module, inputs), name, "layer", "output", "parameters")
        count = sum(p.numel() for p in module.parameters())
        print(f"{name}: {count:,} parameters\n")
        total += count
    print(f"in all: {total:,} parameters, less those of target networks")
    return OK


def _measures(leaf: Leaf, run: RunSettings) -> str:
    if leaf.kind == "picture":
        channels, rows, columns = describe_picture(leaf, getattr(run.network, "channels", "auto"))
        return f"{rows} × {columns}, {channels} channel{'s' if channels > 1 else ''}"
    if leaf.kind == "text":
        return f"up to {leaf.shape[0]} characters of {len(leaf.alphabet)}"
    return f"{leaf.size} number{'s' if leaf.size > 1 else ''}"


def networks_of(algorithm: Any) -> Iterator[tuple[str, nn.Module, tuple[Tensor, ...]]]:
    """The networks of an algorithm and its policy, less target networks, and what they take."""
    if hasattr(algorithm, "learners"):  # one for each agent, or one for all
        for view, learner in zip(algorithm.views, algorithm.learners, strict=True):
            for name, module, inputs in networks_of(learner):
                yield f"{view.name}.{name}", module, inputs
        return
    if hasattr(algorithm, "inner"):
        yield from networks_of(algorithm.inner)
        if not hasattr(algorithm, "intrinsic"):
            return
        policy = algorithm.policy
        owners = [algorithm.intrinsic]
    else:
        policy = algorithm.policy
        owners = [policy, algorithm]
    obs = np.zeros((1, *shape_of(policy.inputs.space)), dtype_of(policy.inputs.space))
    x = policy.inputs.array(obs)
    if hasattr(policy, "recall"):
        x = policy.recall.moment(x, policy.initial_state(1))
    x = as_tensors(x, policy.inputs.device)
    for owner in owners:
        for name, module in vars(owner).items():
            learned = isinstance(module, nn.Module) and any(
                p.requires_grad for p in module.parameters()
            )
            if learned:
                beside = isinstance(module, Critics) and hasattr(policy, "bounds")
                action = (torch.zeros(1, policy.bounds.size),) if beside else ()
                yield name, module, (x, *action)


@torch.no_grad()
def layers(module: nn.Module, inputs: tuple[Tensor, ...]) -> list[Row]:
    """Name, kind, shape of the output and number of parameters of every layer, in order."""
    shapes: dict[str, str] = {}

    def note(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            first = output[0][0] if isinstance(output, tuple) else output  # of a recurrent layer
            shapes[name] = " × ".join(map(str, first.shape[1:])) or "1"

        return hook

    named = [(n, m) for n, m in module.named_modules() if not list(m.children())]
    handles = [m.register_forward_hook(note(n)) for n, m in named]
    if isinstance(module, ActorCritic):
        module.both(*inputs)
    else:
        module(*inputs)
    for handle in handles:
        handle.remove()
    own = [(n, p) for n, p in module.named_parameters(recurse=False)]
    rows = [(n, "parameter", " × ".join(map(str, p.shape)), f"{p.numel():,}") for n, p in own]
    for name, layer in named:
        count = sum(p.numel() for p in layer.parameters())
        what = f"{type(layer).__name__}({layer.extra_repr()})"
        if name in shapes or count:
            rows.append((name, what, shapes.get(name, ""), f"{count:,}" if count else ""))
    return rows
