"""Whatever is in a run's folder, opening it ends in a message, not in a traceback or a hang."""

from __future__ import annotations

import copy
import datetime
import json
import logging
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from rltrain import config
from rltrain.core.errors import OK, CheckpointError, RltrainError, UserError
from rltrain.reports import curves, score
from rltrain.training import checkpoint, session
from rltrain.training import run as folders
from tests.conftest import small
from tests.core.test_plain_yaml import DAMAGED


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs, by algorithm."""
    parent = tmp_path_factory.mktemp("whole")
    for algo in ("ppo", "dqn", "q_learning"):
        session.start(config.compose(small(algo, f"output_dir={parent}", f"run_name={algo}")))
    return parent


@pytest.fixture
def folder(whole: Path, in_tmp: Path) -> Path:
    return Path(shutil.copytree(whole / "ppo", in_tmp / "a"))


def evaluate(folder: Path) -> None:
    assert score.evaluate(str(folder), {"episodes": 1}) == OK


def resume(folder: Path) -> None:
    session.resume(folder, None, {"total_timesteps": 240})


def plot(folder: Path) -> None:
    assert curves.plot([str(folder)], {"column": "time/total_timesteps"}) == OK


def said(function: Callable[..., Any], *arguments: Any) -> str:
    """What a user is told; empty where it works. Any other exception is a traceback."""
    try:
        function(*arguments)
    except RltrainError as error:
        return str(error) or "nothing"
    return ""


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_configuration_is_one_line(folder: Path, name: str) -> None:
    pytest.importorskip("matplotlib")
    raw, reason = DAMAGED[name]
    (folder / "config.yaml").write_bytes(raw)
    for opened in (evaluate, resume, plot):
        with pytest.raises(UserError, match=reason) as caught:
            opened(folder)
        assert "\n" not in str(caught.value)


ODD: list[Any] = [
    *(None, True, -1, 0, 2**70, 10**400, 1.5, float("nan"), float("inf"), "", "ppo", "λ\0", b"ab"),
    *([], [None], ["a"], [[1]], {}, {"name": "ppo"}, {1: 2}, {None: []}, {"a": {"b": []}}),
    *(datetime.date(2026, 1, 1), "os:system", "a:b:c", "../..", "latest", "x" * 10_000),
]


def places(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values in a tree."""
    if path:
        yield path
    keys = values if isinstance(values, dict) else ()
    keys = range(len(values)) if isinstance(values, list) else keys
    for key in keys:
        yield from places(values[key], (*path, key))


