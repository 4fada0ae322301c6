"""Checks of a user's own YAML: it says something, lands where it counts, and leaves nothing out.

Hydra puts a file's keys into the package of its group, unless a header line says another. Keys
that land where nobody reads them would be lost without a word.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rltrain.core.errors import UserError, did_you_mean, nearest
from rltrain.core.paths import config_dir, shown
from rltrain.settings import registry
from rltrain.settings.defaults import (
    bases_of,
    choices,
    defaults,
    package_of,
    read,
    source,
)
from rltrain.settings.run import PARTS, RunSettings
from rltrain.settings.schema import by_path

GLOBAL = "# @package _global_"
_NOT_VALUES = ("defaults", "plugins")


@dataclass(frozen=True)
class OwnFile:
    """A YAML of the user's that a choice comes from, or starts from."""

    group: str
    choice: str
    path: Path

    def __str__(self) -> str:
        return shown(self.path)

    @property
    def package(self) -> str:
        return package_of(self.group, self.path)


def own_files(chosen: Mapping[str, str], folders: Sequence[Path]) -> list[OwnFile]:
    """Return the files outside of rltrain's folder that choices come from, and start from.

    Raises:
        UserError: one of them is not a mapping, or starts from what is not there.
    """
    found: list[OwnFile] = []
    for group, choice in chosen.items():
        path = source(group, choice, folders)
        if path is not None and not path.is_relative_to(config_dir()):
            defaults(group, choice, folders)
            found += _chain(group, choice, folders)
    return found


def check_forms(words: Sequence[str], folders: Sequence[Path]) -> None:
    """Check that the own files that words of a command line choose can be composed.

    Raises:
        UserError: one is not a mapping, or starts from itself or from what is not there.
    """
    for word in words:
        group, _, values = word.lstrip("+").partition("=")
        for choice in values.split(",") if group and not group.startswith("-") else ():
            own_files({group: choice}, folders)


def check_own(values: dict[str, Any], files: Sequence[OwnFile]) -> dict[str, Any]:
    """Return composed values with the plug-ins that own files name, after checking the files.

    Raises:
        UserError: a file says nothing, lands where nothing is read, or leaves something out.
    """
    values = values | {"plugins": _gather_plugins(values, files)}
    for file in files:
        content = read(file.path)
        if not content:
            raise UserError(f"{file} says nothing. Write keys into it, or delete it.")
        if file.group in registry.GROUPS:
            _check_name(file, values)
        for key in by_path({k: v for k, v in content.items() if k not in _NOT_VALUES}):
            _check_key(file, key, values)
    for file in files:
        _check_complete(file, values)
    return values


def _chain(group: str, choice: str, folders: Sequence[Path]) -> Iterator[OwnFile]:
    path = source(group, choice, folders)
    if path is not None and not path.is_relative_to(config_dir()):
        yield OwnFile(group, choice, path)
        for base in bases_of(path):
            yield from _chain(group, base, folders)


def _gather_plugins(values: Mapping[str, Any], files: Sequence[OwnFile]) -> list[Any]:
    """Load and return the plug-ins of every file, in whichever group it is, and of the root."""
    for group in (*registry.GROUPS, *PARTS):
        part = values.get(group)
        if isinstance(part, dict):
            part.pop("plugins", None)
    found = values.get("plugins")
    names = list(found) if isinstance(found, list) else [found] if found is not None else []
    if files and all(isinstance(name, str) for name in names):
        registry.load_plugins(tuple(names))  # a file may be of a choice that one registers
    for file in files:
        more = read(file.path).get("plugins", [])
        if not isinstance(more, list) or not all(isinstance(name, str) for name in more):
            raise UserError(f"{file}: plugins must be a list of modules: plugins: [{more}]")
        try:
            registry.load_plugins(tuple(more))
        except UserError as error:
            raise UserError(f"{file}: {error}") from error
        names += more
    return list(dict.fromkeys(names))


def _check_name(file: OwnFile, values: Mapping[str, Any]) -> None:
    """Check that the choice of a file's group has a name, and that it is registered.

    Raises:
        UserError: it has none, or one that no plug-in registers.
    """
    name, known = _name(values, file.group), registry.entries(file.group)
    if name is None and file.package != file.group:
        raise UserError(
            f"{file}: no key lands in {file.group}, because of the line with @package. Remove it."
        )
    if name is None:
        start = _start_line(file, values)
        raise UserError(f"{file}: Missing key {file.group}.name. Add it, or the line {start}.")
    if name not in known and str(name) == _own_name(file):
        near = (
            f" Did you mean {' or '.join(found)}?" if (found := nearest(str(name), known)) else ""
        )
        module = name if Path(f"{name}.py").is_file() else "MODULE"
        line = f" One of your own needs the line `plugins: [{module}]`."
        raise UserError(
            f"{file}: {file.group}.name={name} is not registered.{near}"
            f"{line if not values.get('plugins') else ''}"
        )


