"""`profile=true` says where time went, and changes nothing else."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rltrain.training import assemble, session, windows
from rltrain.training.run import Run
from rltrain.training.signals import Interrupted
from rltrain.training.trace import Trace
from rltrain.training.windows import Functions
from tests.conftest import ALGOS, small, some
from tests.training.test_resume import same, stop_after

PROFILE = ("profile=true", "run_name=profiled")


@pytest.fixture
def one_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows close after an iteration."""
    monkeypatch.setattr(Functions, "seconds", 0.0)


def rows(text: str) -> dict[str, list[str]]:
    """The table of phases: cells by name."""
    table = text.split("phase ", 1)[1].split("\n\n")[0].splitlines()[1:]
    return {line.split()[0]: line.split()[1:] for line in table}


def events(folder: Path) -> list[dict[str, Any]]:
    content = json.loads((folder / "profile/trace.json").read_text())
    return list(content["traceEvents"])


@pytest.mark.parametrize("algo", some(ALGOS))
def test_a_profiled_run_is_the_same_run(
    compose: Any, in_tmp: Path, one_iteration: None, algo: str
) -> None:
    plain = session.start(compose(*small(algo, "run_name=plain"))).folder
    profiled = session.start(compose(*small(algo, *PROFILE))).folder
    same(plain, profiled)
    assert not (plain / "profile").exists()


def test_a_run_without_it_runs_the_methods_of_its_classes(compose: Any, in_tmp: Path) -> None:
    for profile in (False, True):
        values = compose(*small("ppo", f"profile={profile}", "run_name=a"))
        folder = in_tmp / str(profile)
        parts = assemble.build(Run.create(folder, values), session._checked(values), values, None)
        trainer = parts.trainer
        objects = (trainer, trainer.sampler, trainer.algorithm, trainer.algorithm.policy)
        replaced = {"save", "collect", "update", "act"} & {n for o in objects for n in vars(o)}
        assert len(replaced) == (4 if profile else 0)
        parts.close()


def test_phases_have_their_calls_and_add_up(
    compose: Any, in_tmp: Path, capsys: pytest.CaptureFixture[str], one_iteration: None
) -> None:
    session.start(compose(*small("ppo", *PROFILE)))  # 4 updates of 3 × 16 steps, one in a window
    text = capsys.readouterr().out
    table = rows(text)
    calls = {name: cells[2] for name, cells in table.items() if len(cells) > 2}
    assert calls["env"] == calls["act"] == "48"
    assert calls["learn"] == "3"
    assert calls["minibatch"] == "18"  # 2 epochs of 3
    assert calls["eval"] == "2"
    assert calls["log"] == "6"  # 4 rows, 2 of evaluations
    assert calls["checkpoint"] in ("3", "4")  # 96, 192, and what was best
    inner = ("minibatch", "imports", "configuration", "environments", "networks")
    names = [n for n in table if n not in inner and n != "start-up"]
    first_other = float(table["start-up"][1].rstrip("%"))
    shares = [float(table[n][1].rstrip("%")) for n in names]
    assert sum(shares) + first_other == pytest.approx(100, abs=1.0)
    total = float(re.search(r"([\d.]+) seconds, 192 steps, 48 of them", text).group(1))  # type: ignore[union-attr]
    assert sum(float(table[n][0]) for n in [*names, "start-up"]) == pytest.approx(total, abs=0.15)
    per_step = float(table["learn"][0]) / 144 * 1e6
    assert float(table["learn"][4].replace(",", "")) == pytest.approx(per_step, abs=0.006 / 144e-6)


def test_functions_are_named_by_own_time(
    compose: Any,
    in_tmp: Path,
    capsys: pytest.CaptureFixture[str],
    one_iteration: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windows, "TOP", 10_000)  # which are the slowest differs between machines
    session.start(compose(*small("ppo", *PROFILE)))
    text = capsys.readouterr().out
    table = text.split("functions in steps 48 to 96\n")[1].split("\n\n")[0].splitlines()[1:]
    own = [float(line.split()[0]) for line in table]
    assert own == sorted(own, reverse=True)
    assert any("rltrain/fast/mlp.py:" in line and line.endswith(" forward") for line in table)
    assert not any("training/profile.py" in line for line in table)
    assert (in_tmp / "outputs/profiled/profile/profile.txt").read_text().strip() in text


