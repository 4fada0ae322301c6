"""Every allowed pair of choices trains, resumes exactly and keeps what must hold for each.

Features were tested alone, and their pairs had faults: a bonus without a bound, targets that
moved too seldom, values that were never taken, noise that changed nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rltrain.algos.dqn import DQNLearner
from rltrain.core.errors import UserError
from rltrain.fast.q_network import NumpyDQNLearner
from rltrain.intrinsic.rnd import RandomNetworkDistillation
from rltrain.reports.score import load_policy
from rltrain.settings import registry
from rltrain.settings.run import build_run
from rltrain.training import session
from rltrain.training.run import read_config
from tests import datasets
from tests.conftest import SMALL
from tests.training import kinds
from tests.training.pairs import (
    ACTIONS,
    Row,
    covering_array,
    entry_of,
    levels,
    needs_data,
    pairs_of,
)
from tests.training.test_resume import newest, same

ROWS = covering_array()
NARROW = {
    "mlp": ["network.hidden_sizes=[16,16]"],
    "lstm": ["network.hidden_sizes=[8]", "network.state_size=8"],
    "gru": ["network.hidden_sizes=[8]", "network.state_size=8"],
    "simba": ["network.width=8", "network.blocks=1"],
    "transformer": ["network.width=8", "network.window=4"],
    "none": [],
}
# A temperature that the values of a short run do not outgrow.
WARM = {"boltzmann": ["exploration.final_temperature=5.0"]}


def overrides(row: Row) -> list[str]:
    """A run of a second: the algorithm's own small one, with the row's choices."""
    entry, several = entry_of(row["algo"]), row["agents"] == "2"
    small = SMALL.get(row["algo"], SMALL.get(entry.name, []))
    make = "two" if several else "one"
    keys = [
        *(key for key in small if not key.startswith(("env", "network", "exploration"))),
        f"algo={row['algo']}",
        f"env=tests.training.kinds:{make}",
        f"env.kwargs.actions={row['actions']}",
        f"env.num_envs={row['num_envs']}",
        *(f"{group}={row[group]}" for group in ("exploration", "intrinsic", "optimizer", "ema")),
        f"network={row['network']}",
        *NARROW.get(row["network"], []),
        *WARM.get(row["exploration"], []),
    ]
    if registry.entry("network", row["network"]).recurrent:
        keys += ["network.burn_in=3", "network.sequence_length=6"]
    if "Box" not in entry.observations:
        keys += ["env.kwargs.table=true"]
    if needs_data(row["algo"]):
        keys += [f"dataset={data(row['actions'])}"]
    return [
        *keys,
        "tuned=none",
        "total_timesteps=192",
        "checkpoint.every=96",
        "eval.every=96",
        "eval.episodes=2",
        "logger.console=off",
        "logger.tensorboard=false",
        "sampler=inline",
    ]


def data(actions: str) -> str:
    """Return the id of a dataset of random actions, made where it is not there yet."""
    name = f"kinds/{actions.replace('_', '-')}-v0"
    if not os.path.exists(os.path.join(os.environ["MINARI_DATASETS_PATH"], name)):
        env = kinds.one(actions)
        datasets.write(name, env, datasets.play(env, 8, seed=0))
    return name


def arrays(tree: Any) -> Iterator[np.ndarray[Any, Any]]:
    """The arrays of floats in a checkpoint."""
    if isinstance(tree, torch.Tensor):
        tree = tree.detach().float().numpy()
    if isinstance(tree, np.ndarray):
        if tree.dtype.kind == "f":
            yield tree
    elif isinstance(tree, dict | list | tuple):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from arrays(part)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The largest bonus, and how many target updates there were."""
    seen = {"bonus": 0.0, "targets": 0.0}
    reward = RandomNetworkDistillation.reward

    def watched_reward(self: Any, successor: Any) -> Any:
        bonus = reward(self, successor)
        seen["bonus"] = max(seen["bonus"], float(np.abs(bonus).max()))
        return bonus

    monkeypatch.setattr(RandomNetworkDistillation, "reward", watched_reward)
    for learner in (DQNLearner, NumpyDQNLearner):
        update: Any = learner.update_target

        def watched_update(self: Any, count: int = 1, update: Any = update) -> None:
            seen["targets"] += count
            update(self, count)

        monkeypatch.setattr(learner, "update_target", watched_update)
    kinds.TAKEN.clear()
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(row.values()))
def test_a_pair_trains_and_resumes(
    compose: Any, in_tmp: Path, watched: dict[str, float], row: Row
) -> None:
    whole = session.start(compose(*overrides(row), "run_name=whole")).folder
    taken, targets = np.array([np.asarray(a) for a in kinds.TAKEN]), watched["targets"]
    content = newest(whole).content

    assert all(np.isfinite(array).all() for array in arrays([content["algorithm"]]))
    assert watched["bonus"] <= 10 + 1e-5  # deviations, with a coef of 1
    check_actions(row, taken)
    settings = build_run(read_config(whole))
    interval = getattr(settings.algo, "target_update_interval", None)
    if interval is not None:
        learners = 2 if row["agents"] == "2" and not settings.algo.share_parameters else 1
        # What is due once the last step is taken moves in the next training.
        due = learners * (192 - settings.algo.train_freq) // interval
        assert due <= targets <= learners * 192 // interval
    check_noise(settings, whole)

    other = whole.with_name("other")
    shutil.copytree(whole, other)
    session.resume(other, sorted((other / "checkpoints").glob("step_*"))[0], {})
    same(whole, other)


