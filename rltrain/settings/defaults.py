"""The values that YAML gives: of a choice with what it starts from, and of the root."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from rltrain.core.paths import config_dir, user_config_dir

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


def defaults(group: str, name: str, within: Sequence[Path] | None = None) -> dict[str, Any]:
    """The values of a choice as its YAML and those that it starts from give them.

    The first of the folders `within` that has the file counts; None: of `folders()`.
    """
    if group == "run":
        return {k: v for k, v in read(config_dir() / "config.yaml").items() if k != "hydra"}
    choice = {"env": "base"}.get(group, "default" if group == name else name)
    path = source(group, choice, within)
    if path is None:
        return {}
    values = read(path)
    bases = [base for base in values.pop("defaults", []) if isinstance(base, str)]
    own = values.get("algo", {}) if group == "algo" else values  # it speaks for all groups
    merged: dict[str, Any] = {}
    for base in bases:
        merged |= defaults(group, base, within) if base != "_self_" else {}
    return merged | own


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
    """A YAML file's values; empty where it has none."""
    loaded: dict[str, Any] = yaml.safe_load(path.read_text()) or {}
    return loaded