def test_a_table_of_functions_has_the_slowest(tmp_path: Path) -> None:
    functions = Functions()
    functions.enable()
    for i in range(20):
        namespace: dict[str, Any] = {}
        exec(f"def function_{i}(): return sum(range({1 + 1000 * i}))", namespace)
        namespace[f"function_{i}"]()
    functions.disable()
    assert len(functions.close(tmp_path)) == 1 + 15


def test_a_run_that_is_too_short_says_so(
    compose: Any, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session.start(compose(*small("ppo", *PROFILE, "total_timesteps=48")))
    text = capsys.readouterr().out
    assert "training ended before they could be looked at" in text
    assert rows(text)["env"][2] == "16"


def test_an_interrupted_run_is_profiled_too(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stop_after(60, monkeypatch)
    with pytest.raises(Interrupted):
        session.start(compose(*small("ppo", *PROFILE)))
    table = rows(capsys.readouterr().out)
    assert table["learn"][2] == "1"
    assert "checkpoint" in table
    monkeypatch.undo()
    monkeypatch.chdir(in_tmp)
    session.resume(Path("outputs/profiled"), None, {})
    assert " 132 steps" in capsys.readouterr().out  # of this process alone


def test_the_trace_is_chrome_s(compose: Any, in_tmp: Path, one_iteration: None) -> None:
    folder = session.start(compose(*small("ppo", *PROFILE))).folder
    found = events(folder)
    assert [e["name"] for e in found[:2]] == ["process_name", "thread_name"]
    assert found[0]["args"]["name"] == "rltrain: ppo on CartPole-v1, seed 0"
    spans = found[2:]
    assert len({(e["pid"], e["tid"]) for e in found}) == 1
    assert all(e["ph"] == "X" and e["ts"] > 0 and e["dur"] >= 0 for e in spans)
    counts = Counter(e["name"] for e in spans)
    assert counts["env"] == counts["act"] == 64  # of training alone
    assert counts["collect"] == counts["learn"] == 4
    assert counts["minibatch"] == 24
    assert (counts["eval"], counts["start-up"], counts["looking at functions"]) == (2, 1, 1)
    open_until: list[float] = []
    for span in spans:  # one thread: a span lies within another or beside it
        end = span["ts"] + span["dur"]
        while open_until and open_until[-1] <= span["ts"] + 0.01:
            open_until.pop()
        assert not open_until or end <= open_until[-1] + 0.01, span
        open_until.append(end)


def test_the_trace_keeps_the_newest_spans(tmp_path: Path) -> None:
    trace = Trace(limit=3)
    for i in range(3):
        trace.span("env", i, i + 0.5)
    assert not trace.dropped
    trace.span("learn", 3.0, 3.25, step=7)
    assert trace.dropped
    trace.write(tmp_path / "trace.json", "title")
    spans = json.loads((tmp_path / "trace.json").read_text())["traceEvents"][2:]
    assert [(e["name"], e["ts"], e["dur"]) for e in spans] == [
        ("env", 1e6, 5e5),
        ("env", 2e6, 5e5),
        ("learn", 3e6, 2.5e5),
    ]
    assert spans[-1]["args"] == {"step": 7}


def test_operations_of_torch_where_it_computes(
    compose: Any, in_tmp: Path, one_iteration: None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = session.start(compose(*small("ppo", *PROFILE, "kernels=torch"))).folder
    content = json.loads((folder / "profile/torch.json").read_text())
    assert any(e.get("name") == "aten::addmm" for e in content["traceEvents"])
    text = capsys.readouterr().out
    assert "aten::" in text.split("torch in steps 96 to ")[1]
    assert not list(in_tmp.glob("outputs/*/profile/*.tmp"))


def test_a_profile_that_cannot_be_written_costs_no_run(compose: Any, in_tmp: Path) -> None:
    values = compose(*small("q_learning", *PROFILE))
    (in_tmp / "job").mkdir()
    (in_tmp / "job/profile").write_text("a file where the folder should be")
    outcome = session.start_in(in_tmp / "job", values)
    assert outcome is not None
    assert outcome.steps == 192
    assert "the profile cannot be written" in (in_tmp / "job/run.log").read_text()
