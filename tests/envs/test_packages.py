"""A package that is missing is named as it is imported, with the extra that brings it."""

from __future__ import annotations

import re
import sys
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import pytest

from rltrain.core.errors import UserError
from rltrain.envs import packages
from rltrain.envs.make import make_env
from tests.envs.test_make import settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """As in a process that has imported no environment."""

    def imported() -> list[str]:
        own = re.compile(r"gymnasium\.envs\.(box2d|classic_control|mujoco|toy_text)\b")
        return [name for name in sys.modules if own.match(name)]

    for name in imported():
        monkeypatch.delitem(sys.modules, name)
    yield monkeypatch
    for name in imported():
        del sys.modules[name]


def without(monkeypatch: pytest.MonkeyPatch, *missing: str, stubs: tuple[str, ...] = ()) -> None:
    """As if some packages were not installed, and some were that this suite does not need."""
    for name in stubs:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize(
    ("env_id", "kwargs", "missing", "stubs", "extra"),
    [
        ("HalfCheetah-v5", {}, "mujoco", (), "mujoco"),
        ("HalfCheetah-v5", {}, "imageio", ("mujoco", "glfw"), "mujoco"),
        ("HalfCheetah-v4", {}, "imageio", ("mujoco", "glfw"), "mujoco"),
        ("LunarLander-v3", {}, "Box2D", (), "box2d"),
        ("CartPole-v1", {"render_mode": "human"}, "pygame", (), "classic"),
        ("Pendulum-v1", {"render_mode": "rgb_array"}, "pygame", (), "classic"),
        ("FrozenLake-v1", {"render_mode": "human"}, "pygame", (), "classic"),
        ("rltrain/CartPoleNoVelocity-v0", {}, "", (), ""),
        ("CartPole-v1", {}, "", (), ""),
        ("FrozenLake-v1", {"render_mode": "ansi"}, "", (), ""),
    ],
)
def test_gymnasiums_own(
    env_id: str,
    kwargs: dict[str, str],
    missing: str,
    stubs: tuple[str, ...],
    extra: str,
    fresh: pytest.MonkeyPatch,
) -> None:
    without(fresh, missing or "pygame", stubs=stubs)
    if not missing:
        make_env(settings(env_id, **kwargs)).reset(seed=0)
        return
    with pytest.raises(UserError) as error:
        make_env(settings(env_id, **kwargs))
    assert str(error.value) == (
        f"env={env_id} needs the package {missing}, which is not installed:"
        f' pip install "rltrain[{extra}]"'
    )


def test_a_refusal_that_is_no_missing_package_keeps_its_reason(fresh: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise ImportError("`HalfCheetah-v4` is only supported on `mujoco<3`")

    fresh.setattr(gym, "make", refuse)
    with pytest.raises(UserError) as error:
        make_env(settings("HalfCheetah-v4"))
    assert str(error.value) == (
        "env=HalfCheetah-v4 cannot be made: `HalfCheetah-v4` is only supported on `mujoco<3`"
    )


def test_a_package_of_no_extra_is_named_without_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop.py").write_text(
        "import gymnasium\n\ndef env() -> gymnasium.Env:\n    import toyshop.dolls\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError) as error:
        make_env(settings("shop:env"))
    assert str(error.value) == "env=shop:env needs the package toyshop, which is not installed."


def plain(name: str) -> str:
    """Return the name of a distribution as package indexes compare it."""
    return name.lower().replace("_", "-")


def test_each_extra_is_one_of_pyproject_and_brings_what_is_said() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    distributions = {
        "pygame": "pygame-ce",
        "pymunk": "pymunk",
        "Box2D": "box2d",
        "ale_py": "ale-py",
        "multi_agent_ale_py": "multi-agent-ale-py",
    }
    brought_by_another = {("minigrid", "pygame")}  # its own requirement

    def required(extra: str) -> set[str]:
        names: set[str] = set()
        for text in extras[extra]:
            if nested := re.fullmatch(r"rltrain\[(.*)\]", text):
                names |= set().union(*map(required, nested[1].split(",")))
            else:
                names.add(re.split("[<>=]", text)[0])
        return names

    for extra, modules in packages.BRINGS.items():
        expected = {m for m in modules if (extra, m) not in brought_by_another}
        assert {distributions.get(m, m) for m in expected} <= required(extra), extra
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    fixed = {plain(line.partition("==")[0]) for line in lines}
    assert {plain(name) for extra in extras for name in required(extra)} <= fixed