def put(values: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        values = values[key]
    values[path[-1]] = value


def small_enough(values: Any) -> bool:
    """Whether a test may run it: not what is valid, and merely large."""
    try:
        large = max(values["env"]["num_envs"], values["eval"]["episodes"]) > 10
    except (TypeError, KeyError):
        return True
    return not large


@pytest.mark.slow
def test_odd_values_in_a_configuration_are_one_line(folder: Path) -> None:
    whole = yaml.safe_load((folder / "config.yaml").read_text())
    places_ = list(places(whole))
    rng = random.Random(0)
    refused, count = 0, 100
    for _ in range(count):
        values = copy.deepcopy(whole)
        what = rng.choice(ODD)
        where = rng.choice(places_)
        put(values, where, what)
        if rng.random() < 0.2:
            parent: Any = values
            for key in (way := rng.choice(places_))[:-1]:
                parent = parent[key] if isinstance(parent, dict | list) else {}
            if isinstance(parent, dict):
                parent.pop(way[-1], None)
        if not small_enough(values):
            continue
        (folder / "config.yaml").write_text(yaml.safe_dump(values))
        message = said(score.chosen, str(folder), {})
        assert "\n" not in message, (where, what)
        refused += bool(message)
    assert refused > count / 3


@pytest.mark.slow
@pytest.mark.parametrize("part", ["result.json", "progress.csv", "evaluations.csv", "command.txt"])
def test_damaged_tables_and_results_are_no_traceback(folder: Path, part: str) -> None:
    pytest.importorskip("matplotlib")
    contents = [b"", b"[]", b"null", b'{"state": [], "steps": "x", "reached": {}}', b"\0\xff" * 9]
    contents += [b'{"state": "finished"}', b"[" * 5000, b"a,b\n1,2\n", b"'" * 9, b"x" * 200_000]
    contents += [b"time/total_timesteps,rollout/ep_rew_mean\n1,x\nnan,2\n3,inf\n"]
    whole = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    for content in contents:
        for name, data in whole.items():
            (folder / name).write_bytes(data)
        (folder / part).write_bytes(content)
        for opened in (evaluate, plot, resume):
            assert "\n" not in said(opened, folder), (opened, content[:20])


def test_a_result_is_taken_where_it_is_of_its_kind(tmp_path: Path) -> None:
    given = {"state": 1, "steps": 3, "score": None, "best": "x", "reached": 1.5, "own": []}
    (tmp_path / "result.json").write_text(json.dumps(given))
    expected = {"steps": 3, "score": None, "reached": 1.5, "own": []}
    assert folders.read_result(tmp_path) == expected


def odd_leaves(value: Any) -> list[Any]:
    """What may stand where a value of a state belongs, and must not be taken."""
    others: list[Any] = ["text", b"bytes", *([{"a": 1}] if not isinstance(value, dict) else [])]
    others += [] if isinstance(value, list | tuple) else [[1, 2]]
    if isinstance(value, torch.Tensor):
        kinds = (torch.int64, torch.bool, torch.bfloat16, torch.float64, torch.complex64)
        others += [value.to(kind) for kind in kinds if kind != value.dtype]
        others += [value.numpy(), torch.zeros((*value.shape, 2), dtype=value.dtype), None]
    if isinstance(value, np.ndarray):
        others += [torch.from_numpy(value), np.zeros((*value.shape, 2), value.dtype), None]
    return others


def changed(content: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy of a checkpoint's content with another value at a place."""
    copied = copy.deepcopy(content)
    put(copied, path, value)
    return copied


def at(content: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        content = content[key]
    return content


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", "dqn", "q_learning"])
def test_weights_of_another_kind_are_refused_and_not_converted(
    whole: Path, in_tmp: Path, algo: str
) -> None:
    """Each array of a policy, as everything that it is not."""
    folder = Path(shutil.copytree(whole / algo, in_tmp / "a"))
    path = checkpoint.CheckpointFolder(folder / "checkpoints", 1).all()[0]
    content = checkpoint.read(path).content
    arrays = [
        where
        for where in places(content["policy"])
        if isinstance(at(content["policy"], where), torch.Tensor | np.ndarray)
    ]
    assert arrays
    tried = 0
    for where in arrays[:3]:
        for odd in odd_leaves(at(content["policy"], where)):
            checkpoint.write(path, changed(content, ("policy", *where), odd), 192)
            with pytest.raises(CheckpointError, match="does not fit this version") as caught:
                evaluate(folder)
            assert "\n" not in str(caught.value)
            tried += 1
    assert tried >= 6


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", "dqn", "q_learning"])
def test_states_of_another_kind_never_break_a_resume(whole: Path, in_tmp: Path, algo: str) -> None:
    """Random places of a whole checkpoint; what is taken is trained on."""
    folder = Path(shutil.copytree(whole / algo, in_tmp / "a"))
    path = checkpoint.CheckpointFolder(folder / "checkpoints", 1).all()[0]
    content = checkpoint.read(path).content
    others = [p for p in places(content) if p[0] not in ("config", "clock", "machine")]
    logging.getLogger("rltrain").setLevel(logging.ERROR)
    rng = random.Random(1)
    refused, count = 0, 40
    for _ in range(count):
        where = rng.choice(others)
        odd = rng.choice(odd_leaves(at(content, where)))
        checkpoint.write(path, changed(content, where, odd), 192)
        shutil.rmtree(in_tmp / "b", ignore_errors=True)
        shutil.copytree(folder, in_tmp / "b")
        message = said(resume, in_tmp / "b")
        assert "\n" not in message, where
        refused += bool(message)
    assert refused > count / 5


@pytest.mark.slow
def test_hostile_content_of_a_checkpoint_is_one_line(folder: Path) -> None:
    path = checkpoint.CheckpointFolder(folder / "checkpoints", 1).all()[0]
    content = checkpoint.read(path).content
    for name in ("policy", "algorithm", "config", "scores", "sampler", "random", "progress"):
        for odd in (None, [], "x", {}, 3):
            checkpoint.write(path, content | {name: odd}, 192)
            with pytest.raises(RltrainError) as caught:
                resume(folder)
            assert "\n" not in str(caught.value) or "These cannot change" in str(caught.value)


def test_init_from_takes_no_weights_of_another_type(folder: Path, compose: Any) -> None:
    path = checkpoint.CheckpointFolder(folder / "checkpoints", 1).all()[0]
    content = checkpoint.read(path).content
    for where in list(places(content["policy"])):
        if isinstance(at(content["policy"], where), torch.Tensor):
            put(content["policy"], where, at(content["policy"], where).to(torch.int64))
    checkpoint.write(path, content, 192)
    values = compose(*small("ppo", f"init_from={path}"))
    with pytest.raises(UserError, match=r"nothing of it fits.* torch.int64 there\)"):
        session.start(values)
    for odd in ({}, [], None, "x"):
        checkpoint.write(path, content | {"policy": odd}, 192)
        with pytest.raises(RltrainError) as caught:
            session.start(values)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("algo", ["ppo", "q_learning"])
def test_weights_that_are_nan_are_said(
    whole: Path, in_tmp: Path, algo: str, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("rltrain"), "propagate", True)
    folder = Path(shutil.copytree(whole / algo, in_tmp / "a"))
    evaluate(folder)
    assert "NaN" not in caplog.text
    path = checkpoint.CheckpointFolder(folder / "checkpoints", 1).all()[0]
    content = checkpoint.read(path).content
    where = next(p for p in places(content["policy"]) if hasattr(at(content["policy"], p), "dtype"))
    at(content["policy"], where)[...] = np.nan
    checkpoint.write(path, content, 192)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score, "play", lambda *a: (_ for _ in ()).throw(StopIteration))
        settings, _, _ = score.chosen(str(folder), {})
        score.load_policy(settings, folder)
    (line,) = [m for m in caplog.messages if "NaN" in m]
    assert f"{'.'.join(map(str, where))} has NaN" in line
