"""The values that YAML gives: of a choice with what it starts from, and of the root."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from rltrain.core.errors import UserError, did_you_mean
from rltrain.core.paths import config_dir, shown, user_config_dir

# What ids of a prefix start from, in configs/env and configs/tuned; and one of them.
FAMILIES = {"atari": ("ALE/", "ALE/Pong-v5")}


def family_of(env_id: str) -> str | None:
    """The family that an id is of, if it is of one."""
    return next((f for f, (start, _) in FAMILIES.items() if env_id.startswith(start)), None)


def example_of(name: str) -> str:
    """An id of a family; of an id, itself."""
    return FAMILIES[name][1] if name in FAMILIES else name


def folders() -> list[Path]:
    """The working directory's `configs/`, whose files win, and rltrain's own."""
    own = user_config_dir()
    return [config_dir()] if own is None else [own, config_dir()]


def defaults(
    group: str, name: str, within: Sequence[Path] | None = None, after: tuple[Path, ...] = ()
) -> dict[str, Any]:
    """Return the values of a choice as its YAML and those that it starts from give them.

    The first of the folders `within` that has the file counts; None: of `folders()`. `after` are
    the files that start from this choice.

    Raises:
        UserError: a file is not a mapping, or starts from itself or from what is not there.
    """
    if group == "run":
        return {k: v for k, v in read(config_dir() / "config.yaml").items() if k != "hydra"}
    choice = {"env": "base"}.get(group, "default" if group == name else name)
    path = source(group, choice, within)
    if path is None:
        return {}
    values = read(path)
    values.pop("defaults", None)
    # An algorithm speaks for all groups.
    own = values.get(group, {}) if package_of(group, path) == "" else values
    merged: dict[str, Any] = {}
    for base in bases_of(path):
        start = source(group, base, within)
        if start is None:
            near = did_you_mean(base, choices(group))
            raise UserError(f"{shown(path)}: defaults: there is no {group}/{base}.{near}")
        if start in (*after, path):
            raise UserError(
                f"{shown(path)}: defaults: {base} is this file again. Give the file another name."
            )
        merged |= defaults(group, base, within, (*after, path))
    return merged | own


def package_of(group: str, path: Path) -> str:
    """Return where the keys of a group's file land, by its header; the root is empty.

    Hydra reads the first lines alone: a header below any other comment counts for nothing.
    """
    for line in filter(None, map(str.strip, path.read_text().splitlines())):
        header = re.match(r"#\s*@(\S+)\s+(\S+)$", line)
        if header is None:
            break
        if header[1] == "package":
            return {"_global_": "", "_group_": group}.get(header[2], header[2])
    return group


def bases_of(path: Path) -> list[str]:
    """Return the choices of its group that a YAML file starts from.

    Raises:
        UserError: `defaults` is not a list.
    """
    found = read(path).get("defaults", [])
    if not isinstance(found, list):
        raise UserError(f"{shown(path)}: defaults must be a list: defaults: [{found}, _self_]")
    return [base for base in found if isinstance(base, str) and base != "_self_"]


def source(group: str, choice: str, within: Sequence[Path] | None = None) -> Path | None:
    """The YAML file of a choice; None where there is none."""
    paths = (folder / group / f"{choice}.yaml" for folder in within or folders())
    return next((path for path in paths if path.is_file()), None)


def choices(group: str) -> list[str]:
    """The YAML files of a group, of rltrain's folder and of the working directory's.

    `base` and, of environments, families are none of them: they are what others start from.
    """
    names = {
        str(path.relative_to(folder / group).with_suffix(""))
        for folder in folders()
        for path in (folder / group).rglob("*.yaml")
    }
    return sorted(names - {"base"} - (set(FAMILIES) if group == "env" else set()))


def read(path: Path) -> dict[str, Any]:
    """Return a YAML file's values; empty where it has none.

    Raises:
        UserError: it is not YAML, or not a mapping.
    """
    try:
        with open(path) as file:
            loaded = yaml.safe_load(file)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise UserError(f"{shown(path)}, line {line}: {error.problem}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{shown(path)} is not YAML: {error}") from error
    if not isinstance(loaded, dict | None):
        what = "a list" if isinstance(loaded, list) else repr(loaded)
        raise UserError(f"{shown(path)} must have lines `key: value`, and is {what}.")
    return loaded or {}
