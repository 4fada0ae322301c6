"""Advice on a key or a choice that does not exist: the nearest that does.

Keys are full dotted paths, as `algo.learning_rate`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from rltrain.core.errors import did_you_mean, nearest, plain
from rltrain.settings import registry
from rltrain.settings.aliases import CHOICES, KEYS
from rltrain.settings.defaults import choices, defaults
from rltrain.settings.run import PARTS
from rltrain.settings.schema import Key, keys_of

# Groups of one choice, whose keys are what a user sets.
SINGLE = ("eval", "checkpoint", "logger")
# Ahead of the others where several groups have a key of that name.
_ORDER = ("", "algo", "env", "network", "exploration", "optimizer")
_OFF = {"eval": "eval.every=0", "checkpoint": "checkpoint.every=0", "logger": "logger.csv=false"}


def unknown_key(path: str, keys: Collection[str]) -> str:
    """A line about a key that is not among `keys`, with those that are likely meant."""
    where = "rltrain --cfg hydra" if path.startswith("hydra") else "rltrain describe run"
    near = "" if path.startswith("hydra") else hint(path, keys)
    return f"Unknown key {path}.{near or f' `{where}` shows those that there are.'}"


def hint(path: str, keys: Collection[str]) -> str:
    """The sentence on a key that is not among `keys`, with a space before it; may be empty."""
    group, _, name = path.rpartition(".")
    meant = named_like(path, keys)
    if meant:
        return f" Did you mean {' or '.join(meant)}?"
    elsewhere = _elsewhere(group, name)
    if elsewhere:
        return f" It exists with {elsewhere}."
    siblings = [k.rpartition(".")[2] for k in keys if k.rpartition(".")[0] == group]
    if group and siblings:
        near = did_you_mean(name, siblings, f"{group}.")
        return near if "mean" in near or not nearest(name, _by_name(keys)) else _likely(name, keys)
    return _likely(name, keys)


def named_like(path: str, keys: Collection[str]) -> list[str]:
    """The keys that have the name of `path`, or one that others give it; at most three."""
    group, _, name = path.rpartition(".")
    word = name.lower().replace("-", "_")
    groups = (group.partition(".")[0], "")
    for prefix in dict.fromkeys(groups):
        here = [k for k in keys if k.startswith(prefix + "." if prefix else "") and k != path]
        found = _ending(word, here)
        for wanted in KEYS.get(word, ()):
            found += [k for k in _ending(wanted, here) if k not in found]
        if found:
            return found[:3]
    return []


def _ending(name: str, keys: Iterable[str]) -> list[str]:
    """The keys whose path ends with the name, in the order of their groups."""
    free, keys = "env.kwargs.", list(keys)
    if name.startswith(free) and free[:-1] in keys:  # an environment's own arguments
        return [name]
    found = [k for k in keys if f".{k}".endswith(f".{name}") and not k.endswith(".name")]
    return sorted(found, key=_rank)


def keys_by_path() -> dict[str, list[Key]]:
    """Every key, under its full path, as each choice of its group has it."""
    found: dict[str, list[Key]] = {}
    for group in registry.GROUPS:
        for entry in registry.entries(group).values():
            for key in keys_of(entry.settings):
                found.setdefault(f"{group}.{key.path}", []).append(key)
    for part, cls in PARTS.items():
        found.setdefault(part, [])
        for key in keys_of(cls):
            path = key.path if part == "run" else f"{part}.{key.path}"
            found.setdefault(path, []).append(key)
    del found["run"]
    return found


def keys_with(chosen: Mapping[str, str]) -> dict[str, Key]:
    """Every key of a run with these choices, under its full path, without `GROUP.name`."""
    found: dict[str, Key] = {}
    for group in registry.GROUPS:
        name = defaults(group, chosen[group]).get("name", chosen[group])
        entry = registry.entries(group).get(str(name))
        for key in keys_of(entry.settings) if entry is not None else ():
            if key.path != "name":
                found[f"{group}.{key.path}"] = key
    for part, cls in PARTS.items():
        for key in keys_of(cls):
            found[key.path if part == "run" else f"{part}.{key.path}"] = key
    return found


def unknown_choice(group: str, name: Any, options: Iterable[str] = ()) -> str:
    """A line about a choice that a group does not have, with the nearest; `options` are all."""
    shown = f"{group}={name}"
    if group in SINGLE:
        keys = [f"{group}.{k.path}" for k in keys_of(PARTS[group])]
        off = f" To turn it off: {_OFF[group]}." if str(name).lower() in _NOTHING else ""
        return f"{shown}: {group} has keys rather than choices: {', '.join(keys)}.{off}"
    known = sorted({*options, *choices(group)} - {"base", "default"})
    if not name:
        return f"{shown} needs a value.{did_you_mean('', known)}"
    if str(name).lower() in _NOTHING and "none" in known:
        return f"{shown} is not known. Did you mean {group}=none?"
    meant = [c for c in CHOICES.get(group, {}).get(plain(str(name)), ()) if c in known]
    near = f" Did you mean {' or '.join(meant)}?" if meant else did_you_mean(str(name), known)
    if not near and known:
        near = f" `rltrain list {group}s` shows all." if group in registry.GROUPS else ""
    return f"{shown} is not known.{near}"


def paths_of(values: Mapping[str, Any], path: str = "") -> list[str]:
    """The dotted paths of nested values, inner mappings and what they hold."""
    found = []
    for name, value in values.items():
        full = f"{path}.{name}" if path else str(name)
        found.append(full)
        if isinstance(value, Mapping):
            found += paths_of(value, full)
    return found


_NOTHING = ("none", "null", "false", "off", "no", "0")


def _rank(key: str) -> tuple[int, str]:
    group = key.rpartition(".")[0]
    return (_ORDER.index(group) if group in _ORDER else len(_ORDER), key)


def _by_name(keys: Collection[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key in sorted(keys, key=_rank):
        if not key.endswith(".name"):
            found.setdefault(key.rpartition(".")[2], []).append(key)
    return found


def _likely(name: str, keys: Collection[str]) -> str:
    """` Did you mean …?` with keys whose names are spelt like it, those of the root first."""
    by_name = _by_name(keys)
    at_root = nearest(name, [k for k in keys if "." not in k])
    close = at_root or [key for n in nearest(name, by_name) for key in by_name[n]][:3]
    return f" Did you mean {' or '.join(close)}?" if close else ""


def _elsewhere(group: str, name: str) -> str:
    """The choices that have a key of that name: of other groups, else of the same one."""
    word = name.lower().replace("-", "_")
    for wanted in (word, *KEYS.get(word, ())):
        having = {
            other: names
            for other in registry.GROUPS
            if (
                names := [
                    choice
                    for choice, entry in registry.entries(other).items()
                    if any(k.path == wanted for k in keys_of(entry.settings))
                ]
            )
        }
        others = {g: names for g, names in having.items() if g != group} if group else having
        parts = [
            f"{g}={', '.join(names[:4])}{' …' if len(names) > 4 else ''}: {g}.{wanted}"
            for g, names in (others or having).items()
        ]
        if parts:
            return ", or with ".join(parts)
    return ""
