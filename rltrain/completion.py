"""Completion in bash, zsh and fish: what the last word of a command line may become."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Union, get_args, get_origin

from rltrain.core.errors import OK, UserError, did_you_mean
from rltrain.core.paths import config_dir
from rltrain.settings import advice, registry
from rltrain.settings.defaults import choices, defaults, read, source
from rltrain.settings.run import PARTS
from rltrain.settings.schema import Key

_FIRST = ("describe", "eval", "help", "list", "plot", "record", "table", "resume=", "-m", "--help")
_BASH = """\
_rltrain_complete() {
    local line="${COMP_LINE:0:COMP_POINT}" head="" sign IFS=$'\\n'
    local word="${line##* }"
    COMPREPLY=($(COMP_LINE="$line" rltrain -sc query=bash 2> /dev/null))
    for sign in = :; do  # bash begins a word of its own after these
        if [[ "$COMP_WORDBREAKS" == *"$sign"* && "${word#"$head"}" == *"$sign"* ]]; then
            head="${word%"${word##*"$sign"}"}"
        fi
    done
    COMPREPLY=("${COMPREPLY[@]#"$head"}")
}
complete -o nospace -o default -F _rltrain_complete rltrain
"""
_ZSH = """\
_rltrain() {
    local -a found open
    found=("${(@f)$(COMP_LINE="${(j: :)words[1,CURRENT-1]} $PREFIX" rltrain -sc query=zsh \\
        2> /dev/null)}")
    open=(${(M)found:#*[=./]})
    found=(${found:|open})
    compadd -S '' -a open
    compadd -a found
    (( $#open + $#found )) || _files
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -u; }
compdef _rltrain rltrain
"""
_FISH = """\
function __rltrain_complete
    set -lx COMP_LINE (commandline -cp)
    rltrain -sc query=fish 2> /dev/null
end
complete -c rltrain -a '(__rltrain_complete)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
_REMOVE = {
    "bash": "complete -r rltrain\nunset -f _rltrain_complete\n",
    "zsh": "compdef -d rltrain\nunfunction _rltrain\n",
    "fish": "complete -c rltrain -e\nfunctions -e __rltrain_complete\n",
}


def answer(arguments: list[str]) -> int:
    """Print the script that `-sc install=SHELL` asks for, or what `query=SHELL` completes to.

    Raises:
        UserError: the argument of -sc is something else.
    """
    rest = [a for a in arguments if a not in ("-sc", "--shell-completion")]
    what, _, shell = (rest or [""])[-1].partition("=")
    if what not in ("install", "uninstall", "query") or shell not in SCRIPTS:
        near = did_you_mean(shell, SCRIPTS) if shell else ""
        raise UserError(f'Completion: eval "$(rltrain -sc install=bash)", or zsh, or fish.{near}')
    if what != "query":
        print({"install": SCRIPTS, "uninstall": _REMOVE}[what][shell], end="")
        return OK
    for word in completions(os.environ.get("COMP_LINE", "")):
        ending = "" if shell != "bash" or word.endswith(("=", ".", "/")) else " "
        print(
            (re.sub(r"([\s()&;<>|$`\"'\\\\*?])", r"\\\1", word) if shell == "bash" else word)
            + ending
        )
    return OK


def completions(line: str) -> list[str]:
    """Return the words that the last one of a command line may become, in order."""
    try:
        words = shlex.split(line)
    except ValueError:  # within quotes
        words = line.split()
    words = words[1:] if line[-1:] not in ("", " ") else [*words[1:], ""]
    if not words:
        return []
    *before, last = words
    return sorted({w for w in _candidates(before, last) if w.startswith(last) and w != last})


def _candidates(before: list[str], last: str) -> Iterable[str]:
    flags = ("-m", "--cfg", "--config-dir", "--multirun", "--help", "--info")
    if before and before[-1] in ("--cfg", "-c"):
        return ("job", "hydra", "all")
    if last.startswith("-"):
        return flags
    if before and before[0] in ("list", "describe", "eval", "record", "plot", "table"):
        return _of_command(before, last)
    if any(w.startswith("resume=") for w in before):
        return _options("resume", before, last)
    if last.startswith("resume="):
        return (f"resume={run}" for run in _runs())
    first = _FIRST if not before else ()
    return [*first, *_overrides(before, last)]


def _of_command(before: list[str], last: str) -> Iterable[str]:
    from rltrain.reports import catalog

    command = before[0]
    if command == "list":
        return catalog.LISTS if len(before) == 1 else ()
    if command == "describe":
        return [*(catalog.describable() if len(before) == 1 else ()), *_overrides(before, last)]
    several = command in ("plot", "table")
    runs = _runs(sweeps=several) if len(before) == 1 or several else ()
    return [*runs, *(_options(command, before, last) if before[1:] or several else ())]


def _options(command: str, before: list[str], last: str) -> Iterable[str]:
    """`key=` of a command's options, or the values of the one that is being typed."""
    key, equals, _ = last.partition("=")
    if command == "resume":
        from rltrain.training.changes import RESUMABLE

        parts = tuple(f"{k}." if k in PARTS else f"{k}=" for k in RESUMABLE)
        fitting = [w for w in _overrides(before, last) if w.startswith(parts)]
        return fitting if equals or "." in last else (*parts, "trust=")
    if equals:
        values = {
            "checkpoint": ("newest", "best", *_checkpoints(before[1:2])),
            "deterministic": ("true", "false"),
            "device": ("auto", "cpu", "cuda"),
            "sort": ("job", "state", "score", "steps", "time"),
        }
        return (f"{key}={value}" for value in values.get(key, ()))
    if command in ("plot", "table"):
        return ("out=", "column=") if command == "plot" else ("sort=",)
    from rltrain.reports.score import OPTIONS

    own = ["dataset="] if command == "record" else []
    return [*own, *(f"{k}=" for k in OPTIONS), "env.kwargs."]


def _overrides(before: list[str], last: str) -> Iterable[str]:
    """`key=` of a run, or the values of the key that is being typed."""
    chosen = _chosen(before)
    key, equals, value = last.partition("=")
    sign = re.match(r"[+~]*", key)
    prefix, key = (sign[0], key[len(sign[0]) :]) if sign else ("", key)
    if equals:
        given = value.rpartition(",")[0]  # of a sweep
        head = f"{prefix}{key}={given + ',' if given else ''}"
        return (head + v for v in _values(key, value.rpartition(",")[2], chosen))
    groups = (*registry.GROUPS, "env", "tuned")
    keys = advice.keys_with(chosen)
    if "." in key:
        group = key.partition(".")[0]
        inner = [f"{k}." if k == "env.kwargs" else f"{k}=" for k in keys if k.startswith(group)]
        return (prefix + k for k in inner if "." in k)
    parts = {k.partition(".")[0] + "." for k in keys if "." in k}
    root = [f"{k}=" for k in keys if "." not in k and k not in groups]
    return (prefix + k for k in (*(f"{g}=" for g in groups), *parts, *root))


def _values(key: str, typed: str, chosen: dict[str, str]) -> Iterable[str]:
    """The values that a key may have, where they can be counted."""
    entry = registry.entries("algo").get(_name("algo", chosen["algo"]))
    if key == "env":
        from rltrain.envs import ids, zoo

        return [*_without(choices("env"), "none"), *ids.registered(), *zoo.modules()]
    if key in ("init_from",):
        return _runs()
    if key == "device":
        return ("auto", "cpu", "cuda")
    if key == "exploration" and entry is not None:
        fitting = entry.explorations
        return [c for c in choices(key) if c in fitting or _name(key, c) in fitting]
    if key in ("network", "optimizer") and entry is not None:
        return _without(choices(key), "none") if entry.networks else ["none"]
    if key in (*registry.GROUPS, "tuned"):
        return choices(key)
    known = advice.keys_with(chosen).get(key)
    return _enumerated(known) if known is not None else ()


def _enumerated(key: Key) -> list[str]:
    """The words that a key's type allows: of a choice, a switch, or null."""

    def words(hint: object) -> list[str]:
        if get_origin(hint) is Literal:
            return [str(a) for a in get_args(hint)]
        if hint is bool:
            return ["true", "false"]
        if hint is type(None):
            return ["null"]
        inner = get_args(hint) if get_origin(hint) in (Union, type(int | str)) else ()
        return [w for a in inner for w in words(a)]

    return words(key.type)


def _chosen(words: list[str]) -> dict[str, str]:
    """The choice of each group: as typed, else as the algorithm or the root has it."""
    root = read(config_dir() / "config.yaml")["defaults"]
    chosen = {k: str(v) for entry in root if isinstance(entry, dict) for k, v in entry.items()}
    typed = dict(w.partition("=")[::2] for w in words if "=" in w)
    path = source("algo", typed.get("algo", chosen["algo"]))
    for entry in read(path).get("defaults", []) if path is not None else ():
        for name, choice in entry.items() if isinstance(entry, dict) else ():
            chosen[name.removeprefix("override /")] = str(choice)
    groups = {g: typed[g].partition(",")[0] for g in registry.GROUPS if g in typed}
    return chosen | groups


def _name(group: str, choice: str) -> str:
    return str(defaults(group, choice).get("name", choice))


def _without(words: Iterable[str], *left_out: str) -> list[str]:
    return [w for w in words if w not in left_out]


def _runs(sweeps: bool = False) -> list[str]:
    """`latest`, and the folders of runs and of sweeps' jobs; with `sweeps`, of sweeps too."""
    found = ["latest"] if Path("outputs/.latest").exists() else []
    for pattern in ("*/config.yaml", "sweeps/*/*/config.yaml"):
        found += [str(p.parent) for p in Path("outputs").glob(pattern)]
    return found + ([str(p) for p in Path("outputs/sweeps").glob("*/")] if sweeps else [])


def _checkpoints(runs: list[str]) -> list[str]:
    folder = Path(runs[0] if runs and runs[0] != "latest" else "outputs")
    pattern = "checkpoints/step_*.ckpt" if folder.name != "outputs" else "*/checkpoints/step_*.ckpt"
    return [p.name for p in folder.glob(pattern)]
