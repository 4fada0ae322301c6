"""Probe environments for what is seen: one bit decides the best action, and it is told by a
word, a picture, switches, or by all of them together.

Each has the optimum 1: reward 1 for the best action, −1 for the others, episodes of a step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

Draw = np.random.Generator
WORDS = ("left", "right")
_SIDE = 10


def _picture(bit: int, rng: Draw) -> np.ndarray[Any, Any]:
    """A bright square in the left or the right half, anywhere there."""
    picture = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    row, column = rng.integers(_SIDE - 1), rng.integers(_SIDE // 2 - 1) + bit * _SIDE // 2
    picture[row : row + 2, column : column + 2] = 255
    return picture


def _sentence(bit: int, rng: Draw) -> str:
    """The word among others."""
    return f"{('go', 'please go')[rng.integers(2)]} {WORDS[bit]}"


# What tells the bit, by kind: a space, and how an observation of it is drawn.
SIGHTS: dict[str, tuple[Callable[[], gym.Space[Any]], Callable[[int, Draw], Any]]] = {
    "Box": (
        lambda: spaces.Box(-1, 1, (2,), np.float32),
        lambda bit, rng: np.array([rng.uniform(-1, 1), 2 * bit - 1], np.float32),
    ),
    "Discrete": (
        lambda: spaces.Discrete(4, start=5),
        lambda bit, rng: 5 + bit + 2 * int(rng.integers(2)),
    ),
    "MultiDiscrete": (
        lambda: spaces.MultiDiscrete([3, 2], start=[0, 5]),
        lambda bit, rng: np.array([rng.integers(3), 5 + bit]),
    ),
    "MultiBinary": (
        lambda: spaces.MultiBinary(3),
        lambda bit, rng: np.array([rng.integers(2), bit, rng.integers(2)], np.int8),
    ),
    "Text": (
        lambda: spaces.Text(20, charset="abcdefghijklmnopqrstuvwxyz "),
        _sentence,
    ),
    "picture": (lambda: spaces.Box(0, 255, (_SIDE, _SIDE, 3), np.uint8), _picture),
}


class Sight(gym.Env[Any, Any]):
    """The action is to be the bit that is seen as `sees` has it; `continuous`: its sign.

    Pixels of a picture are squares of `zoom` a side.
    """

    def __init__(self, sees: str = "picture", continuous: bool = False, zoom: int = 1) -> None:
        space, self._draw = SIGHTS[sees]
        self.observation_space = space()
        if zoom > 1:
            side = zoom * _SIDE
            self.observation_space = spaces.Box(0, 255, (side, side, 3), np.uint8)
            self._draw = lambda bit, rng: _picture(bit, rng).repeat(zoom, 0).repeat(zoom, 1)
        self.action_space = (
            spaces.Box(-1, 1, (1,), np.float32) if continuous else spaces.Discrete(2)
        )
        self.bit = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.bit = int(self.np_random.integers(2))
        return self._draw(self.bit, self.np_random), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        wanted = 2 * self.bit - 1
        reward = float(action[0]) * wanted if np.ndim(action) else 1.0 - 2 * (action != self.bit)
        return self._draw(self.bit, self.np_random), float(reward), True, False, {}


class EverySight(gym.Env[Any, Any]):
    """A part of a nested observation for each of four choices of one action: none can be spared.

    A picture, a sentence, switches and a number each tell a bit. The action, one of sixteen,
    is the number that the bits write; where `actions` are MultiBinary they are the bits, and a
    Box (or `continuous`) has a dimension for each. The reward is the share of the bits that
    are right, from −1 to 1. An episode has `length` steps.
    """

    def __init__(
        self, continuous: bool = False, length: int = 1, actions: str = "Discrete"
    ) -> None:
        self.parts = ("picture", "Text", "MultiDiscrete", "Box")
        picture, text, dials, number = (SIGHTS[name][0]() for name in self.parts)
        inner = spaces.Dict({"dials": dials, "number": number})
        self.observation_space = spaces.Dict(
            {"camera": picture, "inner": spaces.Tuple([text, inner])}
        )
        self.action_space: gym.Space[Any] = spaces.Discrete(16)
        if continuous or actions == "Box":
            self.action_space = spaces.Box(-1, 1, (4,), np.float32)
        elif actions == "MultiBinary":
            self.action_space = spaces.MultiBinary(4)
        self.length, self.left = length, length
        self.bits = np.zeros(4, np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = self.length
        return self.observe(), {}

    def observe(self) -> dict[str, Any]:
        self.bits = self.np_random.integers(2, size=4)
        picture, text, dials, number = (
            SIGHTS[name][1](int(bit), self.np_random)
            for name, bit in zip(self.parts, self.bits, strict=True)
        )
        return {"camera": picture, "inner": (text, {"dials": dials, "number": number})}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        wanted = 2 * self.bits - 1
        said = np.asarray(action)
        if not isinstance(self.action_space, spaces.Box):
            bits = said if said.ndim else said >> np.arange(4) & 1
            said = 2 * bits.astype(np.int64) - 1
        self.left -= 1
        return self.observe(), float((said * wanted).mean()), self.left == 0, False, {}


for _cls in (Sight, EverySight):
    gym.register(f"rltrain/{_cls.__name__}-v0", entry_point=f"{__name__}:{_cls.__name__}")