def check_actions(row: Row, taken: np.ndarray[Any, Any]) -> None:
    """Each value of each component was taken, and of a wide range both ends."""
    if entry_of(row["algo"]).data == "only":  # it acts in evaluations alone, and greedily
        return
    space: Any = kinds.ACTIONS[row["actions"]]
    columns = taken.reshape(len(taken), -1)
    if isinstance(space, spaces.Box) and np.dtype(space.dtype).kind == "f":
        low, width = space.low.reshape(-1), (space.high - space.low).reshape(-1)
        share = (columns - low) / width
        assert (share.min(0) < 0.25).all()
        assert (share.max(0) > 0.75).all()
        return
    counts = {
        "discrete": [3],
        "multi_discrete": [2, 3],
        "multi_binary": [2, 2],
        "integer_box": [4],
    }[row["actions"]]
    for column, count in zip(columns.T, counts, strict=True):
        assert set(column.tolist()) == set(range(count))


def check_noise(settings: Any, folder: Path) -> None:
    """Acting with exploration differs from acting without it."""
    _, policy = load_policy(settings, folder)
    rng = np.random.default_rng(0)
    agents = 2 if "two" in settings.env.id else 1
    rows = 40 * agents
    obs = rng.uniform(-1, 1, (rows, 2)).astype(np.float32)
    if settings.env.kwargs.get("table"):
        obs = rng.integers(5, size=rows)
    greedy, *drawn = (
        policy.act(obs, policy.initial_state(rows), explore, rng)[0]
        for explore in [False] + 20 * [True]
    )
    assert any((actions != greedy).any() for actions in drawn)


def left_out() -> list[tuple[Row, Row]]:
    """A row of each algorithm with one level that no row of its own has, and that level."""
    held = {pair for row in ROWS for pair in pairs_of(row)}
    first = {row["algo"]: row for row in reversed(ROWS)}
    return [
        (first[algo], {name: level})
        for algo in levels()["algo"]
        for name in levels()
        if name != "algo"
        for level in levels()[name]
        if frozenset({("algo", algo), (name, level)}) not in held
    ]


@pytest.mark.slow
def test_what_no_row_holds_is_refused(compose: Any) -> None:
    """A choice that the array leaves out for an algorithm is one that rltrain does not take."""
    assert len(left_out()) > 50
    for row, change in left_out():
        values = compose(*overrides({**row, **change}))
        with pytest.raises(UserError):
            session._checked(values)


def test_every_choice_is_in_a_row() -> None:
    assert set(ACTIONS) == set(kinds.ACTIONS)
    for name, choices in levels().items():
        assert {row[name] for row in ROWS} == set(choices)
