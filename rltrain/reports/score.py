"""`rltrain eval`: how good is what a run learned."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rltrain.core.errors import OK, UserError, did_you_mean
from rltrain.envs.make import check_env
from rltrain.settings.run import RunSettings, build_run
from rltrain.settings.schema import convert
from rltrain.settings.upgrade import upgraded
from rltrain.training import run as folders
from rltrain.training import trust
from rltrain.training.changes import merged

if TYPE_CHECKING:  # torch is imported once there is something to play
    from rltrain.algos.base import Policy
    from rltrain.training.checkpoint import Checkpoint
    from rltrain.training.evaluation import Evaluation, Watch

logger = logging.getLogger("rltrain")

OPTIONS = ("episodes", "deterministic", "seed", "checkpoint", "device", "output_dir", "trust")


def evaluate(target: str, options: dict[str, Any]) -> int:
    """Plays episodes with the policy of a run and prints what it scored, in raw reward.

    Options are `episodes`, `deterministic`, `seed`, `checkpoint` (newest, best, or a
    file), `device`, `trust` (import what the run names, whoever started it), and arguments of
    the environment as `env.kwargs.NAME`.

    Raises:
        UserError: an option is unknown, or there is no such run or checkpoint.
    """
    settings, folder, choice = chosen(target, options)
    loaded, result = play(settings, folder, choice)
    show(settings, loaded, result)
    return OK


def chosen(target: str, options: dict[str, Any]) -> tuple[RunSettings, Path, str]:
    """The settings of a run with options as `evaluate` takes them, its folder, and the
    checkpoint.

    Raises:
        UserError: an option is unknown, or there is no such run.
    """
    for name in options:
        if name not in OPTIONS and not name.startswith("env."):
            near = did_you_mean(name, (*OPTIONS, "env.kwargs"))
            if name == "env":  # whose policy can only act where spaces are equal
                near = f" Another environment with the same spaces: env.id={options[name]}"
            raise UserError(f"Unknown option {name}.{near}")
    folder, file = folders.find(target, str(options.pop("output_dir", "outputs")))
    choice = str(options.pop("checkpoint", file or "newest"))
    there = folders.read_config(folder)
    trust.check(folder, there, convert(bool, options.pop("trust", False), "trust"))
    saved, filled = upgraded(there)
    if filled:
        logger.info(folders.FILLED, folder / folders.CONFIG, filled)
    settings = build_run(merged(saved, _as_keys(options)))
    check_env(settings)
    return settings, folder, choice


def show(settings: RunSettings, loaded: Checkpoint, result: Evaluation) -> None:
    """Prints what was played and scored."""
    print(
        f"{settings.env.id}, {loaded.path.name} (step {loaded.step:,}),"
        f" {len(result.episodes)} episodes, seed {settings.seed},"
        f" {'deterministic' if settings.eval.deterministic else 'sampled'} actions\n"
        f"return    {result.mean:.2f} ± {result.std:.2f}"
        f"   (min {min(result.returns):.2f}, max {max(result.returns):.2f})\n"
        f"length    {result.mean_length:.1f}"
    )
    for name, returns in result.agents.items():
        print(f"{name:<9} {np.mean(returns):.2f} ± {np.std(returns):.2f}")
    if result.cut:
        print(f"{result.cut} episodes were cut after {settings.eval.max_episode_steps} steps")


def _as_keys(options: dict[str, Any]) -> dict[str, Any]:
    inside = {"episodes": "eval.episodes", "deterministic": "eval.deterministic"}
    return {inside.get(name, name): value for name, value in options.items()}


def load_policy(
    settings: RunSettings, folder: Path, choice: str = "newest"
) -> tuple[Checkpoint, Policy]:
    """A run's policy: of its newest checkpoint, its best evaluation, or a file."""
    from rltrain.algos.averaged import put
    from rltrain.core.state import not_numbers
    from rltrain.training import checkpoint
    from rltrain.training.build import Spaces, build_algorithm, build_envs, without_data

    store = checkpoint.CheckpointFolder(folder / "checkpoints", 1)
    if choice == "newest":
        loaded, warnings = store.load_newest()
        for warning in warnings:
            logger.warning("%s", warning)
    else:
        loaded = checkpoint.read(_file(folder / "checkpoints", choice))
    one = dataclasses.replace(settings.env, num_envs=1)
    envs = build_envs(dataclasses.replace(settings, env=one))
    algorithm = build_algorithm(without_data(settings), envs)
    envs.close()
    spaces = Spaces.of(envs).described
    with loaded.putting_back(spaces):
        algorithm.policy.load_state_dict(loaded.content["policy"])
        average = loaded.content.get("algorithm", {}).get("average")
        if average is not None:  # the policy of a full checkpoint is the one that trains on
            put(algorithm.policy, average)
    odd = list(not_numbers(algorithm.policy.state_dict()))
    if odd:
        logger.warning(
            "%s: %s %s NaN; what the policy does means nothing",
            loaded.path,
            ", ".join(odd[:3]) + (f" and {len(odd) - 3} more arrays" if len(odd) > 3 else ""),
            "has" if len(odd) == 1 else "have",
        )
    if changed := loaded.changed_spaces(spaces):  # in their bounds or names: it plays
        logger.warning("%s; the policy of the run acts in them as they are now", changed)
    return loaded, algorithm.policy


def _file(checkpoints: Path, choice: str) -> Path:
    """Return the checkpoint file that a path, or a name as `rltrain eval` prints it, stands for.

    Raises:
        UserError: there is none.
    """
    for path in (checkpoints / f"{choice}.ckpt", checkpoints / choice, Path(choice)):
        if path.is_file():
            return path
    known = ["newest", *(p.name.removesuffix(".ckpt") for p in checkpoints.glob("*.ckpt"))]
    raise UserError(f"checkpoint={choice}: there is none.{did_you_mean(choice, known)}")


def play(
    settings: RunSettings, folder: Path, choice: str = "newest", watch: Watch | None = None
) -> tuple[Checkpoint, Evaluation]:
    """Plays the episodes of `settings.eval` with a run's policy, in fresh environments.

    `watch` sees every step of them.
    """
    from rltrain.training.build import build_evaluator

    loaded, policy = load_policy(settings, folder, choice)
    return loaded, build_evaluator(settings).run(policy, "final", watch)
