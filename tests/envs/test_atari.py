"""The preprocessing of Atari games, on a game of a few frames that is known, and on real ones."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.errors import UserError
from rltrain.envs.atari import AtariGame, Resize, Steps, arguments, taps
from rltrain.envs.vector import VectorEnv


class Emulator:
    """A game of lives: frame n is grey n, each frame scores its action, and a life goes after
    every 10 frames. The third loss ends it."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.frame = 0
        self.pressed: list[int] = []

    def act(self, action: int) -> float:
        self.frame += 1
        self.pressed.append(action)
        return float(action)

    def lives(self) -> int:
        return 3 - self.frame // 10

    def game_over(self, with_truncation: bool = True) -> bool:
        return self.lives() <= 0

    def game_truncated(self) -> bool:
        return False

    def getScreenDims(self) -> tuple[int, int]:
        return 8, 12

    def getScreenGrayscale(self) -> Any:
        return np.full((8, 12), self.frame, np.uint8)

    def getScreenRGB(self) -> Any:
        return np.full((8, 12, 3), self.frame, np.uint8)


class Game(gym.Env[Any, Any]):
    def __init__(self, fire: bool = False) -> None:
        self.ale = Emulator()
        self._action_set = [0, 1, 2]
        self.meanings = ["NOOP", "FIRE" if fire else "UP", "DOWN"]
        self.observation_space = spaces.Box(0, 255, (8, 12), np.uint8)
        self.action_space = spaces.Discrete(3)

    def get_action_meanings(self) -> list[str]:
        return self.meanings

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.ale.begin()
        return self.ale.getScreenGrayscale(), {}


def game(fire: bool = False, max_steps: int | None = None, **steps: Any) -> Any:
    return AtariGame(Game(fire), Steps(**{"frame_skip": 4, "grey": True} | steps), max_steps)


def test_an_action_is_held_and_the_last_two_frames_are_seen_at_their_highest() -> None:
    env = game()
    assert env.reset(seed=0)[0].max() == 0
    obs, reward, terminated, truncated, _ = env.step(2)
    assert env.unwrapped.ale.pressed == [2, 2, 2, 2]
    assert (obs == 4).all()
    assert obs.shape == env.observation_space.shape == (8, 12)
    assert (reward, terminated, truncated) == (8.0, False, False)


def test_the_maximum_is_over_two_frames_alone() -> None:
    env = game()
    env.reset(seed=0)
    shown = iter([7, 3])  # the screens of the third and the fourth frame
    env.unwrapped.ale.getScreenGrayscale = lambda: np.full((8, 12), next(shown), np.uint8)
    assert (env.step(0)[0] == 7).all()
    assert next(shown, None) is None


def test_an_episode_begins_after_some_frames_without_an_action() -> None:
    env = game(noop_max=5)
    env.reset(seed=0)
    waited = set()
    for _ in range(60):
        env.reset()
        assert set(env.unwrapped.ale.pressed) == {0}
        waited.add(env.unwrapped.ale.frame)
    assert waited == {1, 2, 3, 4, 5}


def test_fire_is_pressed_where_the_game_knows_it() -> None:
    env = game(fire=True, fire_reset=True)
    env.reset(seed=0)
    assert env.unwrapped.ale.pressed == [1] * 4 + [2] * 4
    other = game(fire=False, fire_reset=True)
    other.reset(seed=0)
    assert other.unwrapped.ale.pressed == []


def test_a_lost_life_ends_the_episode_and_the_game_goes_on() -> None:
    env = game(episodic_life=True)
    env.reset(seed=0)
    ends = [env.step(1)[2] for _ in range(3)]
    assert ends == [False, False, True]  # the tenth frame is in the third action
    assert env.game_goes_on
    env.reset()
    assert env.unwrapped.ale.frame == 12 + 4  # a held action of nothing
    assert not env.game_goes_on
    env.reset(seed=1)
    assert env.unwrapped.ale.frame == 0


def test_the_last_life_ends_the_game() -> None:
    env = game(episodic_life=True)
    env.reset(seed=0)
    whole = 0
    for _ in range(20):
        if env.step(0)[2]:
            whole += not env.game_goes_on
            if not env.game_goes_on:
                assert env.unwrapped.ale.frame == 30  # and not held on
            env.reset()
    assert whole == 3  # of six actions each


