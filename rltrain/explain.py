"""Errors of Hydra, OmegaConf and YAML as one line that names the key and the nearest valid one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from rltrain.core.errors import UserError
from rltrain.envs import ids
from rltrain.overrides import close_kwargs, several_values
from rltrain.settings import advice

EXPLAINED = (HydraException, OmegaConfBaseException, YAMLError)
# Packages that bring launchers and sweepers of Hydra's, by the first part of a choice.
_PACKAGES = {
    "joblib": "hydra-joblib-launcher",
    "submitit": "hydra-submitit-launcher",
    "ray": "hydra-ray-launcher",
    "rq": "hydra-rq-launcher",
    "optuna": "hydra-optuna-sweeper",
    "ax": "hydra-ax-sweeper",
    "nevergrad": "hydra-nevergrad-sweeper",
}


def explain(error: Exception) -> UserError:
    """Return what a user did wrong, in a line with the nearest valid choice."""
    text = str(error)
    first = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return UserError(f"{mark.name}, line {mark.line + 1}: {error.problem}.")
    ambiguous = re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.*)'", first)
    if ambiguous:
        return UserError(several_values(close_kwargs(ambiguous[1])))
    if isinstance(error, OverrideParseException):
        word = close_kwargs(error.override)
        return UserError(f"{word!r} cannot be read; write key=value, as in seed=0.")
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return UserError(_missing(str(error.missing_cfg_file), error.options or ()))
    new_group = re.search(r"append to your default list use \+(\S+)", text)
    if new_group:
        return UserError(f"{new_group[1]}: a group without a default is added: +{new_group[1]}")
    if "'hydra.launcher.jobs'" in text:
        return UserError("jobs= is for hydra/launcher=rltrain; this sweep's has keys of its own.")
    if "INTERVAL_SWEEP" in first:
        return UserError("interval(…) is for sweepers that search; write range(…), or values.")
    cause = error.__cause__ or error
    named = re.search(r"Could not (?:override|delete from config\.) '([^']+)'", text)
    full_key = getattr(cause, "full_key", None)
    if named or isinstance(cause, ConfigKeyError | ConfigAttributeError):
        path = named.group(1) if named else str(full_key)
        return UserError(advice.unknown_key(path, _keys_around(cause)))
    return UserError(f"{full_key}: {first}" if full_key and full_key not in first else first)


def _missing(file: str, options: Sequence[str]) -> str:
    """A line about a choice that has no file: `group/name`."""
    group, slash, name = file.partition("/")
    if not slash:
        return f"--config-name {file}: there is no {file}.yaml in the folders of configurations."
    if group == "env" and name:
        return ids.unknown(name)
    if group == "hydra":
        group, _, name = file.rpartition("/")
        package = _PACKAGES.get(re.split(r"[_-]", name)[0])
        if package is not None:
            return f"{group}={name} needs a package that is missing: pip install {package}"
    return advice.unknown_choice(group, name, options)


def _keys_around(cause: BaseException) -> list[str]:
    """The keys of the configuration that an error is about; those of all choices where none."""
    parent = getattr(cause, "parent_node", None)
    composed = None
    if isinstance(parent, DictConfig):
        composed = OmegaConf.to_container(parent._get_root(), resolve=False)
    if not isinstance(composed, dict):
        return list(advice.keys_by_path())
    composed.pop("hydra", None)
    return advice.paths_of({str(k): v for k, v in composed.items()})
