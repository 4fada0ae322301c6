"""Whose run a folder is decides whether the code that it names is imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rltrain.core import secret
from rltrain.core.errors import OK, UserError
from rltrain.reports import record, score
from rltrain.training import checkpoint, session, trust
from rltrain.training import run as folders
from tests.conftest import small

ENV = """
import gymnasium as gym, numpy as np, pathlib
pathlib.Path({mark!r}).touch()

class Own(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    def __init__(self, gain=1.0):
        self.gain = gain
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2, np.float32), {{}}
    def step(self, action):
        self.t += 1
        return np.zeros(2, np.float32), self.gain, self.t == 9, False, {{}}

def made(gain=1.0):
    return Own(gain)
"""
MODULES = ("own_module", "evil_module")


@pytest.fixture
def here(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a module that leaves a mark where it is imported."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (in_tmp / "own_module.py").write_text(ENV.format(mark=str(in_tmp / "imported")))
    (in_tmp / "evil_module.py").write_text(ENV.format(mark=str(in_tmp / "ran")))
    forget()
    yield in_tmp
    forget()


def forget() -> None:
    """As a new process that has imported none of the modules."""
    from rltrain.settings import registry

    for name in MODULES:
        sys.modules.pop(name, None)
        registry._loaded.discard(name)


@pytest.fixture
def another_user(tmp_path_factory: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes what follows happen in another user's account."""

    def become() -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("other")))
        forget()

    return become


def started(compose: Any, *overrides: str, **values: Any) -> Path:
    """A run of this user's; `overrides` may name an environment."""
    kept = [o for o in small("ppo") if not o.startswith("env=")]
    env = [] if any(o.startswith("env=") for o in overrides) else ["env=own_module:Own"]
    composed = compose(*kept, *env, "run_name=a", *overrides) | values
    folder = session.start(composed).folder
    forget()
    Path("imported").unlink(missing_ok=True)
    return folder


