"""Wrappers around single environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from rltrain.core.errors import UserError, did_you_mean
from rltrain.core.layout import Path, layout_of
from rltrain.core.spaces import Stack
from rltrain.envs.answers import first_observation
from rltrain.envs.packing import Packer

Env = gym.Env[Any, Any]


class SharedWindow(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Leave pygame as it is when the environment is closed: others of this process draw with it.

    A process has one window, and Gymnasium's environments close it with the first of them.
    """

    def __init__(self, env: Env) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)

    def close(self) -> None:
        pass


class DropKeys(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Leaves parts out of Dict observations: `a`, or `a.b` of a Dict inside.

    Raises:
        UserError: there is no such part, or nothing is left.
    """

    def __init__(self, env: Env, names: Sequence[str]) -> None:
        RecordConstructorArgs.__init__(self, names=names)  # so that a specification can make it
        super().__init__(env)
        known = [".".join(map(str, path)) for path in _keys(env.observation_space)]
        for name in names:
            if name not in known:
                near = did_you_mean(name, known)
                what = "" if known else f" They are {type(env.observation_space).__name__}."
                raise UserError(
                    f"env.drop_keys: observations have no part called {name}.{near}{what}"
                )
        self._dropped = frozenset(names)
        space = env.observation_space
        assert isinstance(space, spaces.Dict)
        kept = self._space(space, "")
        if kept is None:
            raise UserError("env.drop_keys: nothing is left of the observations.")
        self.observation_space = kept

    def observation(self, observation: Any) -> Any:
        return self._pick(observation, "")

    def _space(self, space: spaces.Dict, prefix: str) -> spaces.Dict | None:
        kept: dict[str, gym.Space[Any]] = {}
        for key, part in space.spaces.items():
            if prefix + key in self._dropped:
                continue
            inner = self._space(part, f"{prefix}{key}.") if isinstance(part, spaces.Dict) else part
            if inner is not None:
                kept[key] = inner
        return spaces.Dict(kept) if kept else None

    def _pick(self, observation: Any, prefix: str) -> Any:
        if not isinstance(observation, Mapping):
            return observation  # whoever takes it says that it breaks its space
        return {
            key: self._pick(part, f"{prefix}{key}.") if isinstance(part, Mapping) else part
            for key, part in observation.items()
            if prefix + key not in self._dropped
        }


class FrameStack(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """The newest `count` observations `[count, ...]`, the newest last.

    An episode begins with as many of its first one.

    Raises:
        UserError: observations are no Box.
    """

    def __init__(self, env: Env, count: int) -> None:
        RecordConstructorArgs.__init__(self, count=count)
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, spaces.Box):
            raise UserError(
                f"env.frame_stack={count}: it stacks pictures and vectors, and these observations"
                f" are {type(space).__name__}."
            )
        self.observation_space = Stack(space, count)
        self.frames: NDArray[Any] = np.zeros((count, *space.shape), space.dtype)
        self._packer = Packer(layout_of(space))

    def reset(self, **kwargs: Any) -> tuple[NDArray[Any], dict[str, Any]]:
        answer = self.env.reset(**kwargs)
        obs = self._packer(first_observation(answer))
        self.frames = np.repeat(obs[None], len(self.frames), 0)
        return self.frames, answer[1]

    def step(self, action: Any) -> tuple[NDArray[Any], Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.frames = np.concatenate([self.frames[1:], self._packer(obs)[None]])
        return self.frames, reward, terminated, truncated, info


def _keys(space: gym.Space[Any], path: Path = ()) -> list[Path]:
    """The ways to everything inside of a Dict, Dicts inside too."""
    if not isinstance(space, spaces.Dict):
        return []
    ways: list[Path] = []
    for key, part in space.spaces.items():
        ways += [(*path, key), *_keys(part, (*path, key))]
    return ways
