"""What `reset` and `step` return, by Gymnasium's interface, and what is said of anything else."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

Env = gym.Env[Any, Any]

_RESET = "reset(*, seed=None, options=None) must return (observation, info)"
_STEP = "step must return (observation, reward, terminated, truncated, info)"
_OURS = (Path(gym.__file__).parent, Path(__file__).parent)  # whose wrappers unpack answers


class AnswerError(Exception):
    """An environment does not follow Gymnasium's interface; the message is a whole clause."""


def first_observation(answer: Any) -> Any:
    """Return the observation of what `reset` returned.

    Raises:
        AnswerError: the answer is not a pair of observation and info.
    """
    if type(answer) is tuple and len(answer) == 2:
        obs, info = answer
        if type(info) is dict or isinstance(info, Mapping):
            return obs
    raise AnswerError(f"reset returned {describe(answer)}. {_RESET}")


def five(answer: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Return what `step` returned, which has to be five values.

    Raises:
        AnswerError: it is anything else.
    """
    if type(answer) is tuple and len(answer) == 5:
        return answer
    raise AnswerError(not_five(answer))


def not_five(answer: Any) -> str:
    """Return the clause about an answer of `step` that is not five values."""
    return f"step returned {describe(answer)}. {_STEP}"


def number(value: Any, what: str) -> float:
    """Return `value` as one number; arrays that hold a single number count as it.

    Raises:
        AnswerError: it is anything else.
    """
    if isinstance(value, numbers.Real):  # Python's, NumPy's, truth values too
        return float(value)
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        if array.size == 1 and array.dtype.kind in "biuf":
            return float(array.item())
    raise AnswerError(f"step returned the {what} {describe(value)}. It must be one number")


def flag(value: Any, what: str) -> bool:
    """Return `value` as a truth value; numbers that are 0 or 1 count as one.

    Raises:
        AnswerError: it is anything else, such as a string.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    try:
        found = number(value, what)
    except AnswerError:
        found = -1.0
    if found not in (0.0, 1.0):
        raise AnswerError(f"step returned {what} = {describe(value)}. It must be True or False")
    return bool(found)


def describe(value: Any) -> str:
    """Return type, shape or content of a value, in one short line."""
    if isinstance(value, np.ndarray | np.generic):
        shape = f"of shape {value.shape}" if value.ndim else one_line(repr(value.item()), 60)
        return f"{value.dtype} {shape}"
    if type(value) is tuple:
        kinds = ", ".join(type(part).__name__ for part in value[:6])
        return f"a tuple of {len(value)} values ({kinds})"
    return f"{type(value).__name__} {one_line(repr(value), 60)}"


def one_line(text: str, most: int = 300) -> str:
    """Return `text` without line breaks, cut after `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def explain(env: Env, method: str, error: Exception) -> str:
    """Return why `reset` or `step` of an environment raised `error`, as a whole clause.

    Wrappers unpack the answers of what is inside of them, so that an environment of the old
    interface shows as an error in their code.
    """
    if method == "reset" and isinstance(error, TypeError) and _lacks_seed(env):
        return f"reset does not take seed. {_RESET}"
    if isinstance(error, AnswerError):
        return str(error)
    if isinstance(error, ValueError | TypeError) and "unpack" in str(error) and _in_wrapper(error):
        wanted = _STEP if method == "step" else _RESET
        return f"{method} returned something else ({error}). {wanted}"
    return f"{method} raised {type(error).__name__}: {one_line(str(error))}"


def _lacks_seed(env: Env) -> bool:
    for layer in _layers(env):
        try:
            parameters = inspect.signature(layer.reset).parameters.values()
        except (TypeError, ValueError):
            continue
        if not any(p.name == "seed" or p.kind is p.VAR_KEYWORD for p in parameters):
            return True
    return False


def _layers(env: Any) -> Iterator[Any]:
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env
    yield getattr(env, "parallel_env", env)


def _in_wrapper(error: Exception) -> bool:
    """Whether the innermost frame of a traceback is a wrapper of Gymnasium's or of rltrain's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    file = Path(trace.tb_frame.f_code.co_filename)
    return any(file.is_relative_to(folder) for folder in _OURS)
