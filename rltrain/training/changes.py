"""What a resumed run may change, and what it may not."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from rltrain.core.errors import UserError, did_you_mean
from rltrain.settings.schema import by_path

Values = dict[str, Any]

# What does not make it another run, by the first part of the key.
RESUMABLE = (
    "total_timesteps",
    "schedules",
    "device",
    "num_threads",
    "compile",
    "sampler",
    "num_workers",
    "profile",
    "logger",
    "checkpoint",
    "eval",
)
NEUTRAL = (*RESUMABLE, "output_dir", "run_name", "tuned", "choices")


def check_changes(saved: Values, changes: Mapping[str, Any]) -> None:
    """Checks what a command line wants of a resumed run to be different.

    Raises:
        UserError: a change would make it another run.
    """
    merged(saved, changes)  # the keys are known
    refused = {
        k: v for k, v in changes.items() if k.split(".")[0] not in RESUMABLE and _get(saved, k) != v
    }
    if refused:
        raise UserError(_refusal({k: (_get(saved, k), v) for k, v in refused.items()}))


def check_same(saved: Values, asked: Values) -> None:
    """Checks the configuration of a checkpoint against the one it is to go on under.

    Raises:
        UserError: they are of different runs.
    """
    a, b = by_path(saved), by_path(asked)
    differing = {
        k: (a.get(k), b.get(k))
        for k in sorted(a.keys() | b.keys())
        if a.get(k) != b.get(k) and k.split(".")[0] not in NEUTRAL
    }
    if differing:
        raise UserError(_refusal(differing))


def _get(values: Any, path: str) -> Any:
    """The value of a dotted key; None where there is none."""
    for part in path.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return None
        values = values[part]
    return values


def merged(values: Values, changes: Mapping[str, Any]) -> Values:
    """`values` with dotted keys changed.

    Raises:
        UserError: a key is not there.
    """
    result = copy.deepcopy(values)
    for path, value in changes.items():
        *parents, name = path.split(".")
        node = result
        for parent in parents:
            node = node[parent] if isinstance(node.get(parent), dict) else {}
        free = parents == ["env", "kwargs"]
        if name not in node and not free:
            raise UserError(f"Unknown key {path}.{did_you_mean(path, by_path(values))}")
        node[name] = value
    return result


def _refusal(keys: Mapping[str, tuple[Any, Any]]) -> str:
    differing = "; ".join(f"{k}: {a!r} in the run, {b!r} asked for" for k, (a, b) in keys.items())
    return (
        f"A resumed run keeps what decides its numbers. {differing}. These may change:"
        f" {', '.join(RESUMABLE)}."
    )
