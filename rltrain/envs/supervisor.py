"""Environments that raise: the error that says so, or a new environment in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np

from rltrain.core.errors import EnvError, RltrainError
from rltrain.core.seeding import derive
from rltrain.envs.answers import AnswerError, explain, first_observation
from rltrain.envs.own_spaces import seed_new_spaces, seed_spaces, spaces_of
from rltrain.envs.packing import MismatchError

Env = gym.Env[Any, Any]


class OnError(NamedTuple):
    """What becomes of an environment that raises: the run fails, or it is rebuilt.

    `most` is how often each environment may be rebuilt in a run.
    """

    how: Literal["fail", "restart"] = "fail"
    most: int = 0


FAIL = OnError()


class Remark(NamedTuple):
    """What is to be said of an environment; only one of each `key` is, if it has one."""

    text: str
    key: str = ""


class Supervisor:
    """Resets the environments of a vector, and rebuilds those that raise.

    `envs` is the vector's own list, in which a rebuilt environment takes the place of the one
    that raised. `restarts` `[B]` counts the rebuilds of each, which its next seed depends on:
    they are part of the state. `first` is the number of the first environment.
    """

    def __init__(
        self,
        make: Callable[[], Env],
        envs: list[Env],
        name: str,
        first: int,
        seed: tuple[int, tuple[str, ...]],
        on_error: OnError,
    ) -> None:
        self.make = make
        self.envs = envs
        self.name = name
        self.first = first
        self.on_error = on_error
        self.restarts = np.zeros(len(envs), np.int64)
        self.remarks: list[Remark] = []  # what there is to be said, until somebody takes it
        self.note_call: Callable[[int], None] | None = None  # with a number, and −1 after it
        self._seed, self._stream = seed

    def seed_of(self, i: int, at: int) -> int:
        """The seed of environment `i` at a restart of all."""
        return derive(self._seed, *self._stream, self.first + i, at)

    def reset(self, i: int, seed: int | None = None) -> tuple[Any, Any]:
        """The first observation and the info of the next episode of environment `i`.

        Raises:
            EnvError: it raised and is not rebuilt, or its answer is not a pair.
        """
        env = self.envs[i]
        try:
            if seed is not None:
                seed_spaces(env, seed)
            spaces = spaces_of(env)
            self.enter(i)
            answer = env.reset() if seed is None else env.reset(seed=seed)
            self.leave()
            seed_new_spaces(env, spaces)
        except Exception as error:
            return self.renew(i, explain(env, "reset", error), error)
        try:
            return first_observation(answer), answer[1]
        except AnswerError as error:
            raise self.error(i, str(error)) from None

    def enter(self, i: int) -> None:
        """Note that environment `i` is called, where somebody watches how long that takes."""
        if self.note_call is not None:
            self.note_call(self.first + i)

    def leave(self) -> None:
        """Note that the environments returned."""
        if self.note_call is not None:
            self.note_call(-1)

    def renew(self, i: int, what: str, error: Exception, step: int = 0) -> tuple[Any, Any]:
        """Rebuild environment `i`, which raised `error`, and return what its `reset` returns.

        `what` says how it raised, and `step` where in its episode; 0 is its reset.

        Raises:
            EnvError: rebuilding is off, was done too often, or cannot mend this error.
        """
        self.leave()
        ours = isinstance(error, RltrainError | AnswerError | MismatchError)
        if self.on_error.how == "fail" or ours:
            raise self.error(i, what, error, step) from error
        while True:
            if self.restarts[i] >= self.on_error.most:
                raise self.error(i, what, error, step, self._exhausted()) from error
            self.restarts[i] += 1
            count = f"{self.restarts[i]} of {self.on_error.most}"
            self.remarks.append(
                Remark(f"{self._told(i, what, step)}: its episode is dropped, rebuild {count}.")
            )
            try:
                _close(self.envs[i])
                self.envs[i] = self.make()
                seed_spaces(self.envs[i], self.seed_after(i))
                self.enter(i)
                answer = self.envs[i].reset(seed=self.seed_after(i))
                self.leave()
                return first_observation(answer), answer[1]
            except RltrainError:
                raise
            except AnswerError as broken:
                raise self.error(i, str(broken)) from None
            except Exception as again:
                what, error, step = explain(self.envs[i], "reset", again), again, 0

    def seed_after(self, i: int) -> int:
        """The seed of environment `i` after its newest rebuild."""
        number = int(self.restarts[i])
        return derive(self._seed, *self._stream, self.first + i, "rebuild", number)

    def error(
        self,
        i: int,
        what: str,
        error: Exception | None = None,
        step: int = 0,
        advice: str = "",
    ) -> RltrainError:
        """The error of environment `i`: what it did, and when; one of our own stays as it is."""
        if isinstance(error, RltrainError):
            return error
        if isinstance(error, MismatchError):
            return self.mismatch(i, error)
        return EnvError(f"{self._told(i, what, step)}.{advice}")

    def mismatch(self, i: int, mismatch: MismatchError) -> EnvError:
        """The error of an observation that is not what the space declares."""
        part = f" as {mismatch.where}" if mismatch.where else ""
        return EnvError(
            f"{self.name} declares observations {mismatch.declared}{part}, but returned"
            f" {mismatch.got} (environment {self.first + i})."
        )

    def _told(self, i: int, what: str, step: int) -> str:
        when = f"step {step} of its episode" if step else "at the start of an episode"
        return f"{self.name}: {what} (environment {self.first + i}, {when})"

    def _exhausted(self) -> str:
        return f" It was rebuilt {self.on_error.most} times (env.max_restarts)."


def _close(env: Env) -> None:
    """Close an environment that raised, whatever it does."""
    try:
        env.close()
    except Exception:  # it is given up, and its error was said already
        return