def change(folder: Path, **parts: Any) -> None:
    """Edits config.yaml by hand."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for name, value in parts.items():
        if isinstance(value, dict):
            config[name] |= value
        else:
            config[name] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def evaluate(folder: Path, **options: Any) -> int:
    return score.evaluate(str(folder), {"episodes": 1, **options})


def resume(folder: Path, **options: Any) -> None:
    session.resume(folder, None, {"total_timesteps": 240}, **options)


def begin_record(folder: Path, **options: Any) -> None:
    record.record(str(folder), {"dataset": "own/data-v0", "episodes": 1, **options})


OPENED = [evaluate, resume, begin_record]


@pytest.mark.parametrize("opened", OPENED)
def test_an_own_run_opens_and_anothers_does_not(
    compose: Any, here: Path, another_user: Callable[[], None], opened: Any
) -> None:
    if opened is begin_record:
        pytest.importorskip("minari")
    folder = started(compose)
    opened(folder)
    assert Path("imported").exists()
    Path("imported").unlink()
    another_user()
    with pytest.raises(UserError) as caught:
        opened(folder)
    assert str(caught.value).startswith(
        f"{folder} was not started here by this user, or names other code than it did then."
        " Opening it imports, and so runs, env.id: own_module:Own."
    )
    assert "trust=true" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("imported").exists()


def test_trust_opens_another_users_run(
    compose: Any, here: Path, another_user: Callable[[], None]
) -> None:
    folder = started(compose)
    another_user()
    assert evaluate(folder, trust=True) == OK
    forget()
    with pytest.raises(UserError, match="was not started here"):
        evaluate(folder)  # it was said for one command
    session.resume(folder, None, {"total_timesteps": 240}, trusted=True)
    forget()
    assert evaluate(folder) == OK  # what was resumed here is this user's


def test_trust_is_a_yes_or_no(compose: Any, here: Path) -> None:
    folder = started(compose)
    with pytest.raises(UserError, match=r"trust=maybe: expected true \| false"):
        evaluate(folder, trust="maybe")


def test_a_configuration_cannot_trust_itself(
    compose: Any, here: Path, another_user: Callable[[], None]
) -> None:
    folder = started(compose)
    another_user()
    change(folder, trust=True)
    with pytest.raises(UserError, match="was not started here"):
        evaluate(folder)


@pytest.mark.parametrize(
    "parts",
    [
        {"env": {"id": "evil_module:Own"}},
        {"env": {"id": "own_module:made"}},
        {"env": {"kwargs": {"gain": 2.0}}},
        {"plugins": ["evil_module"]},
        {"plugins": ["evil_module"], "env": {"id": "CartPole-v1"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("opened", OPENED[:2])
def test_other_code_in_an_own_folder_is_not_run(
    compose: Any, here: Path, opened: Any, parts: dict[str, Any]
) -> None:
    folder = started(compose)
    change(folder, **parts)
    with pytest.raises(UserError, match="names other code than it did then"):
        opened(folder)
    assert not Path("ran").exists()
    assert not Path("imported").exists()


def test_values_that_name_no_code_may_be_edited(compose: Any, here: Path) -> None:
    folder = started(compose)
    change(folder, eval={"max_episode_steps": 5}, seed=7)
    assert evaluate(folder) == OK


def test_arguments_of_the_command_need_no_trust(
    compose: Any, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = started(compose)
    assert evaluate(folder, **{"env.kwargs.gain": 2.0}) == OK
    assert "return    18.00" in capsys.readouterr().out


def test_registered_environments_need_no_trust(
    compose: Any, here: Path, another_user: Callable[[], None]
) -> None:
    another_user()
    folder = started(compose, "env=CartPole-v1", "env.kwargs.sutton_barto_reward=true")
    assert not (folder / trust.SIGNATURE).exists()
    another_user()
    assert evaluate(folder) == OK
    assert not secret.key_file().exists()


def test_a_run_of_an_earlier_version_is_named_with_the_remedy(compose: Any, here: Path) -> None:
    folder = started(compose)
    (folder / trust.SIGNATURE).unlink()
    with pytest.raises(UserError, match=r"was not started here by this user\. .* trust=true"):
        evaluate(folder)


def test_a_damaged_signature_is_one_line(compose: Any, here: Path) -> None:
    folder = started(compose)
    for text in ("", "[]", "null", "{", '{"modules": 1, "hmac": 2}', "[" * 9999, "\xff"):
        (folder / trust.SIGNATURE).write_bytes(text.encode("latin-1"))
        with pytest.raises(UserError, match=r"^\S+ has a signature.json that cannot be read\. "):
            evaluate(folder)


def test_a_folder_may_be_moved_and_copied(compose: Any, here: Path) -> None:
    folder = started(compose)
    shutil.copytree(folder, here / "elsewhere" / "b")
    os.rename(folder, here / "c")
    for moved in (here / "elsewhere" / "b", here / "c"):
        forget()
        assert evaluate(moved) == OK


def test_a_module_may_be_edited(compose: Any, here: Path) -> None:
    folder = started(compose)
    with open("own_module.py", "a") as file:
        file.write("\nmore = 1\n")
    assert evaluate(folder) == OK


def test_a_module_that_lies_elsewhere_is_imported_where_its_text_is_the_same(
    compose: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody sends a run of this user's back, with a module of the same name beside it."""
    folder = started(compose)
    sent = here / "sent"
    shutil.copytree(folder, sent / "a")
    shutil.copy("own_module.py", sent)
    monkeypatch.chdir(sent)
    sys.path.remove(str(here))
    assert evaluate(Path("a")) == OK
    forget()
    shutil.copy(here / "evil_module.py", sent / "own_module.py")
    with pytest.raises(UserError, match="would import another own_module than when it was st"):
        evaluate(Path("a"))
    assert not (here / "ran").exists()
    assert evaluate(Path("a"), trust=True) == OK


