"""The usual preprocessing of Atari games (Mnih et al. 2015, Machado et al. 2018).

Gymnasium's AtariPreprocessing begins the whole game anew at each lost life, presses no
button that a game waits for, and needs OpenCV; so it is done here, on the emulator itself.

Legend: H rows and W columns of a screen, S pixels a side of what is seen.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import WrapperSpec
from numpy.typing import NDArray

from rltrain.core.errors import UserError

Env = gym.Env[Any, Any]
Frame = NDArray[np.uint8]

NAMESPACE = "ALE/"
_KEYS = {  # arguments of the constructor that are keys
    "frameskip": "frame_skip",
    "obs_type": "grey",
    "repeat_action_probability": "sticky_actions",
}


class Steps(NamedTuple):
    """What is done to a game; each field is the key of that name in `env`."""

    frame_skip: int = 1
    grey: bool = False
    screen_size: int | None = None
    noop_max: int = 0
    fire_reset: bool = False
    episodic_life: bool = False


def arguments(steps: Steps, kwargs: dict[str, Any], sticky_actions: float | None) -> dict[str, Any]:
    """Arguments of an Atari environment that leaves to `AtariGame` what that does.

    Raises:
        UserError: one is a key of `env`.
    """
    for name, key in _KEYS.items():
        if name in kwargs:
            raise UserError(f"env.kwargs.{name}: set env.{key} instead.")
    own: dict[str, Any] = {"frameskip": 1, "obs_type": "grayscale" if steps.grey else "rgb"}
    if sticky_actions is not None:
        own["repeat_action_probability"] = sticky_actions
    return kwargs | own


class AtariGame(gym.Wrapper[Any, Any, Any, Any]):
    """A game whose actions are held for some frames, seen as the maximum of the last two.

    An episode begins with 1 to `noop_max` frames without an action, and, with `fire_reset`,
    with what Baselines presses where the game knows a FIRE: it, and the action after it;
    what these frames score is not counted, as there. With `episodic_life` a lost life
    terminates the episode; `game_goes_on` says that the game does not end with it, and a
    reset without a seed goes on with it. `max_steps` truncates the game after as many
    actions. The environment must be made with a frameskip of 1.
    """

    def __init__(self, env: Env, steps: Steps, max_steps: int | None = None) -> None:
        super().__init__(env)
        game: Any = env.unwrapped
        steps = Steps(*steps)  # a list where a specification makes it
        self.steps, self.max_steps = steps, max_steps
        self._actions = list(game._action_set)
        meanings = game.get_action_meanings()
        self._fire = steps.fire_reset and len(meanings) > 2 and meanings[1] == "FIRE"
        height, width = game.ale.getScreenDims()
        self._shape = (height, width) if steps.grey else (height, width, 3)
        self._resize: Resize | None = None
        seen = self._shape
        if steps.screen_size is not None:
            self._resize = Resize(height, width, steps.screen_size)
            seen = (steps.screen_size, steps.screen_size, *self._shape[2:])
        self.observation_space = spaces.Box(0, 255, seen, np.uint8)
        self.game_goes_on = False
        self.lives = 0
        self.elapsed = 0
        self._cached_spec = copy.copy(env.spec)
        if self._cached_spec is not None:
            frames = self._cached_spec.kwargs.get("max_num_frames_per_episode")
            limit = frames and frames // steps.frame_skip
            self._cached_spec.max_episode_steps = max_steps or limit
            kwargs = {"steps": list(steps), "max_steps": max_steps}
            own = WrapperSpec(type(self).__name__, f"{__name__}:{type(self).__name__}", kwargs)
            self._cached_spec.additional_wrappers += (own,)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frame, dict[str, Any]]:
        goes_on, self.game_goes_on = self.game_goes_on and seed is None, False
        info: dict[str, Any] = {}
        if not goes_on:
            info = self._restart(seed, options)
        elif not self._fire:
            self._act(0)
        for button in (1, 2) if self._fire else ():
            if self._act(button)[1]:
                info = self._restart(None, None)
        self.lives = self.unwrapped.ale.lives()  # type: ignore[attr-defined] # of AtariEnv
        return self._seen([self._screen()]), info

    def _restart(self, seed: int | None, options: dict[str, Any] | None) -> dict[str, Any]:
        """Begins a game, and waits."""
        _, info = self.env.reset(seed=seed, options=options)
        self.elapsed = 0
        if self.steps.noop_max:
            game: Any = self.unwrapped
            for _ in range(int(game.np_random.integers(1, self.steps.noop_max + 1))):
                game.ale.act(self._actions[0])
                if game.ale.game_over():
                    self.env.reset(options=options)
        return info

    def step(self, action: Any) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        reward, _, frames = self._act(int(action))
        self.elapsed += 1
        ale: Any = self.unwrapped.ale  # type: ignore[attr-defined] # of AtariEnv
        terminated = ale.game_over(with_truncation=False)
        truncated = ale.game_truncated() or self.elapsed == self.max_steps
        lives = ale.lives()
        # Qbert shows no life for some frames before the game is over.
        if self.steps.episodic_life and 0 < lives < self.lives and not (terminated or truncated):
            terminated = self.game_goes_on = True
        self.lives = lives
        return self._seen(frames), reward, terminated, truncated, {"lives": lives}

    def close(self) -> None:
        super().close()
        vars(self.unwrapped).pop("ale", None)  # its library complains of emulators that are left

    def _act(self, action: int) -> tuple[float, bool, list[Frame]]:
        """Holds an action: its score, whether the game is over, and the last two screens."""
        ale: Any = self.unwrapped.ale  # type: ignore[attr-defined] # of AtariEnv
        reward, frames, skip = 0.0, [], self.steps.frame_skip
        for i in range(skip):
            reward += ale.act(self._actions[action])
            over = ale.game_over()
            if over or i >= skip - 2:
                frames.append(self._screen())
            if over:
                return reward, True, frames
        return reward, False, frames

    def _screen(self) -> Frame:
        ale: Any = self.unwrapped.ale  # type: ignore[attr-defined] # of AtariEnv
        screen: Frame = ale.getScreenGrayscale() if self.steps.grey else ale.getScreenRGB()
        return screen

    def _seen(self, frames: list[Frame]) -> Frame:
        seen = frames[0] if len(frames) == 1 else np.maximum(frames[0], frames[1])
        return seen if self._resize is None else self._resize(seen)


class Resize:
    """Screens `[H, W]` or `[H, W, 3]` as `[S, S]` or `[S, S, 3]`: means over areas."""

    def __init__(self, height: int, width: int, size: int) -> None:
        self._rows, self._columns = taps(height, size), taps(width, size)

    def __call__(self, screen: Frame) -> Frame:
        if screen.ndim == 3:
            return np.stack([self(screen[..., c]) for c in range(3)], -1)
        rows = sum(screen.take(i, 0) * w[:, None] for i, w in zip(*self._rows, strict=True))
        mean = sum(rows.take(i, 1) * w for i, w in zip(*self._columns, strict=True))
        seen: Frame = (mean + np.float32(0.5)).astype(np.uint8)
        return seen


def taps(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Which of `old` pixels make up each of `new`, and how much each counts: `[K, new]`."""
    edges = np.arange(new + 1) * (old / new)
    first = np.floor(edges[:-1]).astype(np.intp)
    count = int((np.ceil(edges[1:]) - first).max())
    pixel = first + np.arange(count)[:, None]
    inside = np.minimum(edges[1:], pixel + 1) - np.maximum(edges[:-1], pixel)
    weights = np.maximum(inside, 0) * (new / old)
    return np.minimum(pixel, old - 1), weights.astype(np.float32)
