"""The folder of a run: its name, its contents, its lock, and how it is found again."""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rltrain import __version__
from rltrain.core.errors import USAGE, UserError
from rltrain.training import run as folders
from rltrain.training.run import Run, find, mark_latest, new_folder, read_result, slug, write_result

CONFIG = {"seed": 3, "algo": {"name": "ppo", "sizes": [64, 64]}, "run_name": None, "text": "λ"}


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the clock on the wall shows, to be set by the test."""
    shown = ["2026-01-02_03-04-05"]
    monkeypatch.setattr("rltrain.training.run.time.strftime", lambda form: shown[0])
    return shown


def made(parent: Path, name: str | None = None, env_id: str = "CartPole-v1") -> Path:
    folder = new_folder(str(parent), name, "ppo", env_id, 3)
    folders.write_config(folder, CONFIG)
    mark_latest(folder, parent)
    return folder


def test_a_folder_is_named_after_what_runs(tmp_path: Path, stopped_clock: list[str]) -> None:
    assert made(tmp_path).name == "ppo_CartPole-v1_seed3_2026-01-02_03-04-05"


def test_runs_of_the_same_second_get_folders_of_their_own(
    tmp_path: Path, stopped_clock: list[str]
) -> None:
    found = [made(tmp_path) for _ in range(3)]
    assert len(set(found)) == 3
    assert all(folder.is_dir() for folder in found)
    assert [folder.name.removeprefix(found[0].name) for folder in found] == ["", "_1", "_2"]


@pytest.mark.parametrize("env_id", ["ALE/Pong-v5", "my.module:My-v0", "a b*c"])
def test_a_folder_fits_file_systems_whatever_the_environment(tmp_path: Path, env_id: str) -> None:
    folder = made(tmp_path, env_id=env_id)
    assert folder.parent == tmp_path
    assert not set(folder.name) & set(':/\\ *?"<>|')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ALE/Pong-v5", "ALE-Pong-v5"),
        ("my.module:My-v0", "my.module-My-v0"),
        ("CartPole-v1", "CartPole-v1"),
        (":/x y/", "x-y"),
    ],
)
def test_slugs(text: str, expected: str) -> None:
    assert slug(text) == expected


def test_a_name_is_used_as_it_is(tmp_path: Path) -> None:
    assert made(tmp_path / "deep" / "er", "mine") == tmp_path / "deep" / "er" / "mine"


def test_a_name_that_is_taken_is_refused_and_the_way_on_named(tmp_path: Path) -> None:
    folder = made(tmp_path, "mine")
    (folder / "precious").write_text("kept")
    with pytest.raises(UserError) as error:
        made(tmp_path, "mine")
    assert "run_name=mine" in str(error.value)
    assert f"rltrain resume={folder}" in str(error.value)
    assert (folder / "precious").read_text() == "kept"


@pytest.mark.parametrize("below", ["", "outputs", "outputs/deeper"])
def test_an_output_dir_that_cannot_be_written_is_a_mistake_of_the_user(
    tmp_path: Path, below: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    parent = tmp_path / "file" / below
    with pytest.raises(UserError, match=r"output_dir=.* cannot be written") as error:
        new_folder(str(parent), None, "ppo", "CartPole-v1", 0)
    assert str(parent) in str(error.value)
    assert error.value.exit_code == USAGE


def test_a_run_folder_that_cannot_be_written_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match=r"output_dir: .* cannot be written \(Not a directory\)"):
        Run.create(tmp_path / "file" / "run", CONFIG)


def test_a_new_run_holds_what_makes_it_reproducible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/rltrain", "algo=ppo", "env.kwargs.text=a b"])
    git = {"diff": "- old\n+ new", "rev-parse": "abc123"}
    monkeypatch.setattr(folders, "_git", lambda *arguments: git[arguments[0]])
    run = Run.create(tmp_path / "run", CONFIG)
    run.close()
    assert folders.read_config(run.folder) == CONFIG
    command = (run.folder / "command.txt").read_text()
    assert shlex.split(command) == ["rltrain", "algo=ppo", "env.kwargs.text=a b"]
    versions = json.loads((run.folder / "versions.json").read_text())
    assert versions["rltrain"] == __version__
    assert versions["revision"] == "abc123"
    assert {"python", "torch", "numpy", "gymnasium", "platform"} <= versions.keys()
    assert (run.folder / "code.diff").read_text() == "- old\n+ new"
    assert run.checkpoints.is_dir()


def test_code_without_changes_leaves_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_git", lambda *arguments: "")
    Run.create(tmp_path / "run", CONFIG).close()
    assert not (tmp_path / "run" / "code.diff").exists()


def test_a_resume_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_git", lambda *arguments: "")
    monkeypatch.setattr(sys, "argv", ["rltrain", "seed=1"])
    run = Run.create(tmp_path / "run", CONFIG)
    monkeypatch.setattr(sys, "argv", ["rltrain", "resume=latest"])
    run.note_resume(CONFIG | {"seed": 4}, 640)
    run.close()
    assert folders.read_config(run.folder)["seed"] == 4
    lines = (run.folder / "command.txt").read_text().splitlines()
    assert lines == ["rltrain seed=1", "rltrain resume=latest  # from step 640"]


def test_messages_go_to_the_log_of_the_run_until_it_is_closed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log_to_file()
    logging.getLogger("rltrain").warning("while it runs")
    run.close()
    logging.getLogger("rltrain").warning("afterwards")
    text = (tmp_path / "run.log").read_text()
    assert "WARNING while it runs" in text
    assert "afterwards" not in text


def test_a_second_run_in_the_folder_is_refused_until_the_first_is_closed(tmp_path: Path) -> None:
    first = Run(tmp_path)
    with pytest.raises(UserError, match=rf"in use by process {os.getpid()}\b"):
        Run(tmp_path)
    with pytest.raises(UserError, match="in use"):
        Run.create(tmp_path, CONFIG)
    assert not (tmp_path / folders.CONFIG).exists()
    first.close()
    Run(tmp_path).close()


def test_two_folders_do_not_lock_each_other(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = Run(tmp_path / "a"), Run(tmp_path / "b")
    first.close()
    with pytest.raises(UserError):
        Run(tmp_path / "b")
    second.close()


HOLDER = """
import sys, time
from pathlib import Path
from rltrain.training.run import Run
Run(Path(sys.argv[1]))
print("locked", flush=True)
time.sleep(60)
"""


def test_a_process_that_is_killed_releases_its_folder(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(UserError, match=rf"in use by process {holder.pid}\b"):
            Run(tmp_path)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    Run(tmp_path).close()


def test_a_run_is_found_by_its_folder(tmp_path: Path) -> None:
    folder = made(tmp_path)
    assert find(str(folder)) == (folder, None)


def test_a_run_is_found_by_one_of_its_checkpoints(tmp_path: Path) -> None:
    folder = made(tmp_path)
    file = folder / "checkpoints" / "step_1.ckpt"
    file.parent.mkdir()
    file.write_bytes(b"")
    assert find(str(file)) == (folder, file)


def test_the_latest_run_is_the_one_started_last_whatever_the_clock_says(
    tmp_path: Path, stopped_clock: list[str]
) -> None:
    made(tmp_path)
    stopped_clock[0] = "2001-01-01_00-00-00"  # the clock was set back
    second = made(tmp_path)
    os.utime(second, (0, 0))
    os.utime(tmp_path / ".latest", (0, 0))
    assert find("latest", str(tmp_path)) == (second, None)


def test_the_latest_run_is_the_one_resumed_last(tmp_path: Path) -> None:
    first, _ = made(tmp_path, "first"), made(tmp_path, "second")
    mark_latest(first, tmp_path)
    assert find("latest", str(tmp_path)) == (first, None)


def test_there_is_no_latest_run_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"no run in {tmp_path}"):
        find("latest", str(tmp_path))


def test_the_latest_run_may_have_been_removed(tmp_path: Path) -> None:
    folder = made(tmp_path, "gone")
    shutil.rmtree(folder)
    with pytest.raises(UserError, match="no run folder"):
        find("latest", str(tmp_path))


def test_nonsense_is_answered_with_the_runs_that_there_are(tmp_path: Path) -> None:
    folder = made(tmp_path, "mine")
    (tmp_path / "empty").mkdir()
    for target in (str(tmp_path / "nonsense"), str(tmp_path / "empty"), "nonsense"):
        with pytest.raises(UserError, match="is no run folder") as error:
            find(target, str(tmp_path))
        assert target in str(error.value)
        assert str(folder) in str(error.value)


def test_a_file_that_belongs_to_no_run_is_nonsense(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("no checkpoint")
    with pytest.raises(UserError):
        find(str(tmp_path / "README.md"), str(tmp_path))


def test_the_latest_run_may_have_a_name_with_a_folder_in_it(tmp_path: Path) -> None:
    folder = made(tmp_path, "group/mine")
    assert find("latest", str(tmp_path)) == (folder, None)


def test_a_configuration_that_is_no_yaml_any_more_is_named(tmp_path: Path) -> None:
    (tmp_path / folders.CONFIG).write_text("a: [1")
    with pytest.raises(UserError, match=r"config\.yaml, line 1 cannot be read"):
        folders.read_config(tmp_path)


def test_results_are_replaced_whole(tmp_path: Path) -> None:
    assert read_result(tmp_path) == {}
    write_result(tmp_path, state="running", error="x" * 1000)
    write_result(tmp_path, state="finished", score=1.5, best=None)
    assert read_result(tmp_path) == {"state": "finished", "score": 1.5, "best": None}
    assert [path.name for path in tmp_path.iterdir()] == [folders.RESULT]


def test_a_result_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / folders.RESULT).write_text('{"state": "fin')
    assert read_result(tmp_path) == {}


def test_the_name_tells_when_the_run_began(tmp_path: Path) -> None:
    before = time.strftime("%Y-%m-%d_%H-%M-%S")
    stamp = made(tmp_path).name.removeprefix("ppo_CartPole-v1_seed3_")
    assert before <= stamp <= time.strftime("%Y-%m-%d_%H-%M-%S")
