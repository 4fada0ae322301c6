"""The words of a command line: flags, and overrides as Hydra's grammar can read them.

Hydra's grammar leaves out `=`, `~`, `#`, parentheses and letters beyond ASCII in values that
have no quotes. A value that it cannot read is put in quotes here where only one meaning is
possible; otherwise the error shows the word that works in a shell.
"""

from __future__ import annotations

import functools
import math
import re
import shlex
from pathlib import Path
from typing import Any, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, RangeSweep
from hydra.errors import HydraException

from rltrain.core.errors import UserError, did_you_mean, nearest
from rltrain.core.paths import check_lengths
from rltrain.settings import advice, registry
from rltrain.settings.defaults import choices
from rltrain.settings.run import RunSettings
from rltrain.settings.schema import show, type_name

SWEEP = {"-m", "--multirun"}
_SHOW = {"-c", "--cfg"}
MAX_JOBS = 10_000
# Flags of Hydra's: the words that may follow and belong to them; None where any may.
_SHOWN = ("job", "hydra", "all")
_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
FLAGS: dict[str, tuple[str, ...] | None] = {
    **dict.fromkeys(("-m", "--multirun", "-r", "--run", "--resolve", "--hydra-help"), ()),
    **dict.fromkeys(("-c", "--cfg"), _SHOWN),
    **dict.fromkeys(("-i", "--info"), _INFO),
    **dict.fromkeys(("-p", "--package", "-cp", "--config-path", "-cn", "--config-name")),
    **dict.fromkeys(("-cd", "--config-dir")),
}
_FUNCTIONS = tuple(OverridesParser.create().functions.definitions)
# Arguments of constructors and parts of observations are free-form: no + to be new.
_FREE = ("env.kwargs.", "env.kwargs=", "network.encoders.", "network.encoders=")
_GROUPS = (*registry.GROUPS, "env", "tuned", *advice.SINGLE)
_KEY = re.compile(r"[A-Za-z_][\w$-]*([./][\w$-]+)*(@[\w.:$-]*)?", re.ASCII)
_WORD = re.compile(r"(\+\+|\+|~)?([^=]*)(=?)(.*)", re.DOTALL)


def prepare(words: list[str]) -> list[str]:
    """Return the words for Hydra: flags first, then overrides that its grammar can read.

    Raises:
        UserError: a word is neither a flag nor key=value, or a value has several readings.
    """
    flags, overrides = split(words)
    sweep = bool(SWEEP & set(flags))
    if sweep:
        flags = _without_shown(flags)
    for word in overrides:
        check_form(word)
    read = [readable(word, sweep) for word in overrides]
    if sweep:
        _check_count(read)
    return [*flags, *map(open_kwargs, read)]


def split(words: list[str], strict: bool = True) -> tuple[list[str], list[str]]:
    """Return the flags with the words that belong to them, and the rest.

    Unless it is `strict`, the rest has the flags that are unknown.

    Raises:
        UserError: a flag is unknown, or the word that belongs to it is missing or wrong.
    """
    flags: list[str] = []
    rest: list[str] = []
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("-") or (name not in FLAGS and not strict):
            rest.append(word)
            continue
        known = FLAGS.get(name, ())
        if name not in FLAGS or (equals and known == ()):
            near = did_you_mean(name, [flag for flag in FLAGS if flag.startswith("--")])
            raise UserError(f"Unknown option {name}.{near if 'mean' in near else ''}")
        flags.append(name)
        if known != ():
            value = value if equals else remaining.pop(0) if remaining else ""
            if not value or (known and value not in known):
                wanted = f"one of {', '.join(known)}" if known else "a value"
                raise UserError(f"{name} {value}".rstrip() + f": expected {wanted}.")
            flags.append(value)
    return flags, rest


def shows_jobs(words: list[str]) -> bool:
    """Whether the words show the configurations of a sweep's jobs: `-m --cfg job`."""
    flags = split(words)[0]
    return bool(SWEEP & set(flags) and _SHOW & set(flags))


def _without_shown(flags: list[str]) -> list[str]:
    """Return the flags of a sweep without `--cfg job`, which Hydra takes for one run alone.

    Raises:
        UserError: something else is to be shown.
    """
    at = next((i for i, flag in enumerate(flags) if flag in _SHOW), None)
    if at is None:
        return flags
    if flags[at + 1] != "job":
        raise UserError(f"{flags[at]} {flags[at + 1]} is for one run; of a sweep: --cfg job")
    return flags[:at] + flags[at + 2 :]


