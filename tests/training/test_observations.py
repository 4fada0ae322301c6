"""Observations of several parts go the same way whether runs are stopped, resumed or spread
over processes, with every algorithm that has a network and steps environments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rltrain.training import checkpoint, session
from tests.conftest import STEPPING, algo_entry, slow, small
from tests.training.test_resume import same
from tests.training.test_workers import same as same_but_for_workers

EVERY = "env=rltrain.envs.sights:rltrain/EverySight-v0"
TWO = "env=rltrain.envs.teams:rltrain/TwoSights-v0"
TAKING = [a for a in STEPPING if "Dict" in algo_entry(a).observations]


def overrides(algo: str, *more: str) -> list[str]:
    continuous = "Discrete" not in algo_entry(algo).actions
    kwargs: tuple[str, ...] = (
        f"env.kwargs.continuous={str(continuous).lower()}",
        "env.kwargs.length=7",
    )
    small_network = ("network.hidden_sizes=[16]", "algo.normalize_obs=true")
    env = EVERY
    if algo_entry(algo).multi_agent:
        env, kwargs = TWO, (*kwargs, "algo.agent_id=false")
    return [*small(algo, env, *kwargs, *small_network), *more]


@pytest.mark.parametrize(
    ("algo", "more"),
    [
        *[(algo, ()) if algo == "ppo" else slow(algo, ()) for algo in TAKING],
        slow("ppo", ("network=lstm",)),
        slow("a2c", ("network=gru", "network.shared=true")),
        slow("dqn", ("network=gru",)),
        slow("ppo", ("intrinsic=rnd",)),
    ],
    ids=str,
)
def test_spread_over_processes_and_resumed_exactly(
    compose: Any, in_tmp: Path, algo: str, more: tuple[str, ...]
) -> None:
    whole = session.start(compose(*overrides(algo, *more, "run_name=whole"))).folder
    workers = ("sampler=processes", "num_workers=2", "run_name=spread")
    spread = session.start(compose(*overrides(algo, *more, *workers))).folder
    same_but_for_workers(whole, spread)
    file = sorted((spread / "checkpoints").glob("step_*"))[0]
    found = checkpoint.read(file)
    assert found.step < 192
    assert found.content["sampler"]["envs"]["lengths"].any()  # saved in mid-episode
    session.resume(spread, file, {"sampler": "inline"})
    same(whole, spread)
