"""The state of an environment as plain values, so that an episode survives a restart.

An environment may offer `snapshot() -> state` and `restore(state)`, with a state made of
plain values and arrays. For all others the attributes of each layer, wrappers included,
are read, and compared with those of a fresh environment where they cannot be written back.
Nothing is pickled.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from rltrain.envs.foreign import package_of
from rltrain.envs.nodes import KIND, saves_itself
from rltrain.envs.reading import Reader
from rltrain.envs.writing import Writer

Env = gym.Env[Any, Any]
Digests = Mapping[str, str]


class NotExactError(Exception):
    """The state of an environment cannot be saved exactly; the message says why."""


def read_fresh(envs: Sequence[Env]) -> tuple[list[Digests], set[int]]:
    """Return the digests of constants of each environment, and identities of what they share.

    The environments are to be as a resumed process has them before anything is restored.
    """
    readers = [_read(env)[1] for env in envs]
    shared: set[int] = set()
    for i, one in enumerate(readers):
        for other in readers[:i]:
            shared |= one.ids & other.ids
    if shared:
        readers = [_read(env, shared=shared)[1] for env in envs]
    return [reader.digests for reader in readers], shared


def capture(
    env: Env,
    fresh: Digests | None = None,
    shared: Container[int] = (),
    whole: bool = False,
) -> list[Any]:
    """Return the state of every layer, outermost first.

    `fresh` and `shared` are what `read_fresh` returned of it. With `whole` it has large data
    that has not changed, too.

    Raises:
        NotExactError: that is not all of its state.
    """
    saved, reader = _read(env, fresh, shared, whole)
    if fresh is not None and reader.reasons:
        raise NotExactError(reader.reasons[0])
    return saved


def restore(env: Env, saved: list[Any], fresh: Digests | None = None) -> None:
    """Put `saved` into a fresh environment of the same making, whose digests are `fresh`.

    Raises:
        TypeError, ValueError: it does not fit.
    """
    layers, paths = _named_layers(env)
    own = [saves_itself(layer) for layer in layers]
    nodes = [None if o else node for o, node in zip(own, saved, strict=True)]
    Writer(_packages_in(env), fresh).write_layers(layers, nodes, paths)
    for layer, o, state in zip(layers, own, saved, strict=True):
        if o:
            layer.restore(copy.deepcopy(state))


def layers_of(env: Env) -> Iterator[Any]:
    """Yield wrappers, the environment, and those inside of a team, outermost first."""
    yield env
    while isinstance(env, gym.Wrapper):
        env = env.env
        yield env
    inner = vars(env).get("parallel_env")  # of a team
    while inner is not None:
        yield inner
        inner = vars(inner).get("env") or vars(inner).get("aec_env")


def packages_of(env: Env) -> set[str]:
    """Return the packages that the classes of an environment's layers are from."""
    return {c.__module__.partition(".")[0] for e in layers_of(env) for c in type(e).__mro__[:-1]}


def _packages_in(env: Env) -> set[str]:
    """Return the packages of an environment and of the objects that it consists of."""
    found, waiting = packages_of(env), [(layer, 3) for layer in layers_of(env)]
    seen = {id(layer) for layer, _ in waiting}
    while waiting:
        owner, depth = waiting.pop()
        for value in vars(owner).values():
            if depth and hasattr(value, "__dict__") and id(value) not in seen:
                seen.add(id(value))
                waiting.append((value, depth - 1))
                found.add(package_of(type(value)))
    return found - sys.stdlib_module_names


def _named_layers(env: Env) -> tuple[list[Any], list[str]]:
    layers = list(layers_of(env))
    names = [type(layer).__name__ for layer in layers]
    return layers, [n if n not in names[:i] else f"{n}#{i}" for i, n in enumerate(names)]


def _read(
    env: Env,
    fresh: Digests | None = None,
    shared: Container[int] = (),
    whole: bool = False,
) -> tuple[list[Any], Reader]:
    reader = Reader(packages_of(env), fresh, shared, whole)
    layers, paths = _named_layers(env)
    nodes = reader.read_layers(layers, paths)
    reader.finish()
    saved = [
        copy.deepcopy(layer.snapshot()) if node is None else node
        for layer, node in zip(layers, nodes, strict=True)
    ]
    return saved, reader


_INNER = (KIND, "value", "class", "path")  # of a node


def difference(env: Env, a: list[Any], b: list[Any]) -> str | None:
    """Return the path of the first part in which two captured states of `env` differ.

    That of an environment which saves itself is left to what it does.
    """
    for layer, path, x, y in zip(*_named_layers(env), a, b, strict=True):
        if not saves_itself(layer) and (found := _difference(x, y, path)) is not None:
            return found
    return None


def _difference(a: Any, b: Any, path: str) -> str | None:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        alike = type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape
        return None if alike and a.tobytes() == b.tobytes() else path
    if type(a) is not type(b):
        return path
    if isinstance(a, dict):
        if a.keys() != b.keys():
            return path + "".join(f".{k}" for k in sorted(map(str, a.keys() ^ b.keys()))[:1])
        parts = [(a[k], b[k], path if k in _INNER else f"{path}.{k}") for k in a]
    elif isinstance(a, list | tuple):
        if len(a) != len(b):
            return path
        parts = [(x, y, f"{path}[{i}]") for i, (x, y) in enumerate(zip(a, b, strict=True))]
    else:
        return None if repr(a) == repr(b) else path  # 0. is not -0., and NaN is NaN
    return next((found for x, y, p in parts if (found := _difference(x, y, p))), None)
