"""The command line that was likely meant, for one whose words are not key=value."""

from __future__ import annotations

import shlex
from collections.abc import Collection

from rltrain.core.errors import UserError, did_you_mean
from rltrain.envs import ids
from rltrain.overrides import split
from rltrain.settings import advice
from rltrain.settings.defaults import choices

COMMANDS = ("describe", "eval", "help", "list", "plot", "record", "table")
# Words for training that others put first.
_SWEEPS = ("sweep", "multirun")
# What others call the commands.
_OTHERS = {
    **dict.fromkeys(("evaluate", "test", "play", "enjoy", "watch", "score", "run_eval"), "eval"),
    **dict.fromkeys(("collect", "generate"), "record"),
    **dict.fromkeys(("show", "info", "explain", "doc"), "describe"),
    **dict.fromkeys(("curves", "graph", "figure"), "plot"),
    **dict.fromkeys(("results", "compare", "summary"), "table"),
}
_VERBS = ("train", "run", "fit", "learn", "start", "main.py", "train.py")


def check_words(command: list[str], words: list[str], keys: Collection[str] = ()) -> None:
    """Check that the words after a command are flags or `key=value`.

    `command` has the words before them, as `eval latest`; `keys` are those that the command
    takes, where they are not those of a run.

    Raises:
        UserError: they are not; the message has the line to type where it can be told.
    """
    flags, rest = split(words, strict=False)
    wrong = next((w for w in rest if not _is_pair(w)), None)
    if wrong is None:
        return
    known = keys or advice.keys_by_path()
    meant = [_resolved(word, known, bool(keys)) for word in _joined(rest)]
    if None not in meant:
        line = shlex.join(["rltrain", *command, *flags, *(word for word in meant if word)])
        raise UserError(f"{wrong!r} is not of the form key=value. Write: {line}")
    if wrong == rest[0] and not command and wrong.isalpha() and wrong not in known:
        raise unknown_command(rest[0])


def _is_pair(word: str) -> bool:
    key, equals, _ = word.partition("=")
    return word.startswith("~") or (bool(key and equals) and not word.startswith("-"))


def _joined(words: list[str]) -> list[str]:
    """The words with `key = value`, `key= value` and `--key value` as one word each."""
    joined: list[str] = []
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        after = remaining[0] if remaining else ""
        bare = bool(after) and "=" not in after and not after.startswith("-")
        if word.startswith("=") and joined and "=" not in joined[-1]:
            joined[-1] += word if word != "=" or not bare else word + remaining.pop(0)
        elif word.endswith("=") and word.count("=") == 1 and bare:
            joined.append(word + remaining.pop(0))
        elif word.startswith("-") and len(word) > 1:
            name = word.lstrip("-")
            if "=" not in name:
                name += "=" + (remaining.pop(0) if bare else "true")
            joined.append(name)
        else:
            joined.append(word)
    return joined


def _resolved(word: str, known: Collection[str], options: bool) -> str | None:
    """`key=value` for a word, with the full key; empty for a verb, None where none is known."""
    key, equals, value = word.partition("=")
    if not equals:
        head, colon, tail = word.partition(":")
        if colon and head in known:
            return f"{head}={tail}"
        if options:
            return None
        if word in _VERBS:
            return ""
        if word in _SWEEPS:
            return "-m"
        if word.lower() in choices("algo"):
            return f"algo={word.lower()}"
        is_env = word in choices("env") or (":" not in word and ids.can_make(word))
        return f"env={word}" if is_env else None
    key = key.replace("-", "_")
    if key in known or key == "jobs" or key.startswith(("env.kwargs.", "hydra", "network.enc")):
        return f"{key}={value}"
    like = advice.named_like(key, known)
    return f"{like[0]}={value}" if like else None


def unknown_command(word: str) -> UserError:
    """The error for a first word that is neither a command nor key=value."""
    near = did_you_mean(_OTHERS.get(word, word), COMMANDS)
    return UserError(
        f"Unknown command {word!r}.{near if 'mean' in near else ''}"
        " Training takes key=value: rltrain algo=ppo env=CartPole-v1"
    )
