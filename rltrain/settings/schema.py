"""What can be configured: typed, ranged, documented keys, and their check.

A settings class is a frozen dataclass whose fields are made by `key`. It has no
defaults: values live in YAML. `build` turns a composed mapping into an instance, and
every way in which the mapping can be wrong is a `UserError` that names the key.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from rltrain.core.errors import UserError, did_you_mean

T = TypeVar("T")
Schedule = Literal["constant", "linear", "cosine"]  # of a learning rate and the like
_BOUNDS = (("min", "≥"), ("above", ">"), ("max", "≤"), ("below", "<"))
_HUGE = 2**63  # what an integer of the machine cannot hold


def key(doc: str, **bounds: float) -> Any:
    """A field with one line of documentation and bounds: `min`, `above`, `max`, `below`."""
    unknown = bounds.keys() - {name for name, _ in _BOUNDS}
    if unknown:
        raise TypeError(f"unknown bounds {unknown}")
    return dataclasses.field(metadata={"doc": doc, "bounds": bounds})


@dataclass(frozen=True)
class Key:
    """One configurable key: what `describe` prints and errors name."""

    path: str
    type: Any
    doc: str
    bounds: Mapping[str, float]

    @property
    def type_name(self) -> str:
        return type_name(self.type)

    @property
    def range_name(self) -> str:
        return ", ".join(f"{sign} {self.bounds[b]}" for b, sign in _BOUNDS if b in self.bounds)


def keys_of(cls: type, prefix: str = "") -> Iterator[Key]:
    """The keys of a settings class, in order, nested classes left out."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if not dataclasses.is_dataclass(hints[field.name]):
            meta = field.metadata
            path = prefix + field.name
            yield Key(path, hints[field.name], meta.get("doc", ""), meta.get("bounds", {}))


