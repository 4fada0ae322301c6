"""Training ends with the evaluation that reaches `eval.stop_at`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rltrain.core.errors import UserError
from rltrain.reports.score import play
from rltrain.settings.run import build_run
from rltrain.training import session
from rltrain.training.run import read_config, read_result, write_result
from rltrain.training.signals import Interrupted
from rltrain.training.tables import read_csv
from tests.conftest import ALGOS, small, some
from tests.training.test_resume import newest, same, stop_after

REACHED, OUT_OF_REACH = "eval.stop_at=-9999", "eval.stop_at=1e6"  # of any environment here


def column(folder: Path, table: str, name: str) -> list[float]:
    return [float(row[name]) for row in read_csv(folder / table)]


@pytest.mark.parametrize("algo", some(ALGOS))
def test_training_ends_with_the_evaluation_that_reaches_it(
    compose: Any, in_tmp: Path, algo: str
) -> None:
    outcome = session.start(compose(*small(algo, REACHED, "run_name=a")))
    result = read_result(outcome.folder)
    assert (outcome.steps, newest(outcome.folder).step) == (96, 96)
    assert (result["state"], result["steps"]) == ("finished", 96)
    assert column(outcome.folder, "evaluations.csv", "time/total_timesteps") == [96]
    assert column(outcome.folder, "progress.csv", "time/total_timesteps") == [48, 96]
    log = (outcome.folder / "run.log").read_text()
    assert f"eval.stop_at: mean reward {outcome.reached:.1f} reached -9999 at step 96" in log


def test_the_score_is_of_other_episodes_than_the_decision(compose: Any, in_tmp: Path) -> None:
    outcome = session.start(compose(*small("ppo", REACHED)))
    assert column(outcome.folder, "evaluations.csv", "eval/mean_reward") == [outcome.reached]
    settings = build_run(read_config(outcome.folder))
    assert outcome.score == play(settings, outcome.folder)[1].mean
    assert outcome.score != outcome.reached
    assert outcome.best == outcome.reached


def test_a_threshold_that_is_met_exactly_is_reached(compose: Any, in_tmp: Path) -> None:
    first = session.start(compose(*small("ppo", REACHED)))
    again = session.start(compose(*small("ppo", f"eval.stop_at={first.reached}")))
    assert again.steps == 96
    above = session.start(compose(*small("ppo", f"eval.stop_at={first.reached + 0.01}")))
    assert above.steps == 192
    assert above.reached is None


def test_the_row_of_the_last_step_is_written_where_none_was_due(compose: Any, in_tmp: Path) -> None:
    folder = session.start(compose(*small("ppo", REACHED, "logger.every=10_000"))).folder
    assert column(folder, "progress.csv", "time/total_timesteps") == [96]


def test_what_is_not_reached_changes_nothing(compose: Any, in_tmp: Path) -> None:
    without = session.start(compose(*small("ppo", "run_name=a")))
    out_of_reach = session.start(compose(*small("ppo", OUT_OF_REACH, "run_name=b")))
    same(without.folder, out_of_reach.folder)
    assert out_of_reach.reached is None


@pytest.mark.parametrize("algo", some(ALGOS))
def test_stopped_before_and_resumed_it_ends_the_same_way(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, algo: str
) -> None:
    whole = session.start(compose(*small(algo, REACHED, "run_name=whole")))
    stop_after(60, monkeypatch)
    with pytest.raises(Interrupted):
        session.start(compose(*small(algo, REACHED, "run_name=a")))
    monkeypatch.undo()
    monkeypatch.chdir(in_tmp)
    resumed = session.resume(in_tmp / "outputs/a", None, {})
    same(in_tmp / whole.folder, resumed.folder)
    assert (resumed.score, resumed.reached) == (whole.score, whole.reached)


def test_killed_between_the_last_checkpoint_and_the_result(compose: Any, in_tmp: Path) -> None:
    ended = session.start(compose(*small("ppo", REACHED, "run_name=a")))
    write_result(ended.folder, state="running")
    resumed = session.resume(ended.folder, None, {})
    assert (resumed.steps, resumed.score, resumed.reached) == (96, ended.score, ended.reached)
    assert read_result(ended.folder)["state"] == "finished"


@pytest.mark.parametrize("algo", some(ALGOS))
@pytest.mark.parametrize("stop_at", [None, 1e6])
def test_resumed_without_it_the_run_is_the_one_that_never_had_it(
    compose: Any, in_tmp: Path, algo: str, stop_at: float | None
) -> None:
    whole = session.start(compose(*small(algo, "run_name=whole"))).folder
    ended = session.start(compose(*small(algo, REACHED, "run_name=a"))).folder
    outcome = session.resume(ended, None, {"eval.stop_at": stop_at})
    same(whole, ended)
    assert outcome.reached is None
    assert read_result(ended)["score"] == read_result(whole)["score"]


@pytest.mark.parametrize("changes", [{}, {"total_timesteps": 400}, {"eval.stop_at": -2.0}], ids=str)
def test_a_run_that_it_ended_says_what_to_change(
    compose: Any, in_tmp: Path, changes: dict[str, Any]
) -> None:
    folder = session.start(compose(*small("ppo", REACHED, "run_name=a"))).folder
    message = r"is finished: .* reached eval\.stop_at=-\d+ at step 96.*eval\.stop_at=null"
    with pytest.raises(UserError, match=message):
        session.resume(folder, None, changes)
    (file,) = (folder / "checkpoints").glob("step_*")
    with pytest.raises(UserError, match=r"^eval\.stop_at=-\d+: .* ended the run.*stop_at=null"):
        session.resume(folder, file, {"total_timesteps": 400} | changes)


def test_a_sweep_takes_it_for_finished(compose: Any, in_tmp: Path) -> None:
    values = compose(*small("ppo", REACHED))
    assert session.start_in(in_tmp / "job", values) is not None
    assert session.start_in(in_tmp / "job", values) is None
