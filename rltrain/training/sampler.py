"""Samplers: they step environments under a policy and write into memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from rltrain.algos.base import Algorithm
from rltrain.core.state import Stateful
from rltrain.core.types import Progress, Transition, remember
from rltrain.envs.saving import Verdict
from rltrain.envs.supervisor import Remark
from rltrain.envs.vector import Episode, VectorEnv

logger = logging.getLogger("rltrain")


CHANGED = "environment state can no longer be saved exactly (%s): from here on " + (
    "episodes end at each checkpoint, so that a run resumed from there goes the same way"
)


class Sampler(Protocol):
    """What a trainer asks of whoever collects."""

    @property
    def why_not_saved(self) -> str | None: ...

    def collect(self, horizon: int, progress: Progress, stop: Callable[[], bool]) -> bool: ...

    def take_seconds(self) -> dict[str, float]: ...

    def take_episodes(self) -> list[Episode]: ...

    def prepare_save(self, at: int) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


class Remarks:
    """Logs what there is to be said of environments, each kind once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def tell(self, remark: Remark) -> None:
        if remark.key not in self._said:
            logger.warning("%s", remark.text)
        if remark.key:
            self._said.add(remark.key)


class SampleCounter(Stateful):
    """In a sampler's place where no environment is stepped: a step is a sample of a dataset."""

    why_not_saved: str | None = None

    def collect(self, horizon: int, progress: Progress, stop: Callable[[], bool]) -> bool:
        """Counts the `horizon` samples of the next update; False where `stop` said so before."""
        if stop():
            return False
        progress.steps += horizon
        return True

    def take_seconds(self) -> dict[str, float]:
        return {"env": 0.0, "act": 0.0}

    def take_episodes(self) -> list[Episode]:
        return []

    def prepare_save(self, at: int) -> None:
        """Nothing to do: no episode is going on."""

    def close(self) -> None:
        """Nothing to do: nothing was opened."""


class InlineSampler(Stateful):
    """Steps the environments in this process.

    `episodes` collects those that finished until somebody takes them. `seconds` says how
    long the environments and the policy took; it is no part of the state. Whether the
    environments' own state can be saved is `known` from an earlier part of the run, or tried.
    """

    _state = ("rng", "policy_state", "collected", "finished", "saved_at")

    def __init__(
        self,
        envs: VectorEnv,
        algorithm: Algorithm,
        rng: np.random.Generator,
        known: Verdict | None = None,
    ) -> None:
        self.envs = envs
        self.algorithm = algorithm
        self.rng = rng
        self.verdict = envs.begin(known)
        self.policy_state = algorithm.policy.initial_state(envs.num_rows)
        self.collected = 0  # vector steps of a horizon that is not complete
        self.finished: list[tuple[int, float, int]] = []
        self.saved_at = 0
        self.lost = False  # the environments' state could not be put back
        self.seconds = {"env": 0.0, "act": 0.0}
        self.tell: Callable[[Remark], None] = Remarks().tell

    @property
    def why_not_saved(self) -> str | None:
        return self.verdict.why_not

    def collect(self, horizon: int, progress: Progress, stop: Callable[[], bool]) -> bool:
        """Takes `horizon` vector steps, or what is left of them from an earlier call.

        False where `stop` said so before they were complete; the next call goes on there.
        """
        try:
            return self._collect(horizon, progress, stop)
        finally:
            for remark in self.envs.take_remarks():
                self.tell(remark)

    def _collect(self, horizon: int, progress: Progress, stop: Callable[[], bool]) -> bool:
        envs, policy, memory = self.envs, self.algorithm.policy, self.algorithm.memory
        while self.collected < horizon:
            if stop():
                return False
            obs, clock = envs.obs, time.perf_counter()
            action, self.policy_state, extras = policy.act(obs, self.policy_state, True, self.rng)
            acted = time.perf_counter()
            step = envs.step(action)
            remember(
                memory,
                Transition(
                    obs,
                    action,
                    step.reward,
                    step.terminated,
                    step.truncated,
                    step.successor,
                    extras,
                    step.valid,
                ),
            )
            self.seconds["act"] += acted - clock
            self.seconds["env"] += time.perf_counter() - acted
            if step.episodes:
                self.finished += [(e.env, e.ret, e.length) for e in step.episodes]
            if step.episodes or step.valid is not None:
                ended = step.terminated | step.truncated
                if step.valid is not None:  # who is gone begins anew with its team
                    ended |= ~step.valid
                self.policy_state = policy.restart(self.policy_state, ended)
            progress.steps += envs.num_envs
            self.collected += 1
        self.collected = 0
        return True

    def take_seconds(self) -> dict[str, float]:
        """How long environments and policy took since the last call."""
        seconds, self.seconds = self.seconds, {"env": 0.0, "act": 0.0}
        return seconds

    def take_episodes(self) -> list[Episode]:
        """The episodes that finished since the last call."""
        finished, self.finished = self.finished, []
        return [Episode(*e) for e in finished]

    def prepare_save(self, at: int) -> None:
        """Where the environments cannot be saved, ends their episodes and reseeds them.

        A run that is resumed at `at` does the same, so that both go the same way.
        """
        if self.why_not_saved is None and (reason := self.envs.why_not_now()) is not None:
            logger.warning(CHANGED, reason)
            self.give_up(reason)
        if self.why_not_saved is not None:
            self.algorithm.end_episodes()
            self.policy_state = self.algorithm.policy.initial_state(self.envs.num_rows)
            self.envs.rebuild()
            self.envs.restart(at)
        self.saved_at = at

    def give_up(self, reason: str) -> None:
        """Save the environments' own state no more."""
        self.verdict = self.verdict._replace(why_not=reason)
        self.envs.saves = None

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "verdict": list(self.verdict),
            "envs": self.envs.state_dict(self.why_not_saved is None),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        own = {k: v for k, v in state.items() if k not in ("envs", "random", "verdict")}
        super().load_state_dict(own)  # `random` is of worker processes
        for number, ret, length in self.finished:  # an error here, and not in the first row
            Episode(int(number), float(ret), int(length))
        try:
            self.envs.load_state_dict(state["envs"])
        except Exception as error:
            logger.warning(
                "the environments' state cannot be put back (%s: %s): new episodes begin, and the"
                " run goes another way than it would have",
                type(error).__name__,
                error,
            )
            self.algorithm.end_episodes()
            self.policy_state = self.algorithm.policy.initial_state(self.envs.num_rows)
            self.envs.rebuild()
            self.envs.restart(self.saved_at)
            self.lost = True

    def close(self) -> None:
        self.envs.close()
