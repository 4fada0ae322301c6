"""Sampling in worker processes: each steps its share of the environments for a whole horizon.

A worker is the inline sampler over a share, with a policy of its own and memory that is
shared: it is given the policy's state, and says when its part of the horizon is written.
Every worker computes the actions of all B environments, its own rows filled in, and draws
all random numbers, so that each row comes out of the same products and the same chance as
inline: numbers are equal to the last bit. This is the parent's side; the worker's is `worker`.

Legend: T steps of a horizon, B environments, W workers.
"""

from __future__ import annotations

import logging
import os
import pickle
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from rltrain.algos.base import Algorithm
from rltrain.core import processes
from rltrain.core.errors import EnvError, RltrainError, TrainingError, UserError
from rltrain.core.state import Stateful
from rltrain.core.types import Progress, remember
from rltrain.envs.saving import Verdict
from rltrain.envs.vector import Episode
from rltrain.settings.run import RunSettings
from rltrain.training import build
from rltrain.training.arena import (
    NEVER,
    Arena,
    Share,
    arrays,
    example,
    join,
    join_envs,
    part_of_envs,
    shares,
)
from rltrain.training.sampler import CHANGED, Remarks
from rltrain.training.worker import POLL, work

logger = logging.getLogger("rltrain")

_JOIN = 5.0  # seconds that a worker has to close its environments