def parts(word: str) -> tuple[str, str, str, str]:
    """Return the sign (`+`, `++`, `~` or none), key, `=` and value of a word."""
    found = _WORD.fullmatch(word)
    assert found is not None  # the pattern takes any text
    return found[1] or "", found[2], found[3], found[4]


def check_form(word: str) -> None:
    """Check that a word is `key=value`, with a key that can exist, or `~key`.

    Raises:
        UserError: it is not.
    """
    sign, key, equals, _ = parts(word)
    if sign == "~" and key in _GROUPS:
        raise UserError(f"{word}: every run has {key}, which cannot be taken away.")
    if not equals and sign != "~":
        like = f", as in {word}=VALUE" if word in advice.keys_by_path() else ""
        raise UserError(f"{word!r} is not of the form key=value{like}.")
    if not key:
        raise UserError(f"{word!r} has no key before the =.")
    if not _KEY.fullmatch(key) or ("/" in key and key.partition("/")[0] in _GROUPS):
        tidy = re.sub(r"[./]+", ".", re.sub(r"[^\w./-]", "", key)).strip(".")
        known = advice.keys_by_path()
        near = f" Did you mean {tidy}?" if tidy in known else advice.hint(tidy, known)
        raise UserError(f"Unknown key {key}.{near}")


def readable(word: str, sweep: bool) -> str:
    """Return an override as Hydra's grammar can read it: itself, or with its value in quotes.

    Raises:
        UserError: the value has no reading, or several.
    """
    sign, key, equals, value = parts(word)
    if not equals or sign == "~":
        return word
    text = key in _text_keys()
    if text and not value:
        raise UserError(f"{key}= needs a value{'' if _text_keys()[key] else ', or null for none'}.")
    if text or key in _GROUPS:
        check_lengths(value, f"{key}={value}")
    if text and value.startswith("~"):
        value = _at_home(value)
    override = _parse(f"{key}={value}")
    if override is None:
        _check_unread(key, value, sweep)
        return f"{sign}{key}={quote(value)}"
    if key in _GROUPS:
        _check_choices(key, override)
    whole = not override.is_sweep_override() and isinstance(override.value(), int | float)
    if text and (whole or (not sweep and "," in value and _exists(value))):
        return f"{sign}{key}={quote(value)}"
    if key in _GROUPS and (whole or value.lower() == "null"):
        return f"{sign}{key}={quote(value)}"
    return f"{sign}{key}={value}"


def _check_unread(key: str, value: str, sweep: bool) -> None:
    """Check that a value that the grammar cannot read can be nothing but a text.

    Raises:
        UserError: it was meant as a list or a quoted text, or as several texts of a sweep.
    """
    if "${" in value and not re.search(r"\$\{[^{}]*\}", value):
        raise UserError(f"{key}={value}: ${{ begins an interpolation, which no }} ends.")
    if value[0] in "[{(":
        items = value.strip("[{()}] ").replace(" ", "")
        ways = {
            "list": f"As a list: {shlex.quote(f'{key}=[{items}]')}",
            "text": f"As a text: {quoted_word(key, value)}",
        }
        kinds = " ".join(type_name(k.type) for k in advice.keys_by_path().get(key, []))
        advised = [way for kind, way in ways.items() if kind in kinds or not kinds]
        raise UserError(f"{key}={value} cannot be read. {' '.join(advised or ways.values())}")
    function = re.fullmatch(r"([A-Za-z_]\w*)\(.*\)", value, re.DOTALL)
    if function and (near := nearest(function[1], _FUNCTIONS, 1)):
        known = f" Did you mean {near[0]}(…)?" if near[0] != function[1] else ""
        raise UserError(
            f"{key}={value} cannot be read as a function of a sweep.{known}"
            f" As a text: {quoted_word(key, value)}"
        )
    if value[0] in "\"'":
        raise UserError(f"{key}={value} cannot be read: it has a quotation mark too few or many.")
    if sweep and "," in value and not _exists(value):
        raise UserError(
            f"{key}={value}: commas separate the values of a sweep. As one text:"
            f" {quoted_word(key, value)}"
        )


