"""Sampling in worker processes: each steps its share of the environments for a whole horizon.

A worker is the inline sampler over a share, with a policy of its own and memory that is
shared: it is given the policy's state, and says when its part of the horizon is written.
Every worker computes the actions of all B environments, its own rows filled in, and draws
all random numbers, so that each row comes out of the same products and the same chance as
inline: numbers are equal to the last bit.

Legend: T steps of a horizon, B environments, W workers.
"""

from __future__ import annotations

import logging
import os
import pickle
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np
import torch
from gymnasium import Space
from numpy.typing import NDArray

from rltrain.algos.base import Algorithm, Policy, PolicyState
from rltrain.core import processes, seeding
from rltrain.core.errors import RltrainError, TrainingError
from rltrain.core.spaces import dtype_of, shape_of
from rltrain.core.state import Stateful
from rltrain.core.types import Progress, Rows, Transition
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
    tensors,
)
from rltrain.training.sampler import InlineSampler

_POLL = 0.1  # seconds between looks at signals and at the parent
_JOIN = 5.0  # seconds that a worker has to close its environments


class _SharePolicy:
    """Acts for a share as the policy does for all B environments."""

    def __init__(self, policy: Policy, share: Share, observation_space: Space) -> None:
        self.policy = policy
        self.share = share
        shape = shape_of(observation_space)
        self._obs: Rows = np.zeros((share.total_rows, *shape), dtype_of(observation_space))
        self._ended = np.zeros(share.total_rows, np.bool_)

    def initial_state(self, num_envs: int) -> PolicyState:
        return self.policy.initial_state(self.share.total_rows)

    def restart(self, state: PolicyState, ended: NDArray[np.bool_]) -> PolicyState:
        self._ended[self.share.rows] = ended
        return self.policy.restart(state, self._ended)

    def act(
        self, obs: Rows, state: PolicyState, explore: bool, rng: np.random.Generator
    ) -> tuple[Rows, PolicyState, dict[str, Rows]]:
        rows = self.share.rows
        self._obs[rows] = obs
        action, state, extras = self.policy.act(self._obs, state, explore, rng)
        return action[rows], state, {name: values[rows] for name, values in extras.items()}


class _ShareMemory:
    """Writes a share's steps where the parent reads them."""

    def __init__(self, arena: Arena, share: Share) -> None:
        self.arena = arena
        self.share = share
        self.position = 0

    def add(self, step: Transition) -> None:
        self.arena.write(self.position, self.share.rows, step)
        self.position += 1


class _Actor:
    """All of an algorithm that the inline sampler needs in a worker."""

    def __init__(self, policy: _SharePolicy, memory: _ShareMemory) -> None:
        self.policy: Any = policy
        self.memory: Any = memory

    def end_episodes(self) -> None:
        """The parent's memory is told by the parent."""


def _work(
    run: RunSettings, number: int, share: Share, arena: Arena, pipe: Connection, parent: int
) -> None:
    """A worker process: answers requests until its parent is gone."""
    processes.die_with_parent(parent)
    processes.ignore_stop_signals()
    logging.getLogger("rltrain").setLevel(logging.WARNING)  # the parent has said what is built
    try:
        worker = _Worker(run, number, share, arena)
        pipe.send(("ready", worker.sampler.why_not_saved))
        while True:
            while not pipe.poll(_POLL):
                if os.getppid() != parent:
                    return
            name, *arguments = pickle.loads(pipe.recv_bytes())
            if name == "close":
                worker.sampler.close()
                return
            pipe.send(("done", getattr(worker, name)(*arguments)))
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        where = traceback.format_exc()
        known = isinstance(error, RltrainError)
        pipe.send(("error", error if known else f"{type(error).__name__}: {error}", where))


class _Worker:
    """What a worker can be asked for."""

    def __init__(self, run: RunSettings, number: int, share: Share, arena: Arena) -> None:
        self.arena = arena
        self.horizon = 0
        # Before the first parallel region: a process that was forked has none of the parent's
        # threads, and would wait for them forever.
        torch.set_num_threads(1)
        seeding.seed_everything(run.seed)
        envs = build.build_envs(run, share.first, share.count)
        spaces = build.Spaces(envs.observation_space, envs.action_space, share.total, envs.agents)
        # One thread and the CPU, whatever the parent computes its updates with.
        algorithm = build.build_algorithm(
            build.without_data(replace(run, device="cpu", num_threads=1)), spaces
        )
        self.policy = algorithm.policy
        seeding.seed_everything(seeding.derive(run.seed, "worker", number))
        self.memory = _ShareMemory(arena, share)
        actor: Any = _Actor(_SharePolicy(self.policy, share, envs.observation_space), self.memory)
        self.sampler = InlineSampler(envs, actor, seeding.generator(run.seed, "acting"))

    def collect(
        self, horizon: int, policy: dict[str, Any] | None
    ) -> tuple[int, list[Episode], dict[str, float]]:
        """Goes on to `horizon`, or to where the arena's limit is; says where it stopped."""
        if policy is not None:
            self.policy.load_state_dict(tensors(policy))
        sampler, limit = self.sampler, self.arena.limit
        self.memory.position = sampler.collected

        def stop() -> bool:
            return bool(0 <= limit.value <= sampler.collected)

        complete = sampler.collect(horizon, Progress(1), stop)
        at = horizon if complete else sampler.collected
        return at, sampler.take_episodes(), sampler.take_seconds()

    def prepare_save(self, at: int) -> None:
        self.sampler.prepare_save(at)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.sampler.state_dict(), seeding.global_state()

    def load(self, state: dict[str, Any], random: dict[str, Any] | None) -> bool:
        """False where new episodes had to begin."""
        self.sampler.load_state_dict(state)
        if random is not None:
            seeding.set_global_state(random)
        return not self.sampler.lost


class ProcessSampler(Stateful):
    """Has W worker processes step the environments, a horizon at a time.

    Its state is that of the inline sampler, so that a run may go on under either; beside
    it stands `random`, the workers' global random generators.

    Raises:
        TrainingError: a worker died, or its environment raised what is no error of ours.
    """

    def __init__(
        self, run: RunSettings, algorithm: Algorithm, spaces: build.Spaces, workers: int
    ) -> None:
        self.algorithm = algorithm
        self.num_envs = spaces.num_envs
        self.collected = 0
        self.finished: list[tuple[int, float, int]] = []
        self.seconds = {"env": 0.0, "act": 0.0}
        self._arena = Arena(algorithm.horizon, example(algorithm.policy, spaces))
        self._unordered: list[list[Episode]] = [[] for _ in range(spaces.num_rows)]
        self._shares = shares(spaces.num_envs, workers, max(1, len(spaces.agents)))
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        context = processes.context()
        for number, share in enumerate(self._shares):
            ours, theirs = context.Pipe()
            process = context.Process(  # type: ignore[attr-defined] # every context has it
                target=_work,
                args=(run, number, share, self._arena, theirs, os.getpid()),
                name=f"rltrain-worker-{number}",
                daemon=False,  # an environment may have processes of its own
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        try:
            self.why_not_saved: str | None = self._answers()[0]
        except BaseException:
            self.close()
            raise

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
            self.algorithm.memory.add(step)
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
            at, episodes, seconds = answer
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
            for pipe in wait([*waiting], _POLL):
                number = waiting.pop(pipe)  # type: ignore[call-overload] # they are pipes
                answers[number] = self._receive(number, pipe)
        return [answers[i] for i in sorted(answers)]

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
