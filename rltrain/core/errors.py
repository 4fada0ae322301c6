"""What can go wrong, and how a mistake is explained."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable

OK, FAILED, USAGE = 0, 1, 2


class RltrainError(Exception):
    """An error with a message meant for the user: shown without a traceback.

    `trace` is the traceback, of another process or thread, of what the error reports.
    """

    exit_code = FAILED
    trace = ""

    def report(self) -> str:
        """Return the traceback of the exception that it reports, if any, and the message."""
        trace = self.trace
        if not trace and self.__cause__ is not None and not isinstance(self, UserError):
            trace = "".join(traceback.format_exception(self.__cause__))
        return f"{trace}\n{self}" if trace else str(self)


class UserError(RltrainError):
    """A mistake in what was asked for: key, value, and the nearest valid choice."""

    exit_code = USAGE


class TrainingError(RltrainError):
    """Training cannot go on: a loss, gradient, observation or reward that is no number."""


class JobError(RltrainError):
    """A job of a sweep has no score to give to the sweeper."""


class EnvError(RltrainError):
    """An environment broke its own declaration, or an action broke the environment's."""


class CheckpointError(RltrainError):
    """A checkpoint cannot be read."""


class StateError(CheckpointError):
    """A saved state is not of the object that it is to be put back into."""


def nearest(word: str, choices: Iterable[str], count: int = 3) -> list[str]:
    """Return the choices closest to `word`, best first, in any case; may be empty.

    A choice that differs by case, hyphens and underscores alone is the only one returned;
    else, what begins with the word comes before what is only like it.
    """
    originals: dict[str, str] = {}
    for choice in choices:
        originals.setdefault(choice.lower(), choice)
    same = [choice for choice in originals.values() if plain(choice) == plain(word)]
    if same and plain(word):
        return same[:count]
    close = difflib.get_close_matches(word.lower(), originals, n=count, cutoff=0.55)
    return [originals[c] for c in sorted(close, key=lambda c: not c.startswith(word.lower()))]


def plain(word: str) -> str:
    """Return a word in lower case, without hyphens and underscores."""
    return word.lower().replace("-", "").replace("_", "")


def did_you_mean(word: str, choices: Iterable[str], prefix: str = "") -> str:
    """` Did you mean X or Y?`, or all choices where none is near and they are few.

    `prefix` is put before each choice; it has no part in the comparison.
    """
    choices = sorted(set(choices))
    close = nearest(word, choices)
    if close:
        return f" Did you mean {' or '.join(prefix + c for c in close)}?"
    return (
        f" Choose from: {', '.join(prefix + c for c in choices)}." if 0 < len(choices) <= 20 else ""
    )
