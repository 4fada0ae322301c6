"""Environments of packages that rltrain knows nothing of, as `env=benchmarks.foreign_envs:NAME`."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


def _make(module: str, env_id: str, **kwargs: Any) -> Any:
    importlib.import_module(module)
    return gym.make(env_id, disable_env_checker=True, **kwargs)


def _prices(rows: int = 600) -> Any:
    """Return made-up prices of a stock by the hour, the same every time."""
    pandas: Any = importlib.import_module("pandas")
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, rows)))
    data = {
        "open": close * 0.999,
        "high": close * 1.01,
        "low": close * 0.99,
        "close": close,
        "volume": rng.uniform(1, 9, rows),
    }
    frame = pandas.DataFrame(data, pandas.date_range("2024-01-01", periods=rows, freq="h"))
    frame["feature_close"] = frame["close"].pct_change().fillna(0)
    frame["feature_volume"] = frame["volume"] / frame["volume"].rolling(24, 1).max()
    return frame


def stocks() -> Any:
    return _make("gym_anytrading", "stocks-v0")


def forex() -> Any:
    return _make("gym_anytrading", "forex-v0")


def trading() -> Any:
    return _make(
        "gym_trading_env", "TradingEnv", df=_prices(), positions=[-1, 0, 1], verbose=0, windows=5
    )


def trading_with_random_episodes() -> Any:
    return _make(
        "gym_trading_env",
        "TradingEnv",
        df=_prices(),
        positions=[0, 0.5, 1],
        verbose=0,
        max_episode_duration=40,
    )


def highway() -> Any:
    return _make("highway_env", "highway-fast-v0")


def parking() -> Any:
    return _make("highway_env", "parking-v0")


def fetch() -> Any:
    return _make("gymnasium_robotics", "FetchReach-v4")


def point_maze() -> Any:
    return _make("gymnasium_robotics", "PointMaze_UMaze-v3")


def adroit_door() -> Any:
    return _make("gymnasium_robotics", "AdroitHandDoor-v1")


def flappy_bird() -> Any:
    return _make("flappy_bird_gymnasium", "FlappyBird-v0", use_lidar=False)


def tetris() -> Any:
    return _make("tetris_gymnasium.envs", "tetris_gymnasium/Tetris")


def game_2048() -> Any:
    return _make("gymnasium_2048", "gymnasium_2048/TwentyFortyEight-v0")


def treasure() -> Any:
    """Return a grid world with two rewards, which are added up."""
    package: Any = importlib.import_module("mo_gymnasium")
    wrappers: Any = importlib.import_module("mo_gymnasium.wrappers")
    return wrappers.LinearReward(package.make("deep-sea-treasure-v0"), np.array([1.0, 0.1]))


class Crafter(gym.Env[Any, Any]):
    """Crafter, whose interface is that of Gym before 0.26; its pictures are made smaller."""

    observation_space = spaces.Box(0, 255, (3 * 16 * 16,), np.uint8)

    def __init__(self) -> None:
        package: Any = importlib.import_module("crafter")
        self.game = package.Env(area=(32, 32), size=(64, 64), length=200)
        self.action_space = spaces.Discrete(self.game.action_space.n)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.game._seed = int(self.np_random.integers(2**31))
        self.game._episode = 0
        return self._seen(self.game.reset()), {}

    def step(self, action: Any) -> Any:
        obs, reward, done, info = self.game.step(int(action))
        cut = done and bool(info["discount"])
        return self._seen(obs), float(reward), done and not cut, cut, {}

    def _seen(self, picture: Any) -> Any:
        return np.ascontiguousarray(picture[::4, ::4]).reshape(-1)


class Pogema(gym.Env[Any, Any]):
    """One agent that finds its way on a random grid."""

    def __init__(self) -> None:
        package: Any = importlib.import_module("pogema")
        self._package = package
        self.grid = package.pogema_v0(
            package.GridConfig(num_agents=1, seed=0, max_episode_steps=40)
        )
        space = self.grid.observation_space
        self.observation_space = spaces.Box(-np.inf, np.inf, space.shape, np.float32)
        self.action_space = self.grid.action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        obs, _ = self.grid.reset(seed=int(self.np_random.integers(2**31)))
        return np.asarray(obs[0], np.float32), {}

    def step(self, action: Any) -> Any:
        obs, reward, ended, cut, _ = self.grid.step([int(action)])
        return np.asarray(obs[0], np.float32), float(reward[0]), bool(ended[0]), bool(cut[0]), {}
