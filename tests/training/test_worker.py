"""A worker's policy sees all environments and answers for its share alone."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
from gymnasium import spaces

from rltrain.training.arena import Share
from rltrain.training.worker import _SharePolicy, work

SHARE = Share(first=1, count=2, total=4)


class Recorder:
    """A policy that acts with 10 · obs and a draw for each environment, and notes what it saw."""

    def __init__(self) -> None:
        self.seen: list[list[float]] = []
        self.ended: list[list[bool]] = []

    def initial_state(self, num_envs: int) -> Any:
        return np.zeros(num_envs)

    def restart(self, state: Any, ended: Any) -> Any:
        self.ended.append(ended.tolist())
        return state

    def act(self, obs: Any, state: Any, explore: bool, rng: np.random.Generator) -> Any:
        self.seen.append(obs[:, 0].tolist())
        return 10 * obs[:, 0], state + 1, {"chance": rng.random(len(obs))}


def test_a_share_acts_as_its_rows_of_all_would() -> None:
    recorder: Any = Recorder()
    policy = _SharePolicy(recorder, SHARE, spaces.Box(-9, 9, (1,), np.float32))
    state = policy.initial_state(2)
    assert state.shape == (4,)
    obs = np.array([[3], [5]], np.float32)
    action, state, extras = policy.act(obs, state, True, np.random.default_rng(0))
    assert recorder.seen == [[0, 3, 5, 0]]
    assert action.tolist() == [30, 50]
    assert state.tolist() == [1, 1, 1, 1]
    assert extras["chance"].tolist() == np.random.default_rng(0).random(4)[1:3].tolist()
    policy.restart(state, np.array([False, True]))
    assert recorder.ended == [[False, False, True, False]]


def test_a_worker_can_be_named_to_a_process_that_imports_it_anew() -> None:
    assert pickle.loads(pickle.dumps(work)) is work