def test_returns_are_of_whole_games_and_raw_rewards_while_learning_sees_signs() -> None:
    envs = VectorEnv(lambda: game(episodic_life=True), 1, 0, "test", clip_reward=True)
    envs.restart()
    steps = [envs.step(np.array([2])) for _ in range(10)]
    assert [s.reward.tolist() for s in steps] == [[1.0]] * 10
    # Lives go at frames 10 and 20; after a loss four frames pass unplayed: 12, 16 … 20, 24 … 30.
    ends = [i for i, s in enumerate(steps) if s.terminated[0]]
    episodes = [s.episodes[0] for s in steps if s.episodes]
    assert ends == [2, 3, 5, 8, 9]
    lost = (0.0, 0)
    assert [(e.ret, e.length) for e in episodes] == [lost, lost, (44.0, 6), lost, lost]
    assert envs.returns[0] == 8.0 * 4  # of the next game: the last four actions


def test_without_lives_an_episode_is_a_game() -> None:
    envs = VectorEnv(game, 1, 0, "test")
    envs.restart()
    episodes = [e for _ in range(8) for e in envs.step(np.array([1])).episodes]
    assert [(e.ret, e.length) for e in episodes] == [(30.0, 8)]


def test_a_time_limit_counts_the_actions_of_the_game() -> None:
    env = game(max_steps=5, episodic_life=True)
    env.reset(seed=0)
    rows = []
    for _ in range(5):
        _, _, terminated, truncated, _ = env.step(0)
        rows.append((terminated, truncated))
        if terminated or truncated:
            env.reset()
    assert rows[2] == (True, False)
    assert rows[4] == (False, True)
    assert env.elapsed == 0


def test_pixels_are_means_over_areas() -> None:
    """Three pixels into two: each new one is one and a half wide."""
    index, weight = taps(3, 2)
    assert index.tolist() == [[0, 1], [1, 2]]
    assert weight.reshape(-1) == pytest.approx([2 / 3, 1 / 3, 1 / 3, 2 / 3])
    screen = np.array([[0, 90, 240], [0, 90, 240]], np.uint8)
    # (0 + 90 / 2) / 1.5 = 30 and (90 / 2 + 240) / 1.5 = 190
    assert Resize(2, 3, 2)(screen).tolist() == [[30, 190], [30, 190]]


@pytest.mark.parametrize(("old", "new"), [(210, 84), (160, 84), (84, 84), (10, 20)])
def test_every_pixel_is_a_whole_mean(old: int, new: int) -> None:
    index, weight = taps(old, new)
    np.testing.assert_allclose(weight.sum(0), 1, atol=1e-6)
    total = np.zeros(old)
    np.add.at(total, index, weight)
    np.testing.assert_allclose(total, new / old, atol=1e-6)


def test_colours_keep_their_channels() -> None:
    env = game(grey=False, screen_size=7)
    assert env.observation_space.shape == (7, 7, 3)
    env.unwrapped.ale.getScreenRGB = lambda: np.full((8, 12, 3), [10, 20, 30], np.uint8)
    assert (env.reset(seed=0)[0] == [10, 20, 30]).all()


@pytest.mark.parametrize(
    ("name", "key"), [("frameskip", "frame_skip"), ("repeat_action_probability", "sticky_actions")]
)
def test_arguments_that_are_keys_are_answered_with_the_key(name: str, key: str) -> None:
    with pytest.raises(UserError, match=rf"env\.kwargs\.{name}: set env\.{key}"):
        arguments(Steps(), {name: 4}, None)


def test_arguments_of_the_constructor() -> None:
    plain = arguments(Steps(grey=True), {"mode": 1}, None)
    assert plain == {"mode": 1, "frameskip": 1, "obs_type": "grayscale"}
    assert arguments(Steps(), {}, 0.0)["repeat_action_probability"] == 0.0


def test_a_closed_game_leaves_no_emulator() -> None:
    env = game()
    env.reset(seed=0)
    env.close()
    assert not hasattr(env.unwrapped, "ale")
