"""Datasets made by hand, written by Minari itself."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

Episode = tuple[Any, Any, list[float], bool]  # observations, actions, rewards, terminated


def write(dataset_id: str, env: gym.Env, episodes: list[Episode]) -> None:
    """Writes episodes as they stand; one that did not terminate is not marked as truncated.

    A dataset of that name is replaced.
    """
    import minari
    from minari.data_collector import EpisodeBuffer

    shutil.rmtree(Path(os.environ["MINARI_DATASETS_PATH"]) / dataset_id, ignore_errors=True)
    buffers = [
        EpisodeBuffer(
            id=i,
            observations=obs if isinstance(obs, dict | tuple | list) else np.asarray(obs),
            actions=np.asarray(actions),
            rewards=rewards,
            terminations=[False] * (len(rewards) - 1) + [terminated],
            truncations=[False] * len(rewards),
        )
        for i, (obs, actions, rewards, terminated) in enumerate(episodes)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(
            dataset_id,
            buffers,
            env=None,
            observation_space=env.observation_space,
            action_space=env.action_space,
            jpeg_encoding=False,
        )


def one_step_episodes(obs: Any, actions: Any, rewards: Any) -> list[Episode]:
    """Episodes of a step each, which end where they began."""
    rows = zip(obs, actions, rewards, strict=True)
    return [(np.stack([o, o]), np.asarray(a)[None], [float(r)], True) for o, a, r in rows]


def columns(space: gym.Space, observations: list[Any]) -> Any:
    """Observations as a file has them: a column for each part."""
    if isinstance(space, gym.spaces.Dict):
        parts = space.spaces.items()
        return {key: columns(part, [o[key] for o in observations]) for key, part in parts}
    if isinstance(space, gym.spaces.Tuple):
        parts_of = enumerate(space.spaces)
        return tuple(columns(part, [o[i] for o in observations]) for i, part in parts_of)
    return observations if isinstance(space, gym.spaces.Text) else np.stack(observations)


def right(env: Any, count: int) -> list[Episode]:
    """Episodes of one that knows what the probes of `rltrain.envs.sights` want."""
    env.reset(seed=0)
    episodes: list[Episode] = []
    for _ in range(count):
        obs, _ = env.reset()
        seen, actions, rewards, terminated = [obs], [], [], False
        while not terminated:
            actions.append(wanted(env))
            obs, reward, terminated, _, _ = env.step(actions[-1])
            seen.append(obs)
            rewards.append(float(reward))
        episodes.append((columns(env.observation_space, seen), actions, rewards, True))
    return episodes


def wanted(env: Any) -> Any:
    """The action of reward 1."""
    bits = np.atleast_1d(getattr(env.unwrapped, "bits", getattr(env.unwrapped, "bit", 0)))
    if isinstance(env.action_space, gym.spaces.Box):
        return (2 * bits - 1).astype(np.float32)
    if isinstance(env.action_space, gym.spaces.MultiBinary):
        return bits.astype(np.int8)
    return int(bits @ 2 ** np.arange(len(bits)))


def play(env: Any, count: int, seed: int) -> list[Episode]:
    """Episodes of random actions."""
    env.action_space.seed(seed)
    episodes: list[Episode] = []
    for i in range(count):
        obs, _ = env.reset(seed=seed + i)
        seen, actions, rewards = [obs], [], []
        terminated = truncated = False
        while not (terminated or truncated or len(rewards) == 40):
            actions.append(env.action_space.sample())
            obs, reward, terminated, truncated, _ = env.step(actions[-1])
            seen.append(obs)
            rewards.append(float(reward))
        episodes.append((np.stack(seen), np.stack(actions), rewards, terminated))
    return episodes


def random_play(env_id: str) -> str:
    """The id of a dataset of random actions, made where it is not there yet.

    `MINARI_DATASETS_PATH` says where.
    """
    dataset_id = f"random/{env_id.lower()}"
    path = os.path.join(os.environ["MINARI_DATASETS_PATH"], dataset_id)
    if not os.path.exists(path):
        env = gym.make(env_id)
        write(dataset_id, env, play(env, 8, seed=0))
    return dataset_id
