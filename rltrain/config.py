"""Composition: YAML, overrides and sweeps become checked, frozen settings.

This file, `sweeps`, `launcher` and `sources` are the only ones that know Hydra and OmegaConf.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from rltrain import launcher
from rltrain.core.errors import JobError, UserError, did_you_mean
from rltrain.core.paths import config_dir
from rltrain.envs import ids
from rltrain.settings import registry
from rltrain.settings.defaults import choices, defaults, family_of
from rltrain.settings.run import CHOICES
from rltrain.settings.schema import keys_of
from rltrain.sources import GymnasiumSource, RltrainSearchPath
from rltrain.sweeps import (
    SweepFolder,
    check_scored,
    name_sweep,
    open_kwargs,
    score_of,
    strip_sign,
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
    SweepFolder.path = None

    def task(cfg: DictConfig, run: Callable[[Values, Path], None] = job) -> float | None:
        hydra_values = HydraConfig.get()
        if hydra_values.mode != RunMode.MULTIRUN:
            composed.append((to_values(cfg), hydra_values))
            return None
        values = _chosen(to_values(cfg), hydra_values)
        check_scored(values, hydra_values.sweeper)
        folder = Path(hydra_values.runtime.output_dir)
        run(values, folder)
        return score_of(folder, hydra_values.sweeper) if run is job else None

    _register(arguments)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us instead of being printed
    typed, sys.argv = sys.argv, [sys.argv[0], *map(open_kwargs, arguments)]
    try:
        hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")(task)()
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        _drop_empty_sweep(SweepFolder.path)
        raise explain(error) from error
    except OSError as error:
        raise UserError(f"output_dir: {error.filename} cannot be written.") from error
    except JobError:  # a sweeper that goes by scores gave up; the table of the sweep says why
        return Composed(None, SweepFolder.path)
    finally:
        sys.argv = typed
    if not composed:
        return Composed(None, SweepFolder.path)
    values, hydra_values = composed[0]
    count = next((a for a in arguments if a.startswith("hydra.launcher.jobs=")), None)
    if count is not None:
        count = count.removeprefix("hydra.launcher.")
        raise UserError(f"{count} is for a sweep (-m); a single run has one job.")
    return Composed(_chosen(values, hydra_values), None)


def _drop_empty_sweep(folder: Path | None) -> None:
    """Removes the folder that Hydra makes before it looks at the jobs, where no job began."""
    if folder is not None and folder.is_dir():
        inside = list(folder.iterdir())
        if [path.name for path in inside] == ["multirun.yaml"]:
            inside[0].unlink()
            folder.rmdir()


def compose(overrides: list[str]) -> Values:
    """The composed values of overrides, without a command line (for tests and scripts)."""
    _register(overrides)
    try:
        with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
            opened = [open_kwargs(o) for o in overrides]
            cfg = hydra.compose("config", opened, return_hydra_config=True)
            hydra_values = cfg.hydra
            with open_dict(cfg):
                del cfg["hydra"]
            values = to_values(cfg)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise explain(error) from error
    return _chosen(values, hydra_values)


def _chosen(values: Values, hydra_values: Any) -> Values:
    """The values with the preset that was applied, and without those of parts it was made for.

    A preset has values for the network, say, that its algorithm starts from; where the
    command line chooses another, keys that one does not have are left out; and all of them,
    where the preset names what it is for.
    """
    typed = [strip_sign(o).partition("=")[0] for o in hydra_values.overrides.task]
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
    folders = [Path(s.path) for s in hydra_values.runtime.config_sources if s.schema == "file"]
    if any((folder / "tuned" / f"{name}.yaml").is_file() for folder in folders):
        return str(name)
    if any(o.startswith("tuned=") for o in hydra_values.overrides.task):
        raise UserError(f"tuned={name} is not known.{did_you_mean(name, choices('tuned'))}")
    return None


def preset(algo: str, env: str) -> str:
    """The name of the preset for the pair: its own, or else that of the environment's family."""
    known = choices("tuned")
    of_family = f"{algo}/{family_of(env)}"
    return of_family if f"{algo}/{env}" not in known and of_family in known else f"{algo}/{env}"


def to_values(cfg: DictConfig) -> Values:
    """A composed configuration as plain, resolved values."""
    return cast(Values, OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))


def parse_value(text: str) -> Any:
    """The value on the right of an override, by Hydra's grammar.

    Raises:
        UserError: it does not parse.
    """
    try:
        override = OverridesParser.create().parse_override(f"x={text}")
    except HydraException as error:
        raise UserError(f"{text!r} cannot be read as a value; quote texts: key='a b'.") from error
    if override.is_sweep_override():
        raise UserError(f"{text!r} asks for several values; that needs a sweep (-m).")
    return override.value()


def _register(arguments: list[str]) -> None:
    Plugins.instance().register(GymnasiumSource)
    Plugins.instance().register(RltrainSearchPath)
    launcher.register()
    name_sweep(arguments)


OmegaConf.register_new_resolver("rltrain_preset", preset, replace=True)


def explain(error: Exception) -> UserError:
    """What a user did wrong, in a sentence with the nearest valid choice."""
    text = str(error)
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return UserError(f"{mark.name}, line {mark.line + 1}: {error.problem}.")
    if "Ambiguous value" in text:
        return UserError(f"{text.splitlines()[0]} For a sweep over several values add -m.")
    if isinstance(error, OverrideParseException):
        return UserError(
            f"{error.override!r} cannot be read. Write key=value without spaces; put quotes"
            " around lists and brackets: 'network.hidden_sizes=[64,64]'."
        )
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.partition("/")
        if group == "env":
            return UserError(ids.unknown(name))
        return UserError(f"{group}={name} is not known.{did_you_mean(name, error.options or [])}")
    new_group = re.search(r"append to your default list use \+(\S+)", text)
    if new_group:
        return UserError(f"{new_group[1]}: a group without a default is added: +{new_group[1]}")
    if "'hydra.launcher.jobs'" in text:
        return UserError("jobs= is for hydra/launcher=rltrain; this sweep's has keys of its own.")
    cause = error.__cause__ or error
    full_key = getattr(cause, "full_key", None)
    named = re.search(r"Could not (?:override|delete from config\.) '([^']+)'", text)
    if named or (isinstance(error, ConfigCompositionException) and full_key):
        path = named.group(1) if named else str(full_key)
        parent = getattr(cause, "parent_node", None)
        names = list(parent) if isinstance(parent, DictConfig) else []
        if names and full_key:
            prefix, dot, wrong = str(full_key).rpartition(".")
            near = did_you_mean(wrong, map(str, names), prefix + dot)
        else:
            near = "" if "." in path else did_you_mean(path, _root_names())
        return UserError(f"Unknown key {path}.{_elsewhere(path) or near}")
    return UserError(text.strip().splitlines()[0])


def _elsewhere(path: str) -> str:
    """A hint where a key of that name is in another group, as algo.ent_coef is."""
    group, _, name = path.rpartition(".")
    known = [
        f" exists with {other}={choice}: {other}.{name}."
        for other in registry.GROUPS
        for choice, entry in registry.entries(other).items()
        if other != group and any(k.path == name for k in keys_of(entry.settings))
    ]
    return f" It{known[0]}" if len(known) == 1 else ""


def _root_names() -> Iterator[str]:
    from rltrain.settings.run import RunSettings

    return iter(RunSettings.__dataclass_fields__)
