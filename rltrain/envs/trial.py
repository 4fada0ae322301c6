"""Try whether the state of an environment can be saved exactly.

The environment is played into the middle of episodes; there its state is captured, it is
played on, the state is restored and compared field by field, and the same steps have to
give the same again.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rltrain.core import seeding
from rltrain.envs import snapshot
from rltrain.envs.nodes import saves_itself
from rltrain.envs.snapshot import Digests, Env, NotExactError

SECONDS = 1.0  # that a trial may take, as far as one step and one reset allow
_DEPTHS = ((2, 2), (3, 20), (12, 40), (41, 60))  # steps before the state is captured, and after


@dataclass(frozen=True)
class Trial:
    """Why the state of an environment cannot be saved exactly (None where it can be), and how
    many steps, resets and seconds it took to find out."""

    why_not: str | None
    steps: int
    resets: int
    seconds: float
    clean: bool  # the environment is as it was before


class _OutOfTimeError(Exception):
    """A depth takes much longer than was to be expected."""


class _Player:
    """Plays an environment with random actions, and counts steps and seconds."""

    def __init__(self, env: Env, limit: float, clock: Callable[[], float]) -> None:
        self.env, self.limit, self.clock = env, limit, clock
        self.space = copy.deepcopy(env.action_space)
        self.space.seed(1)
        self.steps = self.in_episode = 0
        self.each: dict[str, list[float]] = {"step": [], "reset": []}  # seconds
        self.began = clock()
        self.first = True

    def reset(self, seed: int | None = None) -> Any:
        self.in_episode = 0
        return copy.deepcopy(self._timed("reset", lambda: self.env.reset(seed=seed))[0])

    def step(self, action: Any) -> list[Any]:
        action = copy.deepcopy(action)
        obs, reward, terminated, truncated, _ = self._timed("step", lambda: self.env.step(action))
        self.steps += 1
        self.in_episode += 1
        row = [copy.deepcopy(obs), copy.deepcopy(reward), terminated, truncated]
        return [*row, self.reset()] if terminated or truncated else row

    def _timed(self, what: str, do: Callable[[], Any]) -> Any:
        if not self.first and self.seconds > 3 * self.limit:
            raise _OutOfTimeError
        began = self.clock()
        answer = do()
        self.each[what].append(self.clock() - began)
        return answer

    def into_an_episode(self, steps: int) -> None:
        """Take so many steps, and some more where one of them ended an episode."""
        for _ in range(steps):
            self.step(self.space.sample())
        while not self.in_episode and self.steps < 10 * steps:
            self.step(self.space.sample())

    def play(self, actions: list[Any], reset: bool) -> list[Any]:
        rows = [self.step(action) for action in actions]
        return [*rows, self.reset()] if reset else rows  # what draws at a reset may show there

    @property
    def seconds(self) -> float:
        return self.clock() - self.began

    def time_for(self, steps: int) -> bool:
        """Whether so many steps more, and some resets, stay below the limit."""
        step, reset = float(np.median(self.each["step"])), min(self.each["reset"])
        return self.seconds + step * steps + reset <= self.limit


def try_out(
    env: Env,
    others: Sequence[Env] = (),
    limit: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> Trial:
    """Play `env` to find out whether its state can be saved exactly.

    `others` are more environments of the same making, whose objects it may share. The
    first depth is always tried, and each further one if it ends within `limit` seconds.
    The environment is put back, as are the global random generators; where it could not be,
    the verdict is not `clean`.
    """
    outside = seeding.global_state()
    player = _Player(env, limit, clock)
    clean = False
    try:
        (made,), _ = snapshot.read_fresh([env])
        start = snapshot.capture(env, made)
        reason = _reason(player, others)
        clean = reason is None and _put_back(env, start, made)
    except NotExactError as error:
        reason = str(error)
    except Exception as error:
        reason = f"its attributes cannot be read or written back ({type(error).__name__}: {error})"
    finally:
        seeding.set_global_state(outside)
    return Trial(reason, player.steps, len(player.each["reset"]), player.seconds, clean)


def _put_back(env: Env, start: list[Any], made: Digests) -> bool:
    """Restore the state of an environment before its first reset; False where nobody can tell."""
    if any(map(saves_itself, snapshot.layers_of(env))):
        return False
    snapshot.restore(env, start)
    return snapshot.difference(env, start, snapshot.capture(env, made)) is None


def _reason(player: _Player, others: Sequence[Env]) -> str | None:
    player.reset(seed=1)
    fresh, shared = snapshot.read_fresh([player.env, *others])
    for before, after in _DEPTHS:
        if not player.first and not player.time_for(before + 2 * after):
            break
        try:
            reason = _reason_at(player, before, after, fresh[0], shared, whole=False)
            if reason is not None:  # or large data changed after it was left out
                reason = _reason_at(player, before, after, fresh[0], shared, whole=True)
        except _OutOfTimeError:
            break
        if reason is not None:
            return reason
        player.first = False
    return None


def _reason_at(
    player: _Player, before: int, after: int, fresh: Digests, shared: set[int], whole: bool
) -> str | None:
    """Return what differs `after` steps from a state that was reached in `before` steps."""
    env, reset = player.env, not player.first
    player.into_an_episode(before)
    middle = seeding.global_state()
    saved = snapshot.capture(env, fresh, shared, whole)
    actions = [player.space.sample() for _ in range(after)]
    expected = player.play(actions, reset)
    if reset:  # as in a process that resumes
        player.reset(seed=1)
    snapshot.restore(env, saved)
    found = snapshot.capture(env, fresh, shared, whole)
    if (part := snapshot.difference(env, saved, found)) is not None:
        return f"{part} of a restored copy differs"
    seeding.set_global_state(middle)
    for step, (a, b) in enumerate(zip(expected, player.play(actions, reset), strict=True)):
        if not _same(a, b):
            return f"a restored copy differs {step + 1} steps later"
    return None


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    a, b = np.asarray(a), np.asarray(b)
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
