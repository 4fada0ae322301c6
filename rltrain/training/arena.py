"""What worker processes and their parent share, and hand to each other.

Legend: T steps of a horizon, B environments, W workers.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rltrain.algos.base import Policy
from rltrain.core import processes
from rltrain.core.spaces import dtype_of, shape_of
from rltrain.core.types import Rows, Transition
from rltrain.training import build

_ENVS = ("restarts",)  # what the state of environments has for each, whatever its agents
NEVER = -1  # no step to stop at
_COLUMNS = ("obs", "action", "reward", "terminated", "truncated", "successor", "valid")


@dataclass(frozen=True)
class Share:
    """Which environments a worker steps; each is `width` rows, one for each of its agents."""

    first: int
    count: int
    total: int
    width: int = 1

    @property
    def envs(self) -> slice:
        return slice(self.first, self.first + self.count)

    @property
    def rows(self) -> slice:
        return slice(self.first * self.width, (self.first + self.count) * self.width)

    @property
    def total_rows(self) -> int:
        return self.total * self.width


def shares(total: int, workers: int, width: int = 1) -> list[Share]:
    """`total` environments dealt out evenly, in order."""
    edges = [total * w // workers for w in range(workers + 1)]
    return [Share(a, b - a, total, width) for a, b in itertools.pairwise(edges)]


class Arena:
    """What one horizon of all environments comes to, in memory that processes share.

    Arrays are `[T, B, ...]`; `extras` are what the policy returns beside the action.
    """

    def __init__(self, horizon: int, example: Transition) -> None:
        columns: dict[str, Rows] = {
            name: getattr(example, name) for name in _COLUMNS if getattr(example, name) is not None
        }
        columns |= {f"extras.{name}": rows for name, rows in example.extras.items()}
        self._layout = [
            (name, (horizon, *rows.shape), rows.dtype.str) for name, rows in columns.items()
        ]
        context = processes.context()
        self._raw = [context.RawArray("b", horizon * rows.nbytes) for rows in columns.values()]
        self.limit: Any = context.RawValue("q", NEVER)  # workers stop before this step
        # Of each worker the time at which its environment was called, 0 outside, and which it is.
        self.calls: Any = context.RawArray("d", 2 * len(example.reward))
        self._attach()

    def note_call(self, worker: int, env: int) -> None:
        """Note that a worker calls environment `env`, or with a negative one that it returned."""
        self.calls[2 * worker + 1] = env
        self.calls[2 * worker] = time.monotonic() if env >= 0 else 0.0

    def call_of(self, worker: int) -> tuple[float, int]:
        """Return for how many seconds a worker has been in a call of an environment, and which."""
        since = self.calls[2 * worker]
        return time.monotonic() - since if since else 0.0, int(self.calls[2 * worker + 1])

    def _attach(self) -> None:
        self._columns = {
            name: np.frombuffer(raw, dtype).reshape(shape)
            for raw, (name, shape, dtype) in zip(self._raw, self._layout, strict=True)
        }

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "_columns"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._attach()

    def write(self, t: int, rows: slice, step: Transition) -> None:
        for name, column in self._columns.items():
            outer, _, inner = name.partition(".")
            value = step.extras[inner] if inner else getattr(step, outer)
            column[t, rows] = True if value is None else value  # of `valid`: all are

    def read(self, t: int) -> Transition:
        """Step `t` of all environments, as views."""
        plain = {n: c[t] for n, c in self._columns.items() if "." not in n}
        extras = {n.partition(".")[2]: c[t] for n, c in self._columns.items() if "." in n}
        return Transition(**plain, extras=extras)


def example(policy: Policy, spaces: build.Spaces, may_fail: bool = False) -> Transition:
    """A transition with the shapes and types of all to come; `may_fail` where an environment that
    raises is rebuilt."""
    shape = (spaces.num_rows, *shape_of(spaces.observation_space))
    obs: Rows = np.zeros(shape, dtype_of(spaces.observation_space))
    state = policy.initial_state(spaces.num_rows)
    action, _, extras = policy.act(obs, state, True, np.random.default_rng(0))
    flags, reward = np.zeros(spaces.num_rows, np.bool_), np.zeros(spaces.num_rows, np.float32)
    valid = ~flags if spaces.agents or may_fail else None
    return Transition(obs, action, reward, flags, flags, obs, extras, valid)


def join(states: list[Any], parts: list[Share]) -> Any:
    """Recurrent state `[B, ...]`, or tuples of it, of which each worker has its own rows."""
    if states[0] is None:
        return None
    if isinstance(states[0], tuple | list):
        return type(states[0])(join(list(column), parts) for column in zip(*states, strict=True))
    rows = [state[share.rows] for state, share in zip(states, parts, strict=True)]
    return torch.cat(rows) if isinstance(rows[0], torch.Tensor) else np.concatenate(rows)


def join_envs(states: list[dict[str, Any]]) -> dict[str, Any]:
    joined: dict[str, Any] = {
        n: np.concatenate([s[n] for s in states if n in s]) for n in (*_rows_of(states[0]), *_ENVS)
    }
    saved = None if states[0]["envs"] is None else [env for s in states for env in s["envs"]]
    return joined | {"restarted_at": states[0]["restarted_at"], "envs": saved}


def part_of_envs(state: dict[str, Any], share: Share) -> dict[str, Any]:
    part = {name: state[name][share.rows] for name in _rows_of(state)}
    part |= {name: state[name][share.envs] for name in _ENVS if name in state}
    saved = None if state["envs"] is None else state["envs"][share.envs]
    return part | {"restarted_at": state["restarted_at"], "envs": saved}


def _rows_of(state: dict[str, Any]) -> list[str]:
    """Of the state of environments what has a row for each."""
    return [name for name in state if name not in ("restarted_at", "envs", *_ENVS)]


def arrays(tree: Any) -> Any:
    """`tree` with its tensors as arrays, which are sent in a fraction of the time."""
    if isinstance(tree, torch.Tensor):
        return ("tensor", tree.detach().cpu().numpy())
    if isinstance(tree, dict):
        return {name: arrays(value) for name, value in tree.items()}
    return tree


def tensors(tree: Any) -> Any:
    """The inverse of `arrays`."""
    if isinstance(tree, tuple) and len(tree) == 2 and tree[0] == "tensor":
        return torch.from_numpy(tree[1])
    if isinstance(tree, dict):
        return {name: tensors(value) for name, value in tree.items()}
    return tree