def _own_name(file: OwnFile) -> str:
    content = read(file.path)
    part = content.get(file.group, {}) if file.package == "" else content
    return str(part.get("name")) if isinstance(part, Mapping) else ""


def _check_key(file: OwnFile, key: str, values: Mapping[str, Any]) -> None:
    lands = f"{file.package}.{key}" if file.package else key
    if _is_read(lands, file, values):
        return
    inner = key.removeprefix(f"{file.group}.")
    if inner != key and file.group != "algo" and file.package == file.group:
        raise UserError(
            f"{file}: {key} sets nothing, since it lands in {lands}. Write {inner} without"
            f" `{file.group}:`."
        )
    if file.package and _is_read(key, file, values):
        moved = "Move" if "@package _global_" in file.path.read_text() else "Add"
        raise UserError(
            f"{file}: {key} sets nothing, since it lands in {lands}. {moved} the line"
            f" `{GLOBAL}` {'to' if moved == 'Move' else 'at'} the top of the file."
        )
    inside = f"{file.group}.{key}"
    if file.package != file.group and _is_read(inside, file, values):
        raise UserError(
            f"{file}: {key} sets nothing, since it lands in {lands}. Write it under"
            f" `{file.group}:`, or remove the line with @package."
        )
    raise UserError(f"{file}: Unknown key {lands}.{_advice(lands, values)}")


def _is_read(path: str, file: OwnFile, values: Mapping[str, Any]) -> bool:
    """Whether a key has a meaning where it lands.

    Of other groups than its own, a file may have keys that the chosen one does not: they are
    for what the file was made for, and are dropped.
    """
    first, _, rest = path.partition(".")
    if first == "hydra":
        return True
    if first not in {f.name for f in dataclasses.fields(RunSettings)} - {"tuned", "choices"}:
        return False
    key = rest.partition(".")[0]
    if first in registry.GROUPS:
        of_group = registry.entries(first).values()
        own = [e for e in of_group if e.name == _name(values, first)]
        return any(key in _fields(e.settings) for e in (own if file.group == first else of_group))
    return first not in PARTS or key in _fields(PARTS[first])


def _name(values: Mapping[str, Any], group: str) -> object:
    part = values.get(group)
    return part.get("name") if isinstance(part, Mapping) else None


def _keys_of(group: str, values: Mapping[str, Any]) -> list[str]:
    """Return the keys of a part of the configuration, or of the choice of a group."""
    if group in PARTS:
        return _fields(PARTS[group])
    entry = registry.entries(group).get(str(_name(values, group)))
    return _fields(entry.settings) if entry is not None else []


def _fields(cls: type) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]


def _advice(path: str, values: Mapping[str, Any]) -> str:
    """Name the choice that has the key, where a plug-in's `name` was left out; or the nearest."""
    group, _, key = path.partition(".")
    if group not in {*registry.GROUPS, *PARTS} and not key:
        homes = [g for g in (*registry.GROUPS, *PARTS) if group in _keys_of(g, values)]
        if homes and homes != ["run"]:
            return f" It belongs under `{homes[0]}:`."
    if group not in registry.GROUPS:
        cls = PARTS.get(group, RunSettings)
        prefix = f"{group}." if group in PARTS else ""
        return did_you_mean(key or group, _fields(cls), prefix)
    known = registry.entries(group)
    having = [name for name, e in known.items() if key in _fields(e.settings)]
    name = str(_name(values, group))
    if len(having) == 1:
        return f" It is a key of {group}={having[0]}, and this file's name is {name}."
    entry = known.get(name)
    return did_you_mean(key, _fields(entry.settings), f"{group}.") if entry else ""


def _check_complete(file: OwnFile, values: Mapping[str, Any]) -> None:
    """Check that a choice has every key.

    Raises:
        UserError: one is missing; where the file starts from nothing, with the line to add.
    """
    if file.group == "env":
        cls: type = PARTS["env"]
    elif file.group in registry.GROUPS:
        cls = registry.entry(file.group, _name(values, file.group)).settings
    else:
        return
    part = values.get(file.group)
    missing = [name for name in _fields(cls) if not isinstance(part, Mapping) or name not in part]
    if missing:
        line = "" if bases_of(file.path) else f" Add the line {_start_line(file, values)}"
        raise UserError(f"{file}: Missing key {file.group}.{missing[0]}.{line}")


def _start_line(file: OwnFile, values: Mapping[str, Any]) -> str:
    """Return the line by which a file starts from a choice: of its name, or the usual one."""
    usual = next((line[file.group] for line in _root_defaults() if file.group in line), "none")
    names = (str(_name(values, file.group)), str(usual), *choices(file.group))
    starts = [n for n in names if n not in ("none", file.choice) and source(file.group, n)]
    return f"`defaults: [{'base' if file.group == 'env' else starts[0]}, _self_]`"


def _root_defaults() -> list[dict[str, Any]]:
    return [line for line in defaults("run", "run")["defaults"] if isinstance(line, dict)]
