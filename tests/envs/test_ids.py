"""Which environments there are, and what is said of one that there is not."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from rltrain.core.errors import USAGE, UserError
from rltrain.envs import ids


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory of modules, forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    monkeypatch.setattr("gymnasium.envs.registration.registry", dict(gym.registry))
    monkeypatch.setattr(gym, "registry", gym.envs.registration.registry)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write_module(folder: Path, name: str, env_id: str) -> None:
    (folder / f"{name}.py").write_text(
        "import gymnasium as gym\n"
        f"gym.register({env_id!r}, entry_point='gymnasium.envs.classic_control:CartPoleEnv')\n"
    )


def without(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """As if a package were not installed."""
    real = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> Any:
        return None if name == missing else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


def test_the_list_holds_what_can_be_made_in_order() -> None:
    known = ids.registered()
    assert {"CartPole-v1", "FrozenLake-v1", "Pendulum-v1", "HalfCheetah-v5"} <= set(known)
    assert list(known) == sorted(known)


@pytest.mark.parametrize(
    ("env_id", "said", "near"),
    [
        ("Pusher-v4", "mujoco < 3", "Pusher-v5"),
        ("Ant-v3", "gymnasium_robotics", "Ant-v4 or Ant-v5"),
        ("HalfCheetah-v2", "gymnasium_robotics", "HalfCheetah-v5"),
        ("phys2d/CartPole-v1", "jax", "CartPole-v1"),
        ("tabular/Blackjack-v0", "jax", "Blackjack-v1"),
        ("GymV21Environment-v0", "shimmy", ""),
    ],
)
def test_what_cannot_be_trained_on_is_not_in_the_list_and_says_why(
    env_id: str, said: str, near: str
) -> None:
    assert env_id in gym.registry
    assert env_id not in ids.registered()
    assert not ids.can_make(env_id)
    text = ids.unknown(env_id)
    assert text.startswith(f"env={env_id} ")
    assert said in text
    assert near in text.partition("Did you mean")[2]


def test_an_extra_that_is_not_installed_is_in_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio", None)
    assert ids.lacking("HalfCheetah-v5") == "mujoco"
    monkeypatch.setitem(sys.modules, "pygame", None)
    assert ids.lacking("CartPole-v1") is None  # it runs without, and is not drawn


def test_the_list_holds_the_atari_games() -> None:
    pytest.importorskip("ale_py")
    assert "ALE/Pong-v5" in ids.registered()


@pytest.mark.parametrize(
    ("package", "env_id"),
    [("minatar", "MinAtar/Breakout-v1"), ("minigrid", "MiniGrid-Empty-5x5-v0")],
)
def test_ids_of_a_package_need_no_import_by_the_user(package: str, env_id: str) -> None:
    pytest.importorskip(package)
    before = logging.root.handlers[:]
    assert ids.can_make(env_id)
    assert env_id in ids.registered()
    assert logging.root.handlers == before


def test_the_list_of_a_prefix_holds_it_alone() -> None:
    known = ids.registered("CartPole")
    assert known == tuple(i for i in ids.registered() if i.startswith("CartPole"))
    assert len(known) >= 2


@pytest.mark.parametrize(
    ("env_id", "can"), [("CartPole-v1", True), ("any.module:Any-v0", True), ("CartPole-v77", False)]
)
def test_what_can_be_made(env_id: str, can: bool) -> None:
    assert ids.can_make(env_id) is can


@pytest.mark.parametrize(
    ("env_id", "near"),
    [
        ("CartPol-v1", "CartPole-v1"),
        ("cartpole-v1", "CartPole-v1"),
        ("CartPole-v7", "CartPole-v0 or CartPole-v1?"),
        ("CartPole", "CartPole-v0 or CartPole-v1?"),
        ("FrozenLake8x8v1", "FrozenLake8x8-v1"),
        ("qqqqqqq", "`rltrain list envs`"),
    ],
)
def test_an_unknown_id_is_answered_with_the_nearest(env_id: str, near: str) -> None:
    text = ids.unknown(env_id)
    assert text.startswith(f"env={env_id}: there is no such environment.")
    assert near in text


def test_an_id_of_an_extra_that_is_missing_names_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without(monkeypatch, "ale_py")
    text = ids.unknown("ALE/Pong-v5")
    assert text.startswith("env=ALE/Pong-v5 ")
    assert 'pip install "rltrain[atari]"' in text


def test_an_id_of_an_extra_that_is_there_is_answered_with_the_nearest() -> None:
    pytest.importorskip("ale_py")
    text = ids.unknown("ALE/Pnog-v5")
    assert "pip install" not in text
    assert "ALE/Pong-v5" in text


@pytest.mark.parametrize("env_id", ["rltrain/EverySight-v0", "rltrain/CartPoleNoVelocity-v0"])
def test_ids_of_rltrain_need_no_module(env_id: str) -> None:
    code = f"from rltrain.envs import ids; assert ids.can_make({env_id!r})"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_emulator_does_not_greet() -> None:
    pytest.importorskip("ale_py")
    code = "from rltrain.envs import ids; ids.registered('ALE/Pong-v5'); import gymnasium as gym"
    made = f"{code}; gym.make('ALE/Pong-v5', frameskip=1).close()"
    done = subprocess.run([sys.executable, "-c", made], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_packages_that_are_missing_add_no_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "ale_py")
    monkeypatch.delitem(sys.modules, "ale_py", raising=False)
    assert "CartPole-v1" in ids.registered.__wrapped__()
    assert "ale_py" not in sys.modules


def test_a_module_is_imported_from_the_working_directory(folder: Path) -> None:
    write_module(folder, "toys_of_mine", "Mine-v0")
    ids.import_module_of("toys_of_mine:Mine-v0")
    assert "Mine-v0" in gym.registry
    assert sys.modules["toys_of_mine"].__file__ == str(folder / "toys_of_mine.py")


def test_an_id_with_a_namespace_may_stand_behind_the_colon(folder: Path) -> None:
    write_module(folder, "toys_of_mine", "mine/Toy-v0")
    ids.import_module_of("toys_of_mine:mine/Toy-v0")
    assert "mine/Toy-v0" in gym.registry


def test_an_installed_module_of_a_package_is_imported_too() -> None:
    ids.import_module_of("tests.envs.toys:Toy-v0")
    assert "Toy-v0" in gym.registry


@pytest.mark.parametrize("module", ["nowhere_at_all", "rltrain.nowhere", "nowhere.at.all"])
def test_a_module_that_is_missing_is_named_with_the_directory(folder: Path, module: str) -> None:
    with pytest.raises(UserError) as error:
        ids.import_module_of(f"{module}:Toy-v0")
    assert f"env={module}:Toy-v0" in str(error.value)
    assert f"no module {module!r} in {folder}" in str(error.value)
    assert error.value.exit_code == USAGE


def test_what_a_module_itself_lacks_is_not_blamed_on_the_id(folder: Path) -> None:
    (folder / "toys_of_mine.py").write_text("import lacking_here\n")
    with pytest.raises(ModuleNotFoundError, match="lacking_here"):
        ids.import_module_of("toys_of_mine:Mine-v0")


def test_a_module_that_does_not_register_the_id_names_the_nearest(folder: Path) -> None:
    write_module(folder, "toys_of_mine", "MineField-v0")
    with pytest.raises(UserError, match="toys_of_mine does not register Minefeld-v0") as error:
        ids.import_module_of("toys_of_mine:Minefeld-v0")
    assert "Did you mean MineField-v0" in str(error.value)


@pytest.mark.parametrize("env_id", [":CartPole-v1", ".toys:Toy-v0"])
def test_a_colon_without_a_module_is_a_mistake_of_the_user(env_id: str) -> None:
    with pytest.raises(UserError, match="env="):
        ids.import_module_of(env_id)
