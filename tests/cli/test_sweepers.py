"""Sweeps defined in files, and sweepers that go by the scores that jobs return."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper

from rltrain.training.run import read_result
from tests.cli.conftest import Run
from tests.conftest import small

BASIC = "hydra/launcher=basic"

SEEDS = """\
# @package _global_
hydra:
  mode: MULTIRUN
  sweeper:
    params: {params}
"""
SEARCH = """\
# @package _global_
defaults: [override /hydra/sweeper: toy]
hydra:
  mode: MULTIRUN
  sweeper:
    direction: maximize
    params: {"algo.learning_rate": "interval(0.1,0.9)"}
"""


def experiment(text: str) -> None:
    folder = Path("configs/experiment")
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(text)


def jobs(in_tmp: Path) -> dict[str, str]:
    """The name and the state of each job."""
    folders = in_tmp.glob("outputs/sweeps/*/*/")
    return {folder.name: str(read_result(folder).get("state")) for folder in sorted(folders)}


LAUNCHERS = pytest.mark.parametrize(
    "how",
    [["jobs=2"], *(pytest.param([w], marks=pytest.mark.slow) for w in ("jobs=1", BASIC))],
    ids=str,
)
TINY = small("q_learning", "eval.episodes=1")


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ('{seed: "0,1"}', {"seed=0", "seed=1"}),
        ('{seed: "range(2)", algo.gamma: 0.5}', {"seed=0", "seed=1"}),
        (
            '{env.kwargs.is_slippery: "choice(true,false)"}',
            {"env.kwargs.is_slippery=True", "env.kwargs.is_slippery=False"},
        ),
        ('{eval: "glob(def*)", seed: "3,4"}', {"eval=default,seed=3", "eval=default,seed=4"}),
    ],
)  # fmt: skip
def test_a_sweep_in_a_file_is_named_and_continued_as_a_typed_one(
    params: str, names: set[str], run: Run, in_tmp: Path
) -> None:
    experiment(SEEDS.replace("{params}", params))
    code, _, err = run("+experiment=mine", *TINY, "jobs=1")
    assert code == 0, err
    assert jobs(in_tmp) == dict.fromkeys(names, "finished")
    code, out, err = run("+experiment=mine", *TINY, "jobs=1")
    assert (code, out.count("finished earlier")) == (0, len(names)), err


def test_typed_values_outrank_those_of_the_file(run: Run, in_tmp: Path) -> None:
    experiment(SEEDS.replace("{params}", '{seed: "0,1", algo.gamma: "0.5,0.9"}'))
    assert run("+experiment=mine", *TINY, "seed=7,8", "algo.gamma=0.3", "jobs=1")[0] == 0
    assert set(jobs(in_tmp)) == {"algo.gamma=0.3,seed=7", "algo.gamma=0.3,seed=8"}


def test_jobs_of_a_sweep_in_a_file_can_run_side_by_side(run: Run, in_tmp: Path) -> None:
    experiment(SEEDS.replace("{params}", '{seed: "0,1"}'))
    code, out, err = run("+experiment=mine", *TINY, "jobs=2")
    assert code == 0, err
    assert "jobs: 2 in all, 2 at a time" in err
    assert "2 of 2 jobs finished" in out


def test_a_group_without_a_default_is_answered_with_the_line_that_works(run: Run) -> None:
    experiment(SEEDS.replace("{params}", '{seed: "0,1"}'))
    code, _, err = run("experiment=mine", *TINY)
    assert code == 2
    assert "+experiment=mine" in err
    code, _, err = run("+experiment=min", *TINY)
    assert (code, "Did you mean mine?" in err) == (2, True)


def test_a_single_run_takes_no_number_of_jobs(run: Run, in_tmp: Path) -> None:
    code, _, err = run(*TINY, "jobs=2")
    assert (code, "jobs=2 is for a sweep (-m)" in err) == (2, True)
    assert not jobs(in_tmp)


def test_launchers_with_keys_of_their_own_take_no_number_of_jobs(run: Run) -> None:
    text = "# @package _global_\ndefaults: [override /hydra/launcher: basic]\n"
    experiment(text + SEEDS.split("\n", 1)[1].replace("{params}", '{seed: "0,1"}'))
    code, _, err = run("+experiment=mine", *TINY, "jobs=2")
    assert code == 2
    assert "has keys of its own" in err
    assert len(err.splitlines()) == 1


class Search(Sweeper):
    """Halves an interval towards the better score, as optimizers do: a few jobs at a time."""

    told: list[Any] = []  # noqa: RUF012  of the last sweep

    def __init__(self, params: dict[str, str], direction: str) -> None:
        self.params = params

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        (key,) = self.params
        low, high = 0.1, 0.9
        Search.told = []
        for batch in range(2):
            middle = (low + high) / 2
            values = [(low + middle) / 2, (middle + high) / 2]
            overrides = [[*arguments, f"{key}={value}"] for value in values]
            done = self.launcher.launch(overrides, initial_job_idx=2 * batch)
            scores = [job.return_value for job in done]
            Search.told += scores
            low, high = (low, middle) if scores[0] > scores[1] else (middle, high)


@pytest.fixture
def _search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `hydra/sweeper=toy` a choice, as a package with a sweeper does."""
    target = "hydra_plugins.toys.Search"
    monkeypatch.setitem(Plugins.instance().class_name_to_class, target, Search)
    node = {"_target_": target, "direction": "minimize", "params": {}}
    monkeypatch.setattr(ConfigStore.instance(), "repo", deepcopy(ConfigStore.instance().repo))
    ConfigStore.instance().store("toy", node, group="hydra/sweeper", provider="toys")