def _check_choices(group: str, override: Override) -> None:
    """Check that what is chosen of a group are names.

    Raises:
        UserError: a list or, in a sweep, something else is among them.
    """
    value: Any = override.value()
    written = override.get_value_string()
    swept = isinstance(value, ChoiceSweep)
    if isinstance(value, Glob) and group == "env" and not any(g.strip("*") for g in value.include):
        raise UserError(
            f"env={written} means every environment there is. Name some: env=glob(FrozenLake*)"
        )
    for name in value.list if isinstance(value, ChoiceSweep) else [value]:
        if isinstance(name, list):
            like = next(iter(choices(group)), "NAME")
            raise UserError(f"{group}={written}: expected one name, as in {group}={like}.")
        if swept and (name is None or isinstance(name, int | float)):
            raise UserError(advice.unknown_choice(group, show(name)))


def _check_count(overrides: list[str]) -> None:
    """Check that a sweep has jobs, and not by mistake very many.

    Raises:
        UserError: it has none, more than `MAX_JOBS`, or a range without an end.
    """
    total: float = 1
    for word in overrides:
        override = _parse(word)
        if override is None or not override.is_sweep_override():
            continue
        count = _count(override.value())
        if not count:
            raise UserError(f"{word} has no values.")
        total *= count
        if total > MAX_JOBS:
            raise UserError(f"{word}: a sweep of more than {MAX_JOBS:,} jobs.")


def _count(values: Any) -> float:
    """Return how many values a sweep over one key has; 1 where only a composition knows."""
    if isinstance(values, ChoiceSweep):
        return len(values.list)
    if not isinstance(values, RangeSweep):
        return 1
    start, stop, step = (float(x or 0) for x in (values.start, values.stop, values.step))
    if not math.isfinite(start + stop + step) or step == 0:
        return math.inf
    return max(0, math.ceil((stop - start) / step))


def quote(text: str) -> str:
    """Return a text in double quotes of Hydra's grammar, which reads them as the text itself."""
    inside = re.sub(r'(\\*)"', lambda found: found[1] * 2 + '\\"', text)
    backslashes = len(inside) - len(inside.rstrip("\\"))
    return f'"{inside}{chr(92) * backslashes}"'


def quoted_word(key: str, value: str) -> str:
    """Return the word to type in a shell for a value that is one text."""
    return shlex.quote(f"{key}={quote(value)}")


def read_pair(word: str) -> tuple[str, Any]:
    """Return key and value of a word of one run, `key=value`.

    Raises:
        UserError: the word has another form, or its value no reading.
    """
    word = word.lstrip("+")
    check_form(word)
    override = _parse(readable(word, sweep=False))
    if override is None or override.is_sweep_override():
        raise UserError(several_values(word))
    return override.key_or_group, override.value()


def several_values(word: str) -> str:
    """A line about a word with several values, in a command that is for one run."""
    _, key, _, value = parts(word)
    keys = advice.keys_by_path().get(key, [])
    kinds = {type_name(k.type) for k in keys}
    if any(kind.startswith("list") for kind in kinds):
        return f"{word}: write a list in brackets: {shlex.quote(f'{key}=[{value}]')}"
    one = ""
    if re.fullmatch(r"[1-9]\d{0,2}(,\d{3})+", value) and kinds & {"integer", "number"}:
        one = f"{key}={value.replace(',', '_')}"
    elif re.fullmatch(r"\d+,\d+", value) and any("number" in kind for kind in kinds):
        one = f"{key}={value.replace(',', '.')}"
    elif key not in _GROUPS and (not keys or any("text" in kind for kind in kinds)):
        one = quoted_word(key, value)
    advised = f" As one value: {one}" if one else ""
    return f"{word} has several values, which need a sweep: rltrain -m ….{advised}"


def open_kwargs(word: str) -> str:
    """Return the override with `++` where keys are free-form."""
    return f"++{word}" if word.startswith(_FREE) else word


def close_kwargs(word: str) -> str:
    """Return the override as it was before `open_kwargs`."""
    return word.removeprefix("++") if word.removeprefix("++").startswith(_FREE) else word


@functools.cache
def _text_keys() -> dict[str, bool]:
    """Keys of texts and whether they must have one; what is typed for them stands as it is."""
    hints = get_type_hints(RunSettings)
    texts = {k: hint is str for k, hint in hints.items() if hint in (str, str | None)}
    del texts["tuned"]  # a group
    return texts | {"env.id": True}


def _at_home(path: str) -> str:
    try:
        return str(Path(path).expanduser())
    except RuntimeError:  # of a user that there is not
        return path


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # a name that is too long, a null character
        return False


def _parse(word: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(word)
    except (HydraException, ValueError, RecursionError):
        return None
