"""Composition: YAML, overrides and sweeps become checked, frozen settings.

This file, `sweeps`, `launcher`, `sources`, `overrides` and `explain` are the only ones that know
Hydra and OmegaConf.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from rltrain import launcher, overrides
from rltrain.core.errors import FAILED, USAGE, JobError, UserError
from rltrain.core.paths import config_dir, user_config_dir
from rltrain.explain import EXPLAINED, explain
from rltrain.settings import advice
from rltrain.settings.defaults import choices, defaults, family_of, folders
from rltrain.settings.own_yaml import check_forms, check_own, own_files
from rltrain.settings.run import CHOICES, PARTS
from rltrain.sources import GymnasiumSource, RltrainSearchPath
from rltrain.sweeps import (
    SweepFolder,
    check_scored,
    name_sweep,
    score_of,
    strip_sign,
    typed_words,
)

Values = dict[str, Any]


@dataclass(frozen=True)
class Composed:
    """What a command line came to: a single run's values, or a sweep that has been run.

    Neither, after a flag of Hydra's that shows something (`--cfg job`).
    """

    values: Values | None
    sweep: Path | None


def run_hydra(arguments: list[str], job: Callable[[Values, Path], None]) -> Composed:
    """Composes what the command line asks for.

    In a sweep Hydra's launcher calls `job` with each job's values and folder.

    Raises:
        UserError: the configuration does not compose.
    """
    composed: list[tuple[Values, Any]] = []
    wrong: list[Exception] = []
    SweepFolder.path = None

    def task(cfg: DictConfig, run: Callable[[Values, Path], None] = job) -> float | None:
        hydra_values = HydraConfig.get()
        if hydra_values.mode != RunMode.MULTIRUN:
            try:
                composed.append((to_values(cfg), hydra_values))
            except EXPLAINED as error:  # which Hydra would print with its own words around
                wrong.append(error)
            return None
        values = _chosen(to_values(cfg), hydra_values)
        _check_added(arguments, values)
        check_scored(values, hydra_values.sweeper)
        folder = Path(hydra_values.runtime.output_dir)
        run(values, folder)
        return score_of(folder, hydra_values.sweeper) if run is job else None

    words = overrides.prepare(arguments)
    shown = launcher.ParallelLauncher.shown = overrides.shows_jobs(arguments)
    _check_forms(arguments)
    _register(arguments)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us instead of being printed
    typed, sys.argv = sys.argv, [sys.argv[0], *words]
    try:
        hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")(task)()
    except (*EXPLAINED, ValueError) as error:
        raise explain(error) from error
    except SystemExit as end:
        if end.code == FAILED:  # what to show is not there, as Hydra has said
            raise SystemExit(USAGE) from end
        raise
    except OSError as error:
        raise UserError(f"output_dir: {error.filename} cannot be written.") from error
    except JobError:  # a sweeper that goes by scores gave up; the table of the sweep says why
        return Composed(None, SweepFolder.path)
    finally:
        sys.argv = typed
        _drop_empty_sweep()
    if wrong:
        raise explain(wrong[0]) from wrong[0]
    if not composed:
        return Composed(None, None if shown else SweepFolder.path)
    values, hydra_values = composed[0]
    count = next((a for a in arguments if a.startswith("hydra.launcher.jobs=")), None)
    if count is not None:
        count = count.removeprefix("hydra.launcher.")
        raise UserError(f"{count} is for a sweep (-m); a single run has one job.")
    _check_added(arguments, values)
    return Composed(_chosen(values, hydra_values), None)


def _drop_empty_sweep() -> None:
    """Remove the folders that Hydra makes before it composes the jobs, where none began."""
    folder = SweepFolder.path
    if folder is None or not folder.is_dir():
        return
    if [path.name for path in folder.iterdir()] == ["multirun.yaml"]:
        (folder / "multirun.yaml").unlink()
        for made in (folder.absolute(), *folder.absolute().parents):
            if made == SweepFolder.within or any(made.iterdir()):
                break
            made.rmdir()


def _check_added(words: list[str], values: Values) -> None:
    """Check the keys that a `+` adds: only groups of one's own may be new.

    Raises:
        UserError: a key is not one of a run's.
    """
    for word in words:
        sign, key, _, _ = overrides.parts(word)
        root = key.partition(".")[0]
        if sign in ("+", "++") and root in values and root not in PARTS:
            known = advice.keys_by_path()
            if root not in known:
                raise UserError(advice.unknown_key(key, known))


def compose(words: list[str]) -> Values:
    """The composed values of overrides, without a command line (for tests and scripts).

    Raises:
        UserError: the configuration does not compose.
    """
    _check_forms(words)
    _register(words)
    words = overrides.prepare(words)
    try:
        with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
            cfg = hydra.compose("config", words, return_hydra_config=True)
            hydra_values = cfg.hydra
            with open_dict(cfg):
                del cfg["hydra"]
            values = to_values(cfg)
    except EXPLAINED as error:
        raise explain(error) from error
    return _chosen(values, hydra_values)


def _check_forms(arguments: list[str]) -> None:
    """Check that the user's own YAML that a command line chooses can be composed.

    Raises:
        UserError: a file is not a mapping, or starts from itself or from what is not there.
    """
    own = [a.partition("=")[2] for a in arguments if a.startswith("--config-dir=")]
    flags = ("--config-dir", "-cd")
    own += [b for a, b in itertools.pairwise(arguments) if a in flags]
    if not own and user_config_dir() is None:
        return
    pairs = dict(a.split("=", 1) for a in arguments if "=" in a)
    algos, env = pairs.get("algo", "ppo").split(","), pairs.get("env", "none")
    presets = ",".join(preset(algo, env) for algo in algos)
    check_forms([f"tuned={presets}", *arguments], [*map(Path, own), *folders()])


def _chosen(values: Values, hydra_values: Any) -> Values:
    """The values with the preset that was applied, and without those of parts it was made for.

    A preset has values for the network, say, that its algorithm starts from; where the
    command line chooses another, keys that one does not have are left out; and all of them,
    where the preset names what it is for.
    """
    sources = [Path(s.path) for s in hydra_values.runtime.config_sources if s.schema == "file"]
    chosen = {str(k): str(v) for k, v in hydra_values.runtime.choices.items() if v is not None}
    own_yaml = own_files(chosen, sources)
    if own_yaml:
        values = check_own(values, own_yaml)
    typed = [strip_sign(o).partition("=")[0] for o in typed_words(hydra_values)]
    for group in ("augment", "exploration", "intrinsic", "network", "optimizer"):
        if group in typed:
            known = defaults(group, hydra_values.runtime.choices[group])
            here = values[group]
            own = {
                k: v
                for k, v in here.items()
                if any(f"{t}.".startswith(f"{group}.{k}.") for t in typed)
            }
            another = here.get("name") != known.get("name")
            values[group] = {k: known[k] if another else here[k] for k in here if k in known} | own
    names = {group: str(hydra_values.runtime.choices[group]) for group in CHOICES}
    return values | {"tuned": _preset(hydra_values), "choices": names}


def _preset(hydra_values: Any) -> str | None:
    """The preset that was composed: the one of the pair where there is a file, or one asked for.

    Raises:
        UserError: the one that was asked for does not exist.
    """
    name = hydra_values.runtime.choices.get("tuned")
    if name in (None, "none"):
        return None
    sources = [Path(s.path) for s in hydra_values.runtime.config_sources if s.schema == "file"]
    if any((folder / "tuned" / f"{name}.yaml").is_file() for folder in sources):
        return str(name)
    if any(o.startswith("tuned=") for o in typed_words(hydra_values)):
        raise UserError(advice.unknown_choice("tuned", name))
    return None


def preset(algo: str, env: str) -> str:
    """The name of the preset for the pair: its own, or else that of the environment's family."""
    known = choices("tuned")
    of_family = f"{algo}/{family_of(env)}"
    return of_family if f"{algo}/{env}" not in known and of_family in known else f"{algo}/{env}"


def to_values(cfg: DictConfig) -> Values:
    """A composed configuration as plain, resolved values."""
    return cast(Values, OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))


def _register(arguments: list[str]) -> None:
    """Make rltrain's plug-ins known, and what names a sweep: the words as they were typed."""
    Plugins.instance().register(GymnasiumSource)
    Plugins.instance().register(RltrainSearchPath)
    launcher.register()
    name_sweep(arguments)


OmegaConf.register_new_resolver("rltrain_preset", preset, replace=True)