def type_name(hint: Any) -> str:
    """`int | None` and the like, as a user would say it."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " | ".join(str(a) for a in args)
    if origin in (Union, types.UnionType):
        return " | ".join("null" if a is type(None) else type_name(a) for a in args)
    if origin is tuple:
        count = "" if args[-1] is Ellipsis else f"{len(args)} "
        return f"list of {count}{type_name(args[0])}{'s' if count else ''}"
    if origin is dict:
        return "mapping"
    return {"int": "integer", "float": "number", "str": "text", "bool": "true | false"}.get(
        hint.__name__, str(hint.__name__)
    )


def build(cls: type[T], values: Any, path: str = "") -> T:
    """An instance of the settings class `cls` from a mapping.

    Raises:
        UserError: a key is missing or unknown, a type is wrong, a value out of range.
    """
    where = path or "the configuration"
    if not isinstance(values, Mapping):
        raise UserError(f"{where} must be a mapping of keys, not {values!r}.")
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type] # T is one
    for name in values:
        if name not in fields:
            near = did_you_mean(str(name), fields, prefix=_join(path, ""))
            raise UserError(f"Unknown key {_join(path, name)}.{near}")
    hints = typing.get_type_hints(cls)
    built = {}
    for name, field in fields.items():
        full = _join(path, name)
        if name not in values:
            raise UserError(f"Missing key {full} ({type_name(hints[name])}).")
        built[name] = convert(hints[name], values[name], full)
        _check_bounds(built[name], field.metadata.get("bounds", {}), full)
    return cls(**built)


def convert(hint: Any, value: Any, path: str) -> Any:
    """`value` as the type `hint`; what a person may write for it is accepted (1e6 for an integer).

    Raises:
        UserError: the value is of another type.
    """
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, path)
    if origin is Literal:
        if any(value == a and type(value) is type(a) for a in args):
            return value
        raise UserError(f"{path}={show(value)}: {_one_of(value, args)}")
    if origin in (Union, types.UnionType):
        return _convert_union(args, value, path)
    fits = origin is tuple and isinstance(value, list | tuple)
    if fits and (args[-1] is Ellipsis or len(args) == len(value)):
        return tuple(convert(args[0], v, f"{path}[{i}]") for i, v in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        return dict(value)
    if hint in (bool, str) and isinstance(value, hint):
        return value
    if hint is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)  # a name may be a number: run_name: 2024
    if isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, int) and abs(value) >= _HUGE:
            raise UserError(f"{path}: this number is too large.")
        if hint is float:
            return float(value)
        if hint is int and math.isfinite(value) and value == int(value):
            return int(value)
    raise UserError(f"{path}={show(value)}: expected {type_name(hint)}.{_meant(hint, value, path)}")


def _meant(hint: Any, value: Any, path: str) -> str:
    """` Did you mean …?` for a value that is written as others write it; else empty."""
    text = str(value).strip().lower()
    meant = ""
    if hint is bool:
        meant = {"yes": "true", "on": "true", "1": "true", "1.0": "true"}.get(text, "")
        meant = meant or {"no": "false", "off": "false", "0": "false", "0.0": "false"}.get(text, "")
    elif hint in (int, float) and re.fullmatch(r"\d+(\.\d+)?[km]", text):
        meant = f"{float(text[:-1]):g}e{3 if text[-1] == 'k' else 6}"
    elif hint is int and re.fullmatch(r"\d+([ '’]\d{3})+", text):
        meant = re.sub(r"\D", "_", text)
    elif get_origin(hint) is tuple and isinstance(value, str | int | float):
        items = re.findall(r"[\w.+-]+", re.sub(r"(?<=\d)\s*x\s*(?=\d)", " ", text))
        meant = f"[{','.join(items)}]" if items else ""
        return f" Did you mean '{path}={meant}'?" if meant else ""
    return f" Did you mean {path}={meant}?" if meant else ""


def _convert_union(args: tuple[Any, ...], value: Any, path: str) -> Any:
    for arg in args:
        if arg is type(None):
            if value is None:
                return None
            continue
        try:
            return convert(arg, value, path)
        except UserError:
            continue
    names = type_name(Union[args])  # noqa: UP007 # args are known at run time only
    words = [str(w) for a in args if get_origin(a) is Literal for w in get_args(a)]
    hint = did_you_mean(value, words) if isinstance(value, str) and words else ""
    hint = hint if "mean" in hint else ""
    others = [a for a in args if get_origin(a) is not Literal and a is not type(None)]
    hint = hint or next((h for a in others if (h := _meant(a, value, path))), "")
    raise UserError(f"{path}={show(value)}: expected {names}.{hint}")


def _check_bounds(value: Any, bounds: Mapping[str, float], path: str) -> None:
    if isinstance(value, tuple):
        for i, item in enumerate(value):
            _check_bounds(item, bounds, f"{path}[{i}]")
        return
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    holds = {
        "min": lambda b: value >= b,
        "above": lambda b: value > b,
        "max": lambda b: value <= b,
        "below": lambda b: value < b,
    }
    if not math.isfinite(value) or not all(holds[name](b) for name, b in bounds.items()):
        wanted = " and ".join(f"{sign} {bounds[b]}" for b, sign in _BOUNDS if b in bounds)
        wanted = wanted or "finite"
        raise UserError(f"{path}={show(value)} is out of range: it must be {wanted}.")


def _one_of(value: Any, choices: tuple[Any, ...]) -> str:
    words = [show(c) for c in choices]
    named = {"True": "on", "False": "off"}.get(str(value), value)  # true is no text in YAML
    near = did_you_mean(named, words) if isinstance(named, str) else ""
    return f"expected one of {', '.join(words)}.{near if 'mean' in near else ''}"


def by_path(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested values by dotted key, tuples as lists."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        full = _join(path, name)
        if isinstance(value, dict) and value:
            flat |= by_path(value, full)
        else:
            flat[full] = list(value) if isinstance(value, tuple) else value
    return flat


def show(value: Any) -> str:
    """A value as YAML writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
