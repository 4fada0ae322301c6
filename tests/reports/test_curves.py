"""`rltrain plot`: which runs are one line, what it is called, and which values it goes through."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rltrain.core.errors import UserError
from rltrain.reports import curves
from rltrain.training.run import write_config
from rltrain.training.tables import CSVTable

plt = pytest.importorskip("matplotlib.pyplot")
Compose = Callable[..., dict[str, Any]]


def made(folder: Path, config: dict[str, Any], values: list[float], evaluated: float = 0) -> Path:
    """A run folder with returns at steps 100, 200, … and one evaluation at the end."""
    folder.mkdir(parents=True)
    write_config(folder, config)
    table = CSVTable(folder / "progress.csv")
    for i, value in enumerate(values):
        table.write(100 * (i + 1), {curves.COLUMN: value})
    evaluations = CSVTable(folder / "evaluations.csv")
    for step in (100, 200):
        evaluations.write(step, {"eval/mean_reward": evaluated})
    return folder


def drawn(*targets: object, **options: Any) -> tuple[str, dict[str, list[float]]]:
    """The title of the picture, and the first and last value of each line by its label."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "close", lambda figure: None)  # so that it can be read
        curves.plot([str(t) for t in targets], options)
    axes = plt.gcf().axes[0]
    lines = {str(line.get_label()): line.get_ydata() for line in axes.lines}
    plt.close("all")
    return axes.get_title(), {k: [float(v[0]), float(v[-1])] for k, v in lines.items()}


def test_a_sweep_over_a_key_is_a_line_for_each_value(in_tmp: Path, compose: Compose) -> None:
    for rate in ("1e-3", "1e-4"):
        for seed in range(2):
            config = compose("env=CartPole-v1", f"algo.learning_rate={rate}", f"seed={seed}")
            name = f"algo.learning_rate={rate},seed={seed}"
            made(in_tmp / "sweep" / name, config, [1, 1000 * float(rate) + seed])
    title, lines = drawn("sweep")
    assert title == "ppo on CartPole-v1"
    assert lines == {
        "learning_rate=0.0001, 2 seeds": pytest.approx([1, 0.6]),
        "learning_rate=0.001, 2 seeds": pytest.approx([1, 1.5]),
    }
    assert (in_tmp / "curves.png").stat().st_size > 0


def test_choices_of_one_algorithm_are_lines_of_their_own(in_tmp: Path, compose: Compose) -> None:
    for i, algo in enumerate(["dqn", "d3qn", "rainbow", "c51"]):
        made(in_tmp / algo, compose("env=CartPole-v1", f"algo={algo}"), [0, i])
    found = drawn(*(in_tmp / a for a in ["dqn", "d3qn", "rainbow", "c51"]))[1]
    assert found == {"c51": [0, 3], "d3qn": [0, 1], "dqn": [0, 0], "rainbow": [0, 2]}


def test_each_environment_has_a_panel(in_tmp: Path, compose: Compose) -> None:
    for env in ("CartPole-v1", "Acrobot-v1"):
        for algo in ("ppo", "a2c"):
            if (env, algo) != ("Acrobot-v1", "a2c"):
                made(
                    in_tmp / "runs" / f"{env}{algo}", compose(f"env={env}", f"algo={algo}"), [0, 1]
                )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "close", lambda figure: None)
        curves.plot(["runs"], {})
    panels = plt.gcf().axes
    plt.close("all")
    assert [axes.get_title() for axes in panels] == ["ppo on Acrobot-v1", "CartPole-v1"]
    assert [len(axes.lines) for axes in panels] == [1, 2]


def test_a_single_point_is_seen(in_tmp: Path, compose: Compose) -> None:
    made(in_tmp / "a", compose("env=CartPole-v1"), [7.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "close", lambda figure: None)
        curves.plot(["a"], {})
    (axes,) = plt.gcf().axes
    plt.close("all")
    (point,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert [list(point.get_xdata()), list(point.get_ydata())] == [[100], [7]]


def test_columns_of_evaluations_can_be_drawn(in_tmp: Path, compose: Compose) -> None:
    for seed in range(2):
        config = compose("env=CartPole-v1", f"seed={seed}")
        made(in_tmp / "runs" / str(seed), config, [0, 1], evaluated=5 + seed)
    assert drawn("runs", column="eval/mean_reward")[1] == {"2 seeds": [5.5, 5.5]}


def test_a_run_named_twice_counts_once(in_tmp: Path, compose: Compose) -> None:
    made(in_tmp / "runs" / "a", compose("env=CartPole-v1"), [0, 1])
    made(in_tmp / "runs" / "b", compose("env=CartPole-v1"), [0, 3])
    assert drawn("runs", "runs/a", in_tmp / "runs/b")[1] == {"2 runs": [0, 2]}


def test_folders_a_level_below_are_found_where_there_are_none_above(
    in_tmp: Path, compose: Compose
) -> None:
    for algo in ("ppo", "a2c"):
        config = compose("env=CartPole-v1", f"algo={algo}")
        made(in_tmp / "outputs" / "sweeps" / algo / "job", config, [0, 1])
    assert list(drawn("outputs/sweeps")[1]) == ["a2c", "ppo"]
    with pytest.raises(UserError, match="nothing is no run folder"):
        drawn("nothing")


def test_an_unknown_column_names_the_nearest(in_tmp: Path, compose: Compose) -> None:
    made(in_tmp / "a", compose("env=CartPole-v1"), [0, 1])
    with pytest.raises(UserError, match=r"no run has values of it.*Did you mean eval/mean_reward"):
        drawn("a", column="eval/mean_rewrd")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(logging.getLogger("rltrain"), "propagate", True)
    return lambda: [record.getMessage() for record in caplog.records]


def test_what_is_left_out_or_ends_early_is_named(in_tmp: Path, compose: Compose, said: Any) -> None:
    for seed, values in enumerate([[0.0] * 10, [0.0] * 5, []]):
        made(in_tmp / "runs" / str(seed), compose("env=CartPole-v1", f"seed={seed}"), values)
    assert list(drawn("runs")[1]) == ["2 seeds"]
    assert said() == [
        f"runs/2 has no values of {curves.COLUMN} and is left out",
        "runs/1 ends at step 500, and its line there",
    ]


def test_a_run_that_ends_before_another_begins_is_left_out(said: Any) -> None:
    whole, late = ([100.0, 900.0], [1.0, 2.0]), ([500.0, 900.0], [1.0, 2.0])
    early = ([100.0, 200.0], [1.0, 2.0])
    group = curves.Group("", (0, 1, 2))
    folders = [Path("whole"), Path("early"), Path("late")]
    assert curves._overlapping(group, folders, [whole, early, late]) == [whole, late]
    assert said() == ["early ends at step 200 and is left out"]


def test_a_band_goes_from_the_lowest_to_the_highest_over_shared_steps() -> None:
    steps, low, middle, high = curves.band([([0, 10], [0, 10]), ([5, 20], [9, 9])])
    assert (steps[0], steps[-1]) == (5, 10)
    np.testing.assert_allclose([low[0], middle[0], high[0]], [5, 7, 9])
    np.testing.assert_allclose([low[-1], middle[-1], high[-1]], [9, 9.5, 10])