@pytest.mark.usefixtures("_search")
@LAUNCHERS
def test_a_sweeper_is_told_the_score_of_each_job(how: list[str], run: Run, in_tmp: Path) -> None:
    experiment(SEARCH)
    code, out, err = run("+experiment=mine", *TINY, *how)
    assert code == 0, err
    found = {p.name: read_result(p)["score"] for p in in_tmp.glob("outputs/sweeps/*/*/")}
    assert len(found) == 4
    assert Search.told[:2] == [
        found["algo.learning_rate=0.3"],
        found["algo.learning_rate=0.7"],
    ]
    assert sorted(Search.told) == sorted(found.values())
    assert "4 of 4 jobs finished" in out
    assert "best " in out
    told = Search.told
    code, out, _ = run("+experiment=mine", *TINY, *how)
    assert (code, out.count("finished earlier")) == (0, 4)
    assert Search.told == told


@pytest.mark.usefixtures("_search")
@LAUNCHERS
def test_a_job_that_fails_is_an_error_to_a_sweeper_that_goes_by_scores(
    how: list[str], run: Run, in_tmp: Path
) -> None:
    experiment(SEARCH)
    code, out, err = run("+experiment=mine", *TINY, *how, "env.kwargs.no_such=1")
    assert code == 1
    assert Search.told == []
    assert set(jobs(in_tmp).values()) == {"failed"}
    assert "0 of 2 jobs finished" in out
    assert "no such argument" in out
    assert "Traceback" not in err


@pytest.mark.usefixtures("_search")
def test_a_sweeper_that_goes_by_scores_needs_evaluations(run: Run, in_tmp: Path) -> None:
    experiment(SEARCH)
    code, _, err = run("+experiment=mine", *TINY, "eval.every=0")
    assert (code, "eval.every=0: this sweeper goes by scores" in err) == (2, True)
    assert not jobs(in_tmp)


@pytest.mark.usefixtures("_search")
def test_looking_for_the_lowest_return_is_warned_of(run: Run) -> None:
    experiment(SEARCH.replace("maximize", "minimize"))
    err = run("+experiment=mine", *TINY, "jobs=1")[2]
    assert "hydra.sweeper.direction=maximize for the highest" in err
    typed = "hydra.sweeper.direction=maximize"
    assert "the lowest" not in run("+experiment=mine", *TINY, "jobs=1", typed)[2]
