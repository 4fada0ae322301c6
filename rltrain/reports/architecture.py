"""`rltrain describe algo=ppo env=…`: the networks that a configuration builds."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from rltrain.core.errors import OK
from rltrain.core.layout import Leaf, describe_picture, layout_of
from rltrain.core.spaces import kind_of
from rltrain.envs.make import check_env
from rltrain.networks.recurrent import Moment, recurrent
from rltrain.reports.catalog import print_table
from rltrain.settings import registry
from rltrain.settings.encoders import choose_encoders
from rltrain.settings.networks import EncoderSettings
from rltrain.settings.run import RunSettings, build_run
from rltrain.training.build import build_algorithm, spaces_of
from rltrain.training.footprint import example, learning, passed

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


def networks_of(algorithm: Any) -> Iterator[tuple[str, nn.Module, tuple[Any, ...]]]:
    """The networks of an algorithm and its policy, less target networks, and what they take."""
    for name, module, policy in learning(algorithm):
        if recurrent(module) is None:
            yield name, module, example(module, policy, 1)
        else:
            x = example(module, policy, 1)[0]
            yield name, module, (Moment(x.x, x.state),)


@torch.no_grad()
def layers(module: nn.Module, inputs: tuple[Any, ...]) -> list[Row]:
    """Name, kind, shape of the output and number of parameters of every layer, in order."""
    shapes: dict[str, str] = {}

    def note(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            first = output[0][0] if isinstance(output, tuple) else output  # of a recurrent layer
            shapes[name] = " × ".join(map(str, first.shape[1:])) or "1"

        return hook

    named = [(n, m) for n, m in module.named_modules() if not list(m.children())]
    handles = [m.register_forward_hook(note(n)) for n, m in named]
    passed(module, inputs)
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
