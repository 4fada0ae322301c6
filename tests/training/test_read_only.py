"""Folders that may be read and not written: of another user, on a read-only or a full disk.

The tests run as any user, root included, which is why the system's answers are given here.
"""

from __future__ import annotations

import builtins
import errno
import io
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rltrain import config
from rltrain.core.errors import OK, CheckpointError, UserError
from rltrain.reports import curves, record, score
from rltrain.training import checkpoint, session
from rltrain.training import run as folders
from tests.conftest import small


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("whole")
    return session.start(config.compose(small("ppo", f"output_dir={parent}"))).folder


@pytest.fixture
def folder(whole: Path, in_tmp: Path) -> Path:
    return Path(shutil.copytree(whole, in_tmp / "theirs" / "a"))


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has the system refuse to write below some folders, by the error of a kind."""
    refused: dict[Path, int] = {}

    def reason(path: Any, writes: bool) -> None:
        if isinstance(path, int) or not writes:
            return
        full = Path(os.path.abspath(os.fspath(path)))
        for place, number in refused.items():
            if full.is_relative_to(place):
                raise OSError(number, os.strerror(number), str(path))

    open_, os_open, access, mkdir = io.open, os.open, os.access, os.mkdir
    replace, unlink = os.replace, os.unlink

    def opened(path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        reason(path, any(letter in mode for letter in "wax+"))
        return open_(path, mode, *args, **kwargs)

    def os_opened(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        reason(path, bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)))
        return os_open(path, flags, *args, **kwargs)

    def may(path: Any, mode: int, **kwargs: Any) -> bool:
        try:
            reason(path, bool(mode & os.W_OK))
        except OSError:
            return False
        return access(path, mode, **kwargs)

    def guarded(function: Any) -> Any:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            reason(path, True)
            return function(path, *args, **kwargs)

        return call

    def protect(path: Path, number: int = errno.EACCES) -> None:
        refused[path.resolve()] = number
        monkeypatch.setattr(builtins, "open", opened)
        monkeypatch.setattr(io, "open", opened)
        monkeypatch.setattr(os, "open", os_opened)
        monkeypatch.setattr(os, "access", may)
        monkeypatch.setattr(os, "mkdir", guarded(mkdir))
        monkeypatch.setattr(os, "replace", guarded(replace))
        monkeypatch.setattr(os, "unlink", guarded(unlink))

    return protect


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_it_is_evaluated_and_plotted(folder: Path, read_only: Any, number: int) -> None:
    read_only(folder.parent, number)
    assert score.evaluate(str(folder), {"episodes": 1}) == OK
    pytest.importorskip("matplotlib")
    assert curves.plot([str(folder)], {"column": "time/total_timesteps"}) == OK
    assert Path("curves.png").stat().st_size


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_resume_says_so_in_a_line(folder: Path, read_only: Any, number: int) -> None:
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    read_only(folder.parent, number)
    with pytest.raises(UserError, match=r"cannot be written .*: a run goes on in its own fol") as e:
        session.resume(folder, None, {"total_timesteps": 240})
    assert f"cp -r {folder}" in str(e.value)
    assert "\n" not in str(e.value)
    assert before == {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["run.log", "checkpoints", "progress.csv", "lock"])
def test_a_part_that_may_not_be_written_is_named(folder: Path, read_only: Any, name: str) -> None:
    read_only(folder / name)
    with pytest.raises(UserError, match=rf"{name} cannot be written \(Permission denied\)"):
        session.resume(folder, None, {"total_timesteps": 240})


def test_an_own_run_in_anothers_folder_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`latest` cannot be moved there."""
    monkeypatch.setattr(logging.getLogger("rltrain"), "propagate", True)
    replace = os.replace

    def refuse(source: Any, target: Any) -> None:
        if Path(target).name == ".latest":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    session.resume(folder, None, {"total_timesteps": 240})
    assert "latest does not mean this run" in caplog.text
    assert not list(folder.parent.glob(".latest*"))


