"""Labels of runs: what differs between their configurations, in few words.

A fact of a run is a key of its configuration (`algo.learning_rate`) or a choice (`algo`, the
name of the YAML that values come from). Runs whose keys are equal differ by their seed alone.
"""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rltrain.core.errors import UserError
from rltrain.settings.run import CHOICES
from rltrain.settings.schema import by_path, show
from rltrain.settings.upgrade import upgraded
from rltrain.training.changes import NEUTRAL
from rltrain.training.run import read_config

Facts = dict[str, str]

# Keys that do not decide what a run learns, or are the seed; length and evaluation do count.
_IGNORED = ({*NEUTRAL} | {"seed", "plugins"}) - {"total_timesteps", "eval"}
_LABELS = (*CHOICES, "tuned")
_MAX_KEYS = 4  # where more differ, a label has those that tell the groups apart


@dataclass(frozen=True)
class Group:
    """Runs between which nothing but the seed differs, by their position."""

    label: str
    runs: tuple[int, ...]


@dataclass(frozen=True)
class Groups:
    """All groups in the order of their values, with the algorithm and environment they share."""

    title: str
    groups: tuple[Group, ...]


def read_facts(folder: Path) -> Mapping[str, Any]:
    """Return a run's configuration with the keys that have come since.

    A run that names plug-ins is left as it is: nothing that a folder names is imported to
    show it.
    """
    config = read_config(folder)
    if config.get("plugins"):
        return config
    try:
        return upgraded(config)[0]
    except UserError:  # of a plug-in that is not installed any more
        return config


def chosen_name(config: Mapping[str, Any], group: str) -> str:
    """Return the name of a choice: of its YAML, or of its registry entry in earlier runs."""
    choices = config.get("choices")
    if isinstance(choices, Mapping) and group in choices:
        return str(choices[group])
    part = config.get(group)
    name = part.get("id" if group == "env" else "name") if isinstance(part, Mapping) else part
    return "" if name is None else str(name)


def typed_keys(folder: Path) -> set[str]:
    """Return the keys of a run's command lines, as `command.txt` has them."""
    try:
        words = shlex.split((folder / "command.txt").read_text(), comments=True)
    except (OSError, ValueError):
        return set()
    return {w.lstrip("+~").partition("=")[0] for w in words if "=" in w}


def group_runs(configs: Sequence[Mapping[str, Any]], typed: Collection[str] = ()) -> Groups:
    """Group runs that differ by the seed alone, and label each group by what differs.

    Choices come first, and keys that follow from them are left out, since two algorithms differ
    in every key of theirs; those in `typed` are kept.
    """
    facts = [_facts(config) for config in configs]
    keys = sorted({key for of_run in facts for key in of_run if key not in _LABELS})
    varying = [k for k in keys if len({f.get(k) for f in facts}) > 1]
    members: dict[tuple[str | None, ...], list[int]] = defaultdict(list)
    for i, of_run in enumerate(facts):
        members[tuple(of_run.get(k) for k in varying)].append(i)
    # A run of an earlier version does not know its choices.
    firsts = [
        facts[max(runs, key=lambda i: bool(configs[i].get("choices")))] for runs in members.values()
    ]
    shown, more = _shown_keys(firsts, varying, typed)
    short = _short_names(shown, {key for config in configs for key in by_path(config)})
    groups = [
        Group(_label(first, shown, short) + more, tuple(runs))
        for first, runs in zip(firsts, members.values(), strict=True)
    ]
    order = sorted(range(len(groups)), key=lambda i: [sort_key(firsts[i].get(k)) for k in shown])
    title = _pair({k: v for k, v in firsts[0].items() if k not in shown}) if firsts else ""
    return Groups(title, tuple(groups[i] for i in order))


def sort_key(value: object) -> tuple[int, float, str]:
    """Return a key that sorts numbers by size, before texts; what is absent comes first."""
    if value is None:
        return 0, 0.0, ""
    try:
        return 1, float(str(value)), ""
    except ValueError:
        return 2, 0.0, str(value)


def _facts(config: Mapping[str, Any]) -> Facts:
    keys = {
        key: _text(value)
        for key, value in by_path(config).items()
        if key.partition(".")[0] not in _IGNORED and value != {}
    }
    choices = {group: chosen_name(config, group) for group in CHOICES}
    return keys | choices | {"tuned": show(config.get("tuned"))}


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)  # 1e5 and 100000 are one value
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return show(value)


def _shown_keys(
    facts: list[Facts], varying: list[str], typed: Collection[str]
) -> tuple[list[str], str]:
    """Return the keys that labels show, and `, …` where more of them differ."""
    parts = {key.partition(".")[0] for key in varying} | {"algo", "env", "tuned"}
    shown: list[str] = []
    for key in _LABELS:
        differs = key in parts and len({of_run.get(key) for of_run in facts}) > 1
        kept = key in ("algo", "env") or key in typed
        if differs and (kept or not _follows(key, shown, facts)):
            shown.append(key)
    rest = [k for k in varying if k in typed or not _follows(k, shown, facts)]
    if len(rest) <= _MAX_KEYS:
        return shown + rest, ""
    needed: list[str] = []
    for key in sorted(rest, key=lambda k: k not in typed):
        if key in typed or not _follows(key, shown + needed, facts):
            needed.append(key)
    return shown + needed, ", …" if len(needed) < len(rest) else ""


def _follows(key: str, given: list[str], facts: list[Facts]) -> bool:
    """Whether a key has one value wherever the given keys have the same."""
    values: dict[tuple[str | None, ...], set[str | None]] = defaultdict(set)
    for of_run in facts:
        values[tuple(of_run.get(k) for k in given)].add(of_run.get(key))
    return all(len(found) == 1 for found in values.values())


def _short_names(shown: list[str], keys: Collection[str]) -> dict[str, str]:
    """Return the shortest end of each key that no other key has."""
    ends = Counter(end for key in keys for end in _ends(key))
    return {key: next((e for e in _ends(key) if ends[e] == 1), key) for key in shown}


def _ends(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[i:]) for i in reversed(range(len(parts)))]


def _label(facts: Facts, shown: list[str], short: dict[str, str]) -> str:
    pair = _pair({k: v for k, v in facts.items() if k in shown})
    rest = [f"{short[k]}={facts[k]}" for k in shown if k not in ("algo", "env") and k in facts]
    return ", ".join([pair, *rest] if pair else rest) or ("default" if shown else "")


def _pair(facts: Facts) -> str:
    return " on ".join(facts[k] for k in ("algo", "env") if facts.get(k))
