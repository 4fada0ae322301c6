"""`rltrain record`: a policy's episodes as a Minari dataset."""

from __future__ import annotations

import copy
import dataclasses
import errno
import os
import shutil
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from rltrain.core.errors import OK, UserError
from rltrain.envs.make import make_env
from rltrain.reports import score
from rltrain.settings import registry
from rltrain.settings.run import EnvSettings, RunSettings

if TYPE_CHECKING:  # torch is imported once there is something to play
    from rltrain.core.types import Rows
    from rltrain.envs.vector import Episode, VectorStep


class Recorder:
    """Collects the episodes that an evaluation counts.

    `episodes` are columns by name, in time's order; observations have one row more than
    the others, the final one. Of stacks the newest observation is kept.
    """

    def __init__(self, stacked: bool = False) -> None:
        self.episodes: list[dict[str, Rows]] = []
        self._open: dict[int, list[tuple[Any, ...]]] = {}
        self._part: Any = -1 if stacked else ...

    def __call__(self, obs: Rows, action: Rows, step: VectorStep, finished: list[Episode]) -> None:
        for i in range(len(obs)):
            seen = obs[i][self._part].copy()
            row = (seen, action[i].copy(), step.reward[i], step.terminated[i])
            self._open.setdefault(i, []).append(row)
        for episode in finished:
            self._close(episode.env, step)
        over = step.terminated | step.truncated
        if step.valid is not None:  # its environment raised: the episode is dropped
            over |= ~step.valid
        for i in np.flatnonzero(over).tolist():
            self._open.pop(i, None)  # of those that do not count

    def _close(self, i: int, step: VectorStep) -> None:
        rows = self._open.pop(i)
        seen, action, reward, terminated = map(np.stack, zip(*rows, strict=True))
        truncated = np.zeros(len(rows), np.bool_)
        truncated[-1] = not terminated[-1]  # by the environment's limit, or the evaluation's
        self.episodes.append(
            {
                "observations": np.concatenate([seen, step.successor[i][self._part][None]]),
                "actions": action,
                "rewards": reward,
                "terminations": terminated,
                "truncations": truncated,
            }
        )


def record(target: str, options: dict[str, Any]) -> int:
    """Plays episodes with the policy of a run and writes them as a dataset of Minari's.

    Options are those of `rltrain eval`, and `dataset`, the new dataset's id. The episodes are
    those that `rltrain eval` plays with the same options.

    Raises:
        UserError: an option is wrong, or a dataset of this id is there.
    """
    if "dataset" not in options:
        raise UserError("Say what to call it: rltrain record latest dataset=cartpole/expert-v0")
    dataset_id = str(options.pop("dataset"))
    settings, folder, choice = score.chosen(target, options)
    if registry.entry("algo", settings.algo.name).multi_agent:
        raise UserError(
            "Episodes of several agents cannot be recorded: Minari has no form for them."
        )
    from rltrain.memory.recorded import check_actions, storable

    path = _new_path(dataset_id)
    with make_env(as_played(settings.env)) as env:
        storable(dataset_id, env.observation_space)
        check_actions(dataset_id, env.action_space)
    recorder = Recorder(stacked=settings.env.frame_stack > 1)
    loaded, result = score.play(settings, folder, choice, recorder)
    write(dataset_id, recorder.episodes, settings)
    score.show(settings, loaded, result)
    steps = sum(len(e["rewards"]) for e in recorder.episodes)
    print(f"dataset   {dataset_id}, {len(recorder.episodes)} episodes, {steps:,} steps")
    print(f"folder    {path}")
    return OK


def as_played(env: EnvSettings) -> EnvSettings:
    """The environment whose episodes are recorded: whole games, without stacks, since a dataset
    has observations one by one."""
    return dataclasses.replace(env, frame_stack=1, episodic_life=False)


def _new_path(dataset_id: str) -> Any:
    """Where a dataset will be.

    Raises:
        UserError: the id is none of Minari's, or taken.
    """
    from rltrain.memory.dataset import library

    library()
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.storage import get_dataset_path

    try:
        parse_dataset_id(dataset_id)
    except (ValueError, TypeError) as error:  # of one without a version
        raise UserError(
            f"dataset={dataset_id} is no id of Minari's, NAMESPACE/NAME-vNUMBER with two"
            " letters at least before the /, as in dataset=cartpole/expert-v0"
        ) from error
    try:
        path = get_dataset_path(dataset_id)  # makes the folder of all datasets
        above = next(folder for folder in path.parents if folder.exists())
    except OSError as error:
        raise _not_writable(dataset_id, error) from error
    if not os.access(above, os.W_OK):
        raise _not_writable(dataset_id, PermissionError(errno.EACCES, "Permission denied", above))
    if path.exists():
        name, _, version = dataset_id.rpartition("-v")
        raise UserError(
            f"dataset={dataset_id} is there already ({path}). Choose another version, as"
            f" dataset={name}-v{int(version) + 1}, or delete it: minari delete {dataset_id}"
        )
    return path


def write(dataset_id: str, episodes: list[dict[str, Rows]], settings: RunSettings) -> None:
    """Writes episodes as a dataset, with how to make their environment; all of it or nothing."""
    from rltrain.memory.dataset import library
    from rltrain.memory.recorded import as_recorded, as_taken, storable

    minari = library()
    path = _new_path(dataset_id)
    with make_env(as_played(settings.env)) as env:
        observations, actions, spec = env.observation_space, env.action_space, env.spec
    buffers = [
        minari.data_collector.EpisodeBuffer(
            id=i,
            **{
                **episode,
                "observations": as_recorded(episode["observations"], observations),
                "actions": as_taken(episode["actions"], actions),
            },
        )
        for i, episode in enumerate(episodes)
    ]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an author and the like are of published ones
            minari.create_dataset_from_buffers(
                dataset_id,
                buffers,
                env=_importable(spec),
                observation_space=storable(dataset_id, observations),
                action_space=actions,
                algorithm_name=settings.algo.name,
                description=f"{settings.algo.name} on {settings.env.id}, by rltrain",
                jpeg_encoding=False,  # which would lose bits
            )
    except BaseException as error:
        shutil.rmtree(path, ignore_errors=True)
        if isinstance(error, OSError):
            raise _not_writable(dataset_id, error) from error
        raise


def _not_writable(dataset_id: str, error: OSError) -> UserError:
    where = f"{error.filename} " if error.filename else ""
    return UserError(
        f"dataset={dataset_id}: {where}cannot be written ({error.strerror or error}). Name another"
        " folder for datasets: MINARI_DATASETS_PATH=FOLDER rltrain record …"
    )


def _importable(spec: Any) -> Any:
    """A specification whose constructor is named rather than held, as a file can."""
    if spec is None or not callable(spec.entry_point):
        return spec
    named = copy.copy(spec)
    cls = spec.entry_point
    named.entry_point = f"{cls.__module__}:{cls.__qualname__}"
    return named
