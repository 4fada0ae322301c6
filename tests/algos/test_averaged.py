from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rltrain.algos.averaged import Averaged, parameters_of
from rltrain.core.errors import UserError
from rltrain.core.types import Progress
from rltrain.reports import score
from rltrain.settings.run import build_run
from rltrain.training import checkpoint, session
from rltrain.training import run as folders
from tests.algos.test_base import build
from tests.conftest import small


def test_the_average_by_hand(compose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """d = ½: 1 and 4 give (½·1 + 4) / 1.5; two steps to 8 (¼·4.5 + 1.5·8) / 1.875."""
    algorithm, _ = build(compose, "dqn", "ema=0.5")
    assert isinstance(algorithm, Averaged)
    values = iter([(1.0, 1), (4.0, 1), (9.0, 0), (8.0, 2)])

    def update(progress: Progress) -> dict[str, Any]:
        value, steps = next(values)
        progress.updates += steps
        with torch.no_grad():
            for p in parameters_of(algorithm.policy):
                p.fill_(value)
        return {}

    monkeypatch.setattr(algorithm.inner, "update", update)
    progress, found = Progress(100), []
    for _ in range(4):
        algorithm.update(progress)
        found.append(float(algorithm.average[0].flatten()[0]))
    assert found == pytest.approx([1, 3, 3, (0.25 * 4.5 + 1.5 * 8) / 1.875])


@pytest.mark.parametrize("kernels", ["numpy", "torch"])
def test_evaluation_sees_the_average_and_training_does_not(compose: Any, kernels: str) -> None:
    algorithm, sampler = build(compose, "ppo", "ema=0.9", f"kernels={kernels}")
    progress = Progress(1000)
    for _ in range(2):
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
    newest = [p.detach().clone() for p in parameters_of(algorithm.policy)]
    obs, rng = sampler.envs.obs, sampler.rng
    before = algorithm.policy.act(obs, None, True, rng)[2]["value"].copy()
    with algorithm.evaluated() as policy:
        assert not torch.equal(newest[0], parameters_of(policy)[0])
        assert torch.equal(algorithm.average[0], parameters_of(policy)[0])
        inside = policy.act(obs, None, True, rng)[2]["value"].copy()
    assert all(map(torch.equal, newest, parameters_of(algorithm.policy)))
    after = algorithm.policy.act(obs, None, True, rng)[2]["value"]
    assert (after == before).all()
    assert abs(inside - before).max() > 1e-6


def test_before_the_first_step_the_policy_is_evaluated_and_saved_as_it_is(compose: Any) -> None:
    """init_from takes parameters over after the average was made."""
    algorithm, _ = build(compose, "dqn", "ema=0.9")
    with torch.no_grad():
        for p in parameters_of(algorithm.policy):
            p.fill_(2.0)
    with algorithm.evaluated() as policy:
        assert all((p == 2).all() for p in parameters_of(policy))
    assert all((p == 2).all() for p in algorithm.state_dict()["average"])


@pytest.mark.parametrize("algo", ["dqn", "sac"])
def test_a_run_from_another_one_is_as_good_before_it_learns(
    compose: Any, in_tmp: Path, algo: str
) -> None:
    session.start(compose(*small(algo, "run_name=first")))
    keys = ("init_from=outputs/first", "algo.learning_starts=1000")
    plain = session.start(compose(*small(algo, *keys, "run_name=plain")))
    outcome = session.start(compose(*small(algo, *keys, "ema=0.9", "run_name=ema")))
    assert outcome.score == plain.score
    settings = build_run(folders.read_config(outcome.folder))
    assert score.play(settings, outcome.folder)[1].mean == outcome.score


def test_a_run_saves_and_evaluates_the_average(compose: Any, in_tmp: Path) -> None:
    values = compose(*small("ppo", "ema=0.9", "run_name=a", "checkpoint.every=0"))
    outcome = session.start(values)
    folder = outcome.folder
    store = checkpoint.CheckpointFolder(folder / "checkpoints", 1)
    full, best = store.load_newest()[0].content, checkpoint.read(store.best)
    settings = build_run(folders.read_config(folder))
    _, policy = score.load_policy(settings, folder)
    for a, b in zip(parameters_of(policy), full["algorithm"]["average"], strict=True):
        assert torch.equal(a, b)
    newest = full["policy"]["networks"]
    assert not torch.equal(policy.networks.actor[1].weight, newest["actor.1.weight"])
    if best.step == full["progress"]["steps"]:
        saved = best.content["policy"]["networks"]["actor.1.weight"]
        assert torch.equal(policy.networks.actor[1].weight, saved)
    assert score.play(settings, folder)[1].mean == outcome.score


def test_a_table_has_none(compose: Any) -> None:
    with pytest.raises(UserError, match=r"ema=0\.9: algo=q_learning is tabular"):
        build_run(compose("algo=q_learning", "env=FrozenLake-v1", "ema=0.9"))