def test_a_recording_that_cannot_be_kept_is_refused_before_it_is_played(
    folder: Path, read_only: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("minari")
    monkeypatch.setattr(score, "play", lambda *a: pytest.fail("it was played"))
    (Path.cwd() / "data").mkdir()
    for place in ("data", "data/below"):
        monkeypatch.setenv("MINARI_DATASETS_PATH", str(Path.cwd() / place))
        read_only(Path.cwd() / "data")
        with pytest.raises(UserError, match=r"cannot be written \(Permission denied\)\. Name anot"):
            record.record(str(folder), {"dataset": "own/data-v0"})


def test_a_recording_that_is_read_only_itself_is_played(folder: Path, read_only: Any) -> None:
    pytest.importorskip("minari")
    read_only(folder.parent)
    assert record.record(str(folder), {"dataset": "read-only/data-v0", "episodes": 1}) == OK


def test_what_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hide(name: str) -> None:
        def opened(path: Any, *args: Any, **kwargs: Any) -> Any:
            if Path(str(path)).name == name:
                raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return open_(path, *args, **kwargs)

        monkeypatch.setattr(builtins, "open", opened)

    open_ = builtins.open
    hide("config.yaml")
    with pytest.raises(UserError, match=r"config.yaml cannot be read: Permission denied\.$"):
        score.evaluate(str(folder), {})
    hide(checkpoint.CheckpointFolder(folder / "checkpoints", 1).all()[0].name)
    with pytest.raises(CheckpointError, match=r"cannot be read: Permission denied"):
        score.evaluate(str(folder / "checkpoints" / "step_000000000192.ckpt"), {})
    pytest.importorskip("matplotlib")
    hide("progress.csv")
    with pytest.raises(UserError, match=r"progress.csv cannot be read \(Permission denied\)\.$"):
        curves.plot([str(folder)], {})


def test_a_folder_that_cannot_be_entered_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = Path.stat

    def refuse(self: Path, **kwargs: Any) -> Any:
        if self.name == "config.yaml":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return stat(self, **kwargs)

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(UserError, match=r"config.yaml cannot be read \(Permission denied\)\.$"):
        folders.find(str(folder))


@pytest.mark.parametrize("name", ["", "checkpoints", "run.log", "result.json"])
def test_a_disk_that_is_full_before_the_start_leaves_nothing(
    compose: Any, in_tmp: Path, read_only: Any, name: str
) -> None:
    values = compose(*small("ppo"), "run_name=a")
    (in_tmp / "outputs").mkdir()
    place = in_tmp / "outputs" / "a" / name
    read_only(place if name != "result.json" else place.with_name(".result.json.tmp"), errno.ENOSPC)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)") as caught:
        session.start(values)
    assert "\n" not in str(caught.value)
    assert not (in_tmp / "outputs" / "a" / "checkpoints").exists()


def test_how_a_run_ended_is_left_out_where_there_is_no_room(
    whole: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("rltrain"), "propagate", True)
    folder = Path(shutil.copytree(whole, in_tmp / "a"))

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = folders.Run(folder)
    monkeypatch.setattr(folders, "write_result", full)
    run.note_ending("", state="failed")
    run.close()
    assert "how it ended could not be written (No space left on device)" in caplog.text


def test_a_log_file_is_given_up_with_one_warning(
    whole: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any, caplog: Any
) -> None:
    monkeypatch.setattr(logging.getLogger("rltrain"), "propagate", True)
    run = folders.Run(Path(shutil.copytree(whole, in_tmp / "a")))
    run.log_to_file()
    assert run._handler is not None

    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run._handler, "flush", full)
    for i in range(3):
        logging.getLogger("rltrain").info("message %d", i)
    run.close()
    assert caplog.text.count("is given up (No space left on device)") == 1
    assert "message 2" in caplog.text
    assert "Traceback" not in capfd.readouterr().err
