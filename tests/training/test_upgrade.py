"""A run folder of an earlier version is resumed, evaluated and plotted as one of today's."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from rltrain.core.errors import OK, CheckpointError, UserError
from rltrain.reports import curves, score
from rltrain.training import checkpoint, session
from rltrain.training import run as folders
from tests.conftest import small
from tests.training.test_resume import same

LACKING = {
    "ppo": ["augment", "intrinsic", "ema", "network.shared", "algo.objective", "optimizer.warmup"],
    "dqn": ["augment", "precision", "env.frame_stack", "algo.double", "network.encoders"],
}


def drop(values: dict[str, Any], paths: list[str]) -> None:
    for path in paths:
        *parents, name = path.split(".")
        node = values
        for parent in parents:
            node = node[parent]
        del node[name]


def age(folder: Path, paths: list[str]) -> None:
    """Takes keys out of a run's configuration, and out of that in its checkpoints."""
    config = folders.read_config(folder)
    drop(config, paths)
    folders.write_config(folder, config)
    for path in (folder / "checkpoints").glob("step_*"):
        saved = checkpoint.read(path)
        drop(saved.content["config"], paths)
        checkpoint.write(path, saved.content, saved.step)


def contents(folder: Path) -> dict[str, bytes]:
    """What is in a folder, less the log, which says what was tried, and the lock."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name not in ("run.log", "lock"))
    return {p.name: p.read_bytes() for p in files}


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(logging.getLogger("rltrain"), "propagate", True)
    caplog.set_level(logging.INFO, "rltrain")
    return lambda: [m for m in caplog.messages if "of an earlier version" in m]


@pytest.mark.parametrize("algo", LACKING)
def test_an_earlier_run_is_resumed_bit_for_bit(
    compose: Any, in_tmp: Path, said: Any, algo: str
) -> None:
    whole = session.start(compose(*small(algo), "run_name=whole")).folder
    other = session.start(compose(*small(algo), "run_name=other")).folder
    age(other, LACKING[algo])
    assert not said()
    session.resume(other, sorted((other / "checkpoints").glob("step_*"))[0], {})
    same(whole, other)
    (line,) = said()
    assert line.startswith(f"{other / 'config.yaml'} is of an earlier version")
    assert "augment.name=none" in line
    assert line in (other / "run.log").read_text()
    assert folders.read_config(other) | {"run_name": "whole"} == folders.read_config(whole)
    session.resume(other, None, {"total_timesteps": 240})
    assert len(said()) == 1  # what was filled in stands in the folder by now


def test_a_run_whose_entropy_bonus_was_a_key_of_its_algorithm_is_resumed_bit_for_bit(
    compose: Any, in_tmp: Path
) -> None:
    bonus = ["exploration=entropy", "exploration.ent_coef=0.05", "exploration.final_ent_coef=0.05"]
    whole = session.start(compose(*small("ppo", *bonus), "run_name=whole")).folder
    other = session.start(compose(*small("ppo", *bonus), "run_name=other")).folder
    first = sorted((other / "checkpoints").glob("step_*"))[0]
    saved, config = checkpoint.read(first), folders.read_config(other)
    for values in (saved.content["config"], config):
        values["algo"]["ent_coef"] = 0.05
        values["exploration"] = {"name": "none"}
    checkpoint.write(first, saved.content, saved.step)
    folders.write_config(other, config)
    session.resume(other, first, {})
    same(whole, other)
    assert "no algo.ent_coef" in (other / "run.log").read_text()


def test_what_was_filled_in_decides_the_numbers_as_what_was_there(
    compose: Any, in_tmp: Path
) -> None:
    folder = session.start(compose(*small("ppo", "algo.objective=kl_penalty"))).folder
    config = folders.read_config(folder)
    drop(config, ["algo.objective"])
    folders.write_config(folder, config)
    more = {"total_timesteps": 240}
    with pytest.raises(UserError, match=r"algo.objective: 'kl_penalty' in the run, 'clip' asked"):
        session.resume(folder, None, more)
    with pytest.raises(UserError, match=r"network.shared: False in the run, True asked for"):
        session.resume(folder, None, {"network.shared": True})


def test_an_earlier_job_of_a_sweep_goes_on_under_its_command_alone(
    compose: Any, in_tmp: Path, said: Any
) -> None:
    values = compose(*small("ppo"))
    session.start_in(in_tmp / "job", values)
    age(in_tmp / "job", LACKING["ppo"])
    assert session.start_in(in_tmp / "job", values) is None
    with pytest.raises(UserError, match=r"ema: None in the run, 0\.9 asked for"):
        session.start_in(in_tmp / "job", values | {"ema": 0.9})
    (in_tmp / "job" / folders.RESULT).unlink()
    newest = sorted((in_tmp / "job" / "checkpoints").glob("step_*"))[-1]
    newest.unlink()
    outcome = session.start_in(in_tmp / "job", values)
    assert outcome is not None
    assert outcome.steps == 192
    assert len(said()) == 1


def test_an_earlier_run_is_evaluated_and_plotted(
    compose: Any, in_tmp: Path, said: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = session.start(compose(*small("ppo"), "run_name=a")).folder
    assert score.evaluate(str(folder), {"episodes": 3}) == OK
    whole = capsys.readouterr().out
    assert not said()
    age(folder, LACKING["ppo"])
    assert score.evaluate(str(folder), {"episodes": 3}) == OK
    assert capsys.readouterr().out == whole
    assert len(said()) == 1
    pytest.importorskip("matplotlib")
    column = "time/total_timesteps"
    assert curves.plot([str(folder)], {"out": "curves.png", "column": column}) == OK
    assert (in_tmp / "curves.png").stat().st_size > 0
    assert len(said()) == 1


def test_an_unknown_key_is_refused(compose: Any, in_tmp: Path) -> None:
    folder = session.start(compose(*small("ppo"), "run_name=a")).folder
    config = folders.read_config(folder)
    del config["ema"]
    config["algo"]["gama"] = 0.9
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match=r"Unknown key algo\.gama\. Did you mean algo\.gamma"):
        session.resume(folder, None, {"total_timesteps": 240})
    with pytest.raises(UserError, match=r"Unknown key algo\.gama"):
        score.evaluate(str(folder), {})


@pytest.mark.parametrize(
    ("part", "name", "lacking"),
    [
        ("policy", "inputs", r"the state of \w+ lacks \['inputs'\]"),
        ("algorithm", "optimizer", r"the state of PPO lacks \['optimizer'\]"),
        ("sampler", "saved_at", r"the state of InlineSampler lacks \['saved_at'\]"),
    ],
)
def test_state_that_a_checkpoint_lacks_is_named_with_the_version_that_wrote_it(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, part: str, name: str, lacking: str
) -> None:
    folder = session.start(compose(*small("ppo"), "run_name=a")).folder
    path = sorted((folder / "checkpoints").glob("step_*"))[-1]
    saved = checkpoint.read(path)
    del saved.content[part][name]
    monkeypatch.setattr(checkpoint, "__version__", "0.0.7")
    checkpoint.write(path, saved.content, saved.step)
    monkeypatch.setattr(checkpoint, "__version__", "0.9.1")
    told = rf"{path.name}, written by rltrain 0\.0\.7, does not fit .*0\.9\.1: {lacking}"
    before = contents(folder)
    with pytest.raises(CheckpointError, match=told):
        session.resume(folder, None, {"total_timesteps": 240})
    assert contents(folder) == before
    if part == "policy":
        with pytest.raises(CheckpointError, match=told):
            score.evaluate(str(folder), {})