def test_a_checkpoints_own_configuration_loads_nothing(compose: Any, here: Path) -> None:
    folder = started(compose)
    path = sorted((folder / "checkpoints").glob("step_*"))[-1]
    saved = checkpoint.read(path)
    saved.content["config"]["plugins"] = ["evil_module"]
    checkpoint.write(path, saved.content, saved.step)
    for trusted in (False, True):
        with pytest.raises(UserError, match=r"names plugins: evil_module, which this one does not"):
            resume(folder, trusted=trusted)
    assert not Path("ran").exists()


def test_weights_of_another_users_run_need_no_trust(
    compose: Any, here: Path, another_user: Callable[[], None]
) -> None:
    folder = started(compose, "env=CartPole-v1", plugins=["own_module"])
    another_user()
    path = sorted((folder / "checkpoints").glob("step_*"))[-1]
    for source in (folder, path):
        overrides = small("ppo", f"init_from={source}", "eval.every=0")
        session.start(compose(*overrides))
    assert not Path("imported").exists()


def test_a_job_of_a_sweep_goes_on_by_what_its_command_names(
    compose: Any, here: Path, another_user: Callable[[], None]
) -> None:
    kept = [o for o in small("ppo") if not o.startswith("env=")]
    values = compose(*kept, "env=own_module:Own")
    session.start_in(here / "job", values)
    another_user()
    assert session.start_in(here / "job", values) is None
    change(here / "job", plugins=["evil_module"])
    with pytest.raises(UserError, match="names plugins: evil_module, which this one does not"):
        session.start_in(here / "job", values)
    assert not Path("ran").exists()


def test_without_a_place_for_the_key_the_run_says_so(
    compose: Any, here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    monkeypatch.setattr(logging.getLogger("rltrain"), "propagate", True)
    (here / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(here / "file"))
    folder = started(compose)
    (line,) = [m for m in caplog.messages if "no key to sign the run with" in m]
    assert "Not a directory" in line
    with pytest.raises(UserError, match="was not started here"):
        evaluate(folder)
    assert evaluate(folder, trust=True) == OK


def test_plots_import_nothing(compose: Any, here: Path, another_user: Callable[[], None]) -> None:
    pytest.importorskip("matplotlib")
    from rltrain.reports import curves

    folder = started(compose, plugins=["own_module"])
    another_user()
    assert curves.plot([str(folder)], {"column": "time/total_timesteps"}) == OK
    assert not Path("imported").exists()


def test_a_foreign_folder_is_no_place_to_import_from(compose: Any, here: Path) -> None:
    """The command is given inside of a folder whose files are called as packages are."""
    folder = started(compose, "env=CartPole-v1")
    for name in ("torch", "matplotlib", "minari", "mpe2", "ale_py", "minigrid", "pygame"):
        (folder / f"{name}.py").write_text(f"open({str(here / 'ran')!r}, 'w')\n")
    code = "import sys; sys.argv[0] = 'rltrain'; from rltrain.cli import main; main()"
    command = [sys.executable, "-P", "-c", code, "eval", ".", "episodes=1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (here / "ran").exists()


def test_trust_is_not_for_a_new_run(here: Path) -> None:
    from rltrain import cli

    with pytest.raises(UserError, match="trust=true is for runs that exist"):
        cli.run(["algo=ppo", "env=CartPole-v1", "trust=true"])


def test_the_configuration_is_signed_as_it_stands_in_the_file(compose: Any, here: Path) -> None:
    """Numbers and texts that YAML writes otherwise than they were."""
    kwargs = {"gain": 1e16, "name": "1e3", "text": "ä\x85b\u2028", "list": [1, [None, 2.0]]}
    values = compose("algo=ppo", "env=own_module:Own")
    values["env"]["kwargs"] = kwargs
    (here / "r").mkdir()
    run = folders.Run.create(here / "r", values)
    run.close()
    trust.check(here / "r", folders.read_config(here / "r"))
