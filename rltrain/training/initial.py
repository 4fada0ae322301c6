"""`init_from`: networks that start as those of another run, and what of them stays so."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rltrain.algos.base import Algorithm
from rltrain.core.errors import UserError, did_you_mean
from rltrain.core.state import Stateful
from rltrain.settings.schema import show
from rltrain.training import checkpoint
from rltrain.training import run as folders
from rltrain.training.checkpoint import Checkpoint, CheckpointFolder

logger = logging.getLogger("rltrain")

_SHOWN = 6  # arrays of one network that are named with their shapes


def load(target: str, output_dir: str) -> Checkpoint:
    """The checkpoint that `init_from` names: of a run's folder the newest, `latest`, or a file.

    Raises:
        UserError: there is none.
    """
    try:
        folder, file = folders.find(target, output_dir)
    except UserError as error:
        raise UserError(f"init_from={target}: {error}") from error
    if file is not None:
        return checkpoint.read(file)
    loaded, warnings = CheckpointFolder(folder / "checkpoints", 1).load_newest()
    for warning in warnings:
        logger.warning("%s", warning)
    return loaded


def begin_from(
    algorithm: Algorithm,
    source: Checkpoint,
    keep: bool | tuple[str, ...],
    spaces: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Takes what fits of a checkpoint, says what did and what did not, and freezes.

    `keep` says what of it is to stay as it is: all, nothing, or names and beginnings of them.
    `spaces` describes those of the environment, which are named where the checkpoint's differ.
    Returns the names of the parameters that were frozen.

    Raises:
        UserError: nothing fits, `keep` names nothing that was taken, or nothing is left to learn.
    """
    saved = source.content.get("algorithm", {}) | {"policy": source.content["policy"]}
    taken, left = take(algorithm, saved)
    where = f"init_from={_shown(source.path)}"
    changed = source.changed_spaces(spaces or {})
    left += [changed] if changed and left else []
    if not taken:
        there = _counted(tuple(_arrays_in(source.content["policy"], "policy"))) or "none"
        raise UserError(
            f"{where}: nothing of it fits. Networks there: {there}. Not taken: {'; '.join(left)}."
        )
    _check_scales(algorithm, taken, source.content["config"]["algo"], where)
    kept = tuple(name for name in taken if _begins(name, keep))
    if isinstance(keep, tuple):
        for prefix in keep:
            if not any(_begins(name, (prefix,)) for name in taken):
                near = did_you_mean(prefix, {_group(name) for name in taken})
                raise UserError(f"init_freeze: nothing that was taken begins with {prefix}.{near}")
    freeze(algorithm, kept)
    logger.info(
        "%s, step %s: taken: %s; not taken: %s; kept as it is: %s",
        where,
        f"{source.step:,}",
        _counted(taken),
        "; ".join(left) or "nothing",
        _counted(kept) or "nothing",
    )
    return kept


def _check_scales(
    algorithm: Algorithm, taken: list[str], saved: Mapping[str, Any], where: str
) -> None:
    """Check that a policy that was taken acts on the same scale as it did.

    Raises:
        UserError: it learned in the units of the environment and would act in the unit box, or
            the reverse.
    """
    before = bool(saved.get("scale_actions", False))  # earlier versions had no such key
    for prefix, learner in learners(algorithm):
        policy: Any = learner.policy
        if f"{prefix}policy.networks.log_std" in taken and policy.scaled != before:
            raise UserError(
                f"{where}: its policy learned with algo.scale_actions={show(before)}, by which its"
                " actions mean something else. Set the same here."
            )


