"""Atari's emulator with a record of the game that it plays, from which its state is exact.

`cloneState` of ale-py 0.12 leaves out the frame buffers, the position in them, and the masks
by which objects are drawn and collide
(https://github.com/Farama-Foundation/Arcade-Learning-Environment/pull/739). An emulator that
restores such a state shows other pixels for some frames, and where a game reads collisions
its memory differs too. A game is therefore restored by playing it again from its reset:
about 8,000 frames a second on one core, of the 108,000 that ALE allows a game by default.
"""

from __future__ import annotations

from typing import Any, Protocol

import gymnasium as gym


class _Ale(Protocol):
    """What is used of `ale_py.ALEInterface`."""

    def act(self, action: Any, paddle_strength: float = 1.0) -> int: ...

    def reset_game(self) -> None: ...

    def loadROM(self, rom_file: Any) -> None: ...

    def cloneState(self, *, include_rng: bool = False) -> Any: ...

    def restoreState(self, state: Any) -> None: ...


class Emulator:
    """An `ale_py.ALEInterface` that records the actions since the last reset.

    All else is passed on to it.
    """

    def __init__(self, ale: _Ale) -> None:
        self._ale = ale
        self._before: bytes | None = None  # its state before the last reset
        self._pressed = bytearray()  # an action of each frame since

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ale, name)

    def act(self, action: Any, paddle_strength: float = 1.0) -> int:
        """Apply an action for one frame, and return its reward."""
        if paddle_strength != 1.0:
            self._before = None  # strengths are not recorded: this game cannot be played again
        self._pressed.append(int(getattr(action, "value", action)))  # of an enum or not
        return self._ale.act(action, paddle_strength)

    def reset_game(self) -> None:
        """Begin a game, and its record."""
        self._before = self._state()
        self._pressed.clear()
        self._ale.reset_game()

    def loadROM(self, rom_file: Any) -> None:
        """Load a game, which `reset_game` begins."""
        self._before = None
        self._pressed.clear()
        self._ale.loadROM(rom_file)

    def snapshot(self) -> dict[str, Any] | None:
        """Return the state as plain values; None if the game cannot be played again."""
        if self._before is None and self._pressed:
            return None
        pressed = bytes(self._pressed)
        return {"value": self._state(), "before": self._before, "pressed": pressed}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `snapshot` returned of an emulator of the same game.

        Raises:
            ValueError: the game, played again, ends in another state.
        """
        # Checkpoints of earlier versions have the clone alone.
        self._before, pressed = state.get("before"), state.get("pressed", b"")
        self._pressed[:] = pressed
        if self._before is None:
            self._put(state["value"])
            return
        self._put(self._before)
        self._ale.reset_game()
        for action in pressed:
            self._ale.act(action)
        if self._state() != state["value"]:
            raise ValueError("the emulator's game, played again, differs")

    def _state(self) -> bytes:
        return bytes(self._ale.cloneState(include_rng=True).__getstate__())

    def _put(self, state: bytes) -> None:
        cls: Any = type(self._ale.cloneState())
        made = cls.__new__(cls)
        made.__setstate__(state)
        self._ale.restoreState(made)


def record(env: gym.Env[Any, Any]) -> None:
    """Replace the `ale` of an ale-py environment by one that records; leave others as they are."""
    game: Any = env.unwrapped
    ale: Any = getattr(game, "__dict__", {}).get("ale")
    if type(ale).__module__.partition(".")[0] == "ale_py":
        game.ale = Emulator(ale)