class ProcessSampler(Stateful):
    """Has W worker processes step the environments, a horizon at a time.

    Its state is that of the inline sampler, so that a run may go on under either; beside
    it stands `random`, the workers' global random generators.

    Raises:
        TrainingError: a worker died, or its environment raised what is no error of ours.
    """

    def __init__(
        self,
        run: RunSettings,
        algorithm: Algorithm,
        spaces: build.Spaces,
        workers: int,
        verdict: Verdict,
    ) -> None:
        self.algorithm = algorithm
        self.verdict = verdict
        self.num_envs = spaces.num_envs
        self.collected = 0
        self.finished: list[tuple[int, float, int]] = []
        self.seconds = {"env": 0.0, "act": 0.0}
        self._remarks = Remarks()
        self._teams = bool(spaces.agents)
        self._env = run.env
        self._unordered: list[list[Episode]] = [[] for _ in range(spaces.num_rows)]
        self._shares = shares(spaces.num_envs, workers, max(1, len(spaces.agents)))
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        may_fail = run.env.on_error == "restart"
        try:
            self._arena = Arena(algorithm.horizon, example(algorithm.policy, spaces, may_fail))
            self._start(run, verdict)
            self._answers()
        except OSError as error:
            self.close()
            raise UserError(
                f"sampler=processes: {workers} worker processes cannot be started"
                f" ({error.strerror or error}). They need open files (ulimit -n) and room in"
                " /dev/shm or in the folder of TMPDIR. Set sampler=inline, or fewer num_workers."
            ) from error
        except BaseException:  # those that run would be waited for at the end of this process
            self.close()
            raise

    def _start(self, run: RunSettings, verdict: Verdict) -> None:
        """Start a worker process for each share."""
        context = processes.context()
        for number, share in enumerate(self._shares):
            ours, theirs = context.Pipe()
            process = context.Process(  # type: ignore[attr-defined] # every context has it
                target=work,
                args=(run, number, share, verdict, self._arena, theirs, os.getpid()),
                name=f"rltrain-worker-{number}",
                daemon=False,  # an environment may have processes of its own
            )
            self._pipes.append(ours)
            process.start()
            theirs.close()
            self._processes.append(process)

    @property
    def why_not_saved(self) -> str | None:
        return self.verdict.why_not

    def collect(self, horizon: int, progress: Progress, stop: Callable[[], bool]) -> bool:
        """Takes `horizon` vector steps, or what is left of them from an earlier call.

        False where `stop` said so before they were complete; the next call goes on there.
        """
        self._arena.limit.value = NEVER
        begin = self.collected
        self._ask("collect", horizon, arrays(self.algorithm.policy.state_dict()))
        reached = self._gather(stop)
        if min(reached) != max(reached):  # stopped: the others catch up with the first
            self._arena.limit.value = max(reached)
            self._ask("collect", horizon, None, only=[at < max(reached) for at in reached])
            self._gather(lambda: False, only=[at < max(reached) for at in reached])
        end = max(reached)
        for t in range(begin, end):
            step = self._arena.read(t)
            if not self._teams and step.valid is not None and step.valid.all():
                step = step._replace(valid=None)  # as inline has it
            remember(self.algorithm.memory, step)
            for b in np.flatnonzero(step.terminated | step.truncated).tolist():
                episode = self._unordered[b].pop(0)
                self.finished.append((b, episode.ret, episode.length))
        progress.steps += (end - begin) * self.num_envs
        self.collected = end % horizon
        return end == horizon

    def _gather(self, stop: Callable[[], bool], only: list[bool] | None = None) -> list[int]:
        """How far each worker came; notes what it reports of its episodes and time."""
        reached = []
        for share, answer in zip(self._chosen(only), self._answers(stop, only), strict=True):
            at, episodes, seconds, remarks = answer
            for remark in remarks:
                self._remarks.tell(remark)
            reached.append(at)
            for episode in episodes:
                self._unordered[share.rows.start + episode.env].append(episode)
            for name, value in seconds.items():  # they run side by side
                self.seconds[name] += value / len(self._shares)
        return reached

    def _chosen(self, only: list[bool] | None) -> list[Share]:
        return [s for i, s in enumerate(self._shares) if only is None or only[i]]

    def _ask(self, name: str, *arguments: Any, only: list[bool] | None = None) -> None:
        request = pickle.dumps((name, *arguments), protocol=5)
        for i, pipe in enumerate(self._pipes):
            if only is None or only[i]:
                self._send(i, pipe, request)

    def _send(self, i: int, pipe: Connection, request: bytes) -> None:
        try:
            pipe.send_bytes(request)
        except BrokenPipeError as error:
            raise self._dead(i) from error

    def _answers(
        self, stop: Callable[[], bool] = lambda: False, only: list[bool] | None = None
    ) -> list[Any]:
        """One answer of each worker that was asked, in their order."""
        waiting = {pipe: i for i, pipe in enumerate(self._pipes) if only is None or only[i]}
        answers: dict[int, Any] = {}
        while waiting:
            if self._arena.limit.value == NEVER and stop():
                self._arena.limit.value = 0
            self._check_hanging([*waiting.values()])
            for pipe in wait([*waiting], POLL):
                number = waiting.pop(pipe)  # type: ignore[call-overload] # they are pipes
                answers[number] = self._receive(number, pipe)
        return [answers[i] for i in sorted(answers)]

    def _check_hanging(self, waiting: list[int]) -> None:
        """Kill workers whose environment has not returned in time.

        Raises:
            EnvError: there is one.
        """
        limit = self._env.step_timeout
        for number in waiting if limit is not None else ():
            seconds, env = self._arena.call_of(number)
            if limit is not None and seconds > limit:
                self._processes[number].kill()
                self._processes[number].join()
                raise EnvError(
                    f"{self._env.id}: environment {env} did not return from step or reset within"
                    f" {limit:g} s (env.step_timeout); its worker process"
                    f" {number} was killed."
                )

    def _receive(self, number: int, pipe: Any) -> Any:
        try:
            kind, *content = pipe.recv()
        except (EOFError, ConnectionResetError) as gone:
            raise self._dead(number) from gone
        if kind != "error":
            return content[0]
        error, where = content
        if isinstance(error, RltrainError):
            raise error
        raise TrainingError(f"worker process {number} failed: {error}\n{where}")

    def _dead(self, number: int) -> TrainingError:
        process = self._processes[number]
        process.join(1)
        share = self._shares[number]
        return TrainingError(
            f"worker process {number} (environments {share.first} to"
            f" {share.first + share.count - 1}) {processes.ending(process.exitcode)}."
        )

    def take_seconds(self) -> dict[str, float]:
        """How long environments and policy took since the last call, a worker's mean."""
        seconds, self.seconds = self.seconds, {"env": 0.0, "act": 0.0}
        return seconds

    def take_episodes(self) -> list[Episode]:
        """The episodes that finished since the last call, as inline orders them."""
        finished, self.finished = self.finished, []
        return [Episode(*e) for e in finished]

    def prepare_save(self, at: int) -> None:
        """As the inline sampler does."""
        if self.why_not_saved is None:
            self._ask("why_not_now")
            reason = next((answer for answer in self._answers() if answer is not None), None)
            if reason is not None:
                logger.warning(CHANGED, reason)
                self.verdict = self.verdict._replace(why_not=reason)
                self._ask("give_up", reason)
                self._answers()
        if self.why_not_saved is not None:
            self.algorithm.end_episodes()
        self._ask("prepare_save", at)
        self._answers()

    def state_dict(self) -> dict[str, Any]:
        self._ask("state")
        answers = self._answers()
        states: list[dict[str, Any]] = [a[0] for a in answers]
        random = [a[1] for a in answers]
        return states[0] | {
            "policy_state": join([s["policy_state"] for s in states], self._shares),
            "finished": list(self.finished),
            "envs": join_envs([s["envs"] for s in states]),
            "random": random,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        random = state.get("random", [])
        whole = {k: v for k, v in state.items() if k != "random"}
        for i, (share, pipe) in enumerate(zip(self._shares, self._pipes, strict=True)):
            part = whole | {"envs": part_of_envs(whole["envs"], share), "finished": []}
            own = random[i] if len(random) == len(self._shares) else None
            self._send(i, pipe, pickle.dumps(("load", part, own), protocol=5))
        if not all(self._answers()):
            self.algorithm.end_episodes()
        self.finished = [tuple(e) for e in whole["finished"]]
        self.collected = whole["collected"]

    def close(self) -> None:
        """Ends the workers; those that do not close their environments in time are killed."""
        for pipe in self._pipes:
            try:
                pipe.send_bytes(pickle.dumps(("close",)))
            except OSError:  # it is gone already
                continue
        deadline = time.monotonic() + _JOIN
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