def take(algorithm: Algorithm, saved: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Copies what has the same name and shape in `saved`, by the names of states.

    Networks that learn are copied, and observation normalisers; target networks follow.
    Returns the names of what was taken, and in words what was not.
    """
    taken: list[str] = []
    left: list[str] = []
    for prefix, learner in learners(algorithm):
        there = _of_learner(saved, prefix)
        for path, module in networks(learner):
            found = _at(there, path)
            found = found if isinstance(found, Mapping) else {}
            taken += _take_network(prefix + path, module, found, left)
        learner.reset_targets()
        inputs: Any = getattr(learner.policy, "inputs", None)
        if inputs is not None:
            _take_inputs(inputs, _at(there, "policy.inputs"), left)
    return taken, left


def learners(algorithm: Any) -> list[tuple[str, Algorithm]]:
    """The algorithm itself, or those of several agents by the beginnings of their names."""
    while hasattr(algorithm, "inner"):
        algorithm = algorithm.inner
    if not hasattr(algorithm, "learners"):
        return [("", algorithm)]
    pairs = zip(algorithm.views, algorithm.learners, strict=True)
    return [(f"{view.name}.", learner) for view, learner in pairs]


def _of_learner(saved: Mapping[str, Any], prefix: str) -> Mapping[str, Any]:
    """What is saved of a learner: `learners` and `policy` have a part for each agent."""
    if not prefix:
        return saved
    name = prefix.removesuffix(".")
    own = _at(saved, "learners") or {}
    return {**own.get(name, {}), "policy": saved["policy"].get(name)}


def _take_network(
    path: str, module: nn.Module, there: Mapping[str, Any], left: list[str]
) -> list[str]:
    taken, missing = [], []
    differing = []
    own = module.state_dict()
    for name, tensor in own.items():
        value = there.get(name)
        if not isinstance(value, Tensor):
            missing.append(f"{path}.{name}")
        elif value.shape != tensor.shape:
            differing.append(f"{path}.{name} ({_by(tensor)} here, {_by(value)} there)")
        elif value.dtype != tensor.dtype:
            differing.append(f"{path}.{name} ({tensor.dtype} here, {value.dtype} there)")
        else:
            with torch.no_grad():
                tensor.copy_(value)
            taken.append(f"{path}.{name}")
    left += differing[:_SHOWN]
    if len(differing) > _SHOWN:
        left.append(f"{len(differing) - _SHOWN} more of other shapes or types")
    if missing:
        left.append(f"{_counted(missing)}, not there")
    unused = [f"{path}.{name}" for name in there if name not in own]
    if unused:
        left.append(f"{_counted(unused)}, not here")
    return taken


def _take_inputs(inputs: Stateful, there: Any, left: list[str]) -> None:
    own = inputs.state_dict()
    if _skeleton(own) == _skeleton(there):
        inputs.load_state_dict(there)
        return
    reason = "of another shape there"
    if not _arrays(own):
        reason = "there is one there, and none here: algo.normalize_obs"
    elif not _arrays(there):
        reason = "there is none there"
    left.append(f"observation normaliser: {reason}")


def networks(owner: Any, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The networks of a learner that learn, by the names of its state."""
    for name in getattr(owner, "_state", ()):
        value = getattr(owner, name)
        if isinstance(value, nn.Module):
            if any(p.requires_grad for p in value.parameters()):
                yield prefix + name, value
        elif isinstance(value, Stateful):
            yield from networks(value, f"{prefix}{name}.")


def freeze(algorithm: Algorithm, names: tuple[str, ...]) -> None:
    """Takes the parameters of these names out of training, and out of the optimisers.

    Raises:
        UserError: nothing would be left to learn.
    """
    if not names:
        return
    chosen = set(names)
    for prefix, learner in learners(algorithm):
        for path, module in list(networks(learner)):
            for name, parameter in module.named_parameters():
                if f"{prefix}{path}.{name}" in chosen:
                    parameter.requires_grad_(False)
        for group in (
            group for optimizer in learner.optimizers for group in optimizer.param_groups
        ):
            group["params"] = [p for p in group["params"] if p.requires_grad]
    if not algorithm.num_parameters:
        raise UserError("init_freeze: all parameters would stay as they are; name fewer.")


def _begins(name: str, keep: bool | tuple[str, ...]) -> bool:
    """Whether a dotted name is one of `keep`, or inside of one."""
    if isinstance(keep, bool):
        return keep
    return any(f"{name}.".startswith(f"{prefix}.") for prefix in keep)


def _group(name: str) -> str:
    """The part of a parameter's name that says which network it is of."""
    words = name.split(".")
    return ".".join(words[: next((i for i, w in enumerate(words) if w.isdigit()), len(words))])


def _counted(names: list[str] | tuple[str, ...]) -> str:
    groups = [_group(name) for name in names]
    counts = {group: groups.count(group) for group in groups}
    return ", ".join(f"{g} ({n} array{'s' * (n > 1)})" for g, n in counts.items())


def _arrays_in(tree: Any, path: str) -> Iterator[str]:
    """The names of the tensors in a state."""
    for name, value in tree.items() if isinstance(tree, Mapping) else ():
        if isinstance(value, Tensor):
            yield f"{path}.{name}"
        yield from _arrays_in(value, f"{path}.{name}")


def _at(tree: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(tree, Mapping):
            return None
        tree = tree.get(part)
    return tree


def _skeleton(tree: Any) -> Any:
    """A state with shapes in the place of arrays."""
    if isinstance(tree, Mapping):
        return {name: _skeleton(value) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_skeleton(value) for value in tree]
    return tuple(tree.shape) if isinstance(tree, Tensor | np.ndarray) else tree is None


def _arrays(tree: Any) -> bool:
    if isinstance(tree, Mapping):
        return any(map(_arrays, tree.values()))
    if isinstance(tree, list | tuple):
        return any(map(_arrays, tree))
    return isinstance(tree, Tensor | np.ndarray)


def _by(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "1"


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
