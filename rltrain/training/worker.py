"""A worker process: steps its share of the environments when its parent asks for it.

Legend: T steps of a horizon, B environments, W workers.
"""

from __future__ import annotations

import functools
import logging
import os
import pickle
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from gymnasium import Space
from numpy.typing import NDArray

from rltrain.algos.base import Policy, PolicyState
from rltrain.core import processes, seeding
from rltrain.core.errors import RltrainError
from rltrain.core.spaces import dtype_of, shape_of
from rltrain.core.types import Progress, Rows, Transition
from rltrain.envs.saving import Verdict
from rltrain.envs.supervisor import Remark
from rltrain.envs.vector import Episode
from rltrain.settings.run import RunSettings
from rltrain.training import build
from rltrain.training.arena import Arena, Share, tensors
from rltrain.training.sampler import InlineSampler

POLL = 0.1  # seconds between looks at signals and at the parent


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

    def end_episodes(self, which: NDArray[np.bool_]) -> None:
        """The parent's memory is told by the rows that it reads."""

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


def work(
    run: RunSettings,
    number: int,
    share: Share,
    verdict: Verdict,
    arena: Arena,
    pipe: Connection,
    parent: int,
) -> None:
    """A worker process: answers requests until its parent is gone."""
    processes.die_with_parent(parent)
    processes.ignore_stop_signals()
    logging.getLogger("rltrain").setLevel(logging.WARNING)  # the parent has said what is built
    try:
        worker = _Worker(run, number, share, verdict, arena)
        pipe.send(("ready", None))
        while True:
            while not pipe.poll(POLL):
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
        if isinstance(error, RltrainError) and error.__cause__ is not None:
            error.trace = where  # which a pipe does not carry
        pipe.send(("error", error if known else f"{type(error).__name__}: {error}", where))


class _Worker:
    """What a worker can be asked for."""

    def __init__(
        self, run: RunSettings, number: int, share: Share, verdict: Verdict, arena: Arena
    ) -> None:
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
        rng = seeding.generator(run.seed, "acting")
        if run.env.step_timeout is not None:
            envs.supervisor.note_call = functools.partial(arena.note_call, number)
        self.sampler = InlineSampler(envs, actor, rng, verdict)
        self.remarks: list[Remark] = []
        self.sampler.tell = self.remarks.append

    def collect(
        self, horizon: int, policy: dict[str, Any] | None
    ) -> tuple[int, list[Episode], dict[str, float], list[Remark]]:
        """Goes on to `horizon`, or to where the arena's limit is; says where it stopped."""
        if policy is not None:
            self.policy.load_state_dict(tensors(policy))
        sampler, limit = self.sampler, self.arena.limit
        self.memory.position = sampler.collected

        def stop() -> bool:
            return bool(0 <= limit.value <= sampler.collected)

        complete = sampler.collect(horizon, Progress(1), stop)
        at = horizon if complete else sampler.collected
        remarks, self.remarks[:] = [*self.remarks], []
        return at, sampler.take_episodes(), sampler.take_seconds(), remarks

    def why_not_now(self) -> str | None:
        return self.sampler.envs.why_not_now()

    def give_up(self, reason: str) -> None:
        self.sampler.give_up(reason)

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
