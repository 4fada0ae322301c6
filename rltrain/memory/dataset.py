"""Recorded episodes: Minari datasets, as rows that algorithms learn from.

Legend: N transitions, episode after episode.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Space
from numpy.typing import NDArray

from rltrain.core.errors import UserError, did_you_mean
from rltrain.core.types import Rows, Transition
from rltrain.memory.recorded import NotOfSpaceError, as_rows, check_actions, check_space


@dataclass(frozen=True)
class Dataset:
    """N transitions `[N, ...]` as a sampler writes them; the last of each episode ends it."""

    id: str
    obs: Rows
    action: Rows
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    successor: Rows

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def ends(self) -> NDArray[np.intp]:
        """The last row of each episode."""
        return np.flatnonzero(self.terminated | self.truncated)

    @functools.cached_property
    def sha256(self) -> str:
        """Of every row: equal if and only if the data are."""
        sha = hashlib.sha256()
        for name in ("obs", "action", "reward", "terminated", "truncated", "successor"):
            column = np.ascontiguousarray(getattr(self, name))
            sha.update(f"{column.dtype}{column.shape}".encode())
            sha.update(column.reshape(-1).view(np.uint8).data)
        return sha.hexdigest()

    def transitions(self) -> Transition:
        """All rows, in the form that a memory takes."""
        return Transition(
            self.obs,
            self.action,
            self.reward,
            self.terminated,
            self.truncated,
            self.successor,
            {},
        )

    def identity(self) -> dict[str, str]:
        """What a checkpoint keeps of it."""
        return {"id": self.id, "sha256": self.sha256}

    def check(self, identity: dict[str, str]) -> None:
        """Compares it with that of a checkpoint; a UserError says that the data are others."""
        check_identity(self.identity(), identity)


def check_identity(now: dict[str, str], saved: dict[str, str]) -> None:
    """Compares what a dataset is known by with what a checkpoint says.

    Raises:
        UserError: the data are others.
    """
    if now["sha256"] != saved["sha256"]:
        raise UserError(
            f"dataset={now['id']} is not what it was when the run began: SHA-256 of its rows was"
            f" {saved['sha256'][:12]}…, and is {now['sha256'][:12]}…"
        )


def library() -> Any:
    """The package minari, with what it reads files by.

    Raises:
        UserError: it is not installed.
    """
    try:
        import h5py  # noqa: F401 # minari imports these late, and says less
        import minari
        import PIL  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"Datasets need the package {error.name}, which is not installed:"
            ' pip install "rltrain[data]"'
        ) from error
    return minari


def open_dataset(dataset_id: str) -> tuple[Any, Iterator[Any]]:
    """Minari's object of a dataset on this machine, and its episodes, read one at a time.

    Raises:
        UserError: there is none, or it cannot be read; of an episode, where that is asked for.
    """
    minari = library()
    try:
        found = minari.load_dataset(dataset_id)
    except FileNotFoundError as error:
        there = minari.list_local_datasets()
        near = did_you_mean(dataset_id, there) if there else " There is none yet."
        raise UserError(
            f"dataset={dataset_id}: there is no such dataset on this machine.{near} Record one by"
            f" `rltrain record RUN dataset={dataset_id}`, or fetch one of Minari's by `minari"
            " download`."
        ) from error
    except Exception as error:  # Minari asserts, and trusts its files
        raise _unreadable(dataset_id, error) from error
    return found, _episodes(dataset_id, found)


def _episodes(dataset_id: str, found: Any) -> Iterator[Any]:
    try:
        yield from found
    except Exception as error:
        raise _unreadable(dataset_id, error) from error


def _unreadable(dataset_id: str, error: Exception) -> UserError:
    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    return UserError(f"dataset={dataset_id} cannot be read: {what}")


def read(
    dataset_id: str,
    observation_space: Space,
    action_space: Space,
    dropped: tuple[str, ...] = (),
) -> Dataset:
    """All episodes of a dataset, for an environment of these spaces.

    An episode that neither terminated nor was truncated was cut off by whoever recorded it:
    it counts as truncated. Parts of observations that are `dropped` are not read.

    Raises:
        UserError: there is none, it is empty, its spaces are others, or what it holds is not
            of them.
    """
    found, episodes = open_dataset(dataset_id)
    check_actions(dataset_id, action_space)
    spaces = observation_space, action_space
    check_space(dataset_id, "observations", found.observation_space, spaces[0], dropped)
    check_space(dataset_id, "actions", found.action_space, spaces[1])
    columns: dict[str, list[Rows]] = {name: [] for name in Dataset.__dataclass_fields__}
    del columns["id"]
    for episode in episodes:
        count = len(episode.rewards)
        if not count:
            continue
        try:
            obs = as_rows(episode.observations, spaces[0])
            action = as_rows(episode.actions, spaces[1])
        except NotOfSpaceError as error:
            raise UserError(f"dataset={dataset_id}: episode {episode.id} holds {error}.") from error
        if len(obs) <= count or len(action) < count:
            raise UserError(
                f"dataset={dataset_id}: episode {episode.id} has {len(obs)} observations and"
                f" {len(action)} actions for {count} steps; each step needs the one after it too."
            )
        terminated = np.asarray(episode.terminations, np.bool_)
        truncated = np.array(episode.truncations, np.bool_)
        truncated[-1] |= not terminated[-1]
        columns["obs"].append(obs[:count])
        columns["successor"].append(obs[1 : count + 1])
        columns["action"].append(action[:count])
        columns["reward"].append(np.asarray(episode.rewards, np.float32).reshape(count))
        columns["terminated"].append(terminated)
        columns["truncated"].append(truncated)
    if not columns["reward"]:
        raise UserError(f"dataset={dataset_id} holds no step.")
    joined: dict[str, Any] = {name: np.concatenate(rows) for name, rows in columns.items()}
    if not np.isfinite(joined["reward"]).all():
        raise UserError(f"dataset={dataset_id} holds rewards that are no numbers.")
    return Dataset(dataset_id, **joined)
