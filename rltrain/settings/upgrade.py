"""Configurations of earlier versions with the keys of this one.

A key that is new does by its default what was done before it was there, so that the default
is right for earlier runs too; `BEFORE` has the values of those whose default does something
else. What has moved is carried over where that is exact.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from rltrain.settings import registry
from rltrain.settings.defaults import defaults, folders
from rltrain.settings.run import PARTS
from rltrain.settings.schema import by_path, convert, keys_of, show

Values = dict[str, Any]

# What was done before a key was there, where its default does something else today.
BEFORE = {"kernels": "torch", "algo.scale_actions": False}


def upgraded(values: Mapping[str, Any]) -> tuple[Values, str]:
    """A run's configuration with what has come since, and that in words; empty for nothing.

    What is not known, or has no value that does what was done, is left for `build_run` to refuse.

    Raises:
        UserError: a plug-in or a choice that the configuration names is not there.
    """
    registry.load_plugins(convert(tuple[str, ...], values.get("plugins", ()), "plugins"))
    new = copy.deepcopy(dict(values))
    _move(new)
    _fill(new)
    before, after = by_path(values), by_path(new)
    words = [f"{k}={show(v)}" for k, v in after.items() if k not in before or before[k] != v]
    return new, ", ".join([*words, *(f"no {key}" for key in before if key not in after)])


def _fill(values: Values) -> None:
    for group, choice in _nothing():
        values.setdefault(group, {"name": choice})
    own_first = folders()[::-1]  # a folder of the user's has had other values
    for name, cls, part in _parts(values):
        missing = [k.path for k in keys_of(cls) if k.path not in part]
        choice = part.get("name", name) if name in registry.GROUPS else name
        known = defaults(name, choice, own_first) if missing else {}
        prefix = "" if name == "run" else f"{name}."
        for key in missing:
            if key in known and not _differs(values, prefix + key):
                part[key] = BEFORE.get(prefix + key, known[key])


def _nothing() -> Iterator[tuple[str, str]]:
    """The groups of which a run has nothing unless it is asked for, with the choice of that."""
    for line in defaults("run", "run")["defaults"]:
        if isinstance(line, dict):
            yield from ((g, c) for g, c in line.items() if g in registry.GROUPS and c == "none")


def _parts(values: Values) -> Iterator[tuple[str, type, Values]]:
    """Each part of a configuration with its name and its settings class."""
    for group in registry.GROUPS:
        part = values.get(group)
        if isinstance(part, dict) and "name" in part:
            yield group, registry.entry(group, part["name"]).settings, part
    for name, cls in PARTS.items():
        part = values if name == "run" else values.setdefault(name, {})
        if isinstance(part, dict):
            yield name, cls, part


def _differs(values: Values, path: str) -> bool:
    """Whether no value of a key does what was done: emulators once skipped frames themselves."""
    return path == "env.frame_skip" and "ALE/" in str(values["env"].get("id"))


def _move(values: Values) -> None:
    """Carries over the weight of the entropy bonus, which is an exploration of its own."""
    algo, none = values.get("algo"), {"name": "none"}
    if not isinstance(algo, dict) or "ent_coef" not in algo or "name" not in algo:
        return
    known = keys_of(registry.entry("algo", algo["name"]).settings)
    if "ent_coef" in [k.path for k in known] or values.get("exploration", none) != none:
        return
    coef = algo.pop("ent_coef")
    if coef:
        own = {"ent_coef": coef, "final_ent_coef": coef, "fraction": 1.0}
        values["exploration"] = {"name": "entropy", **own, "schedule": "constant"}
