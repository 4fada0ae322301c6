"""What is called to make an environment, and what never is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from rltrain.core.errors import UserError
from rltrain.envs.make import make_env
from rltrain.settings.run import EnvSettings, build_run

MODULE = """
from __future__ import annotations
import functools, os
import gymnasium as gym
from os import system
from shutil import rmtree
from subprocess import Popen
from numpy import load

class Mine(gym.Env):
    observation_space = gym.spaces.Box(0, 1, (1,))
    action_space = gym.spaces.Discrete(2)
    def __init__(self, gain=1, render_mode=None): self.gain = gain

def made(gain=1):
    return Mine(gain)

partial = functools.partial(Mine, gain=3)
partial_of_function = functools.partial(made, gain=3)
inner = lambda gain=1: made(gain)
partial_of_system = functools.partial(os.system, "touch ran")

class Callable:
    def __call__(self): return Mine()

instance = Callable()
method = Callable().__call__

def other():
    return 3
"""
LAZY = """
def typed() -> "Env":
    from {0} import Mine
    return Mine()

def imports():
    import gymnasium
    from {0} import Mine
    return Mine()

def silent():
    open("ran", "w").close()
"""


@pytest.fixture
def modules(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(in_tmp))
    (in_tmp / "factory_module.py").write_text(MODULE)
    (in_tmp / "lazy_module.py").write_text(LAZY.format("factory_module"))
    yield
    for name in ("factory_module", "lazy_module"):
        sys.modules.pop(name, None)


@pytest.fixture
def settings(compose: Any) -> Any:
    def of(env_id: str, **kwargs: Any) -> EnvSettings:
        values = compose("algo=ppo", "env=CartPole-v1")
        values["env"] |= {"id": env_id, "kwargs": kwargs}
        return build_run(values).env

    return of


@pytest.mark.parametrize(
    "name", ["Mine", "made", "partial", "partial_of_function", "inner"], ids=str
)
def test_classes_and_functions_of_environments_are_called(
    settings: Any, modules: None, name: str
) -> None:
    env: Any = make_env(settings(f"factory_module:{name}", gain=2)).unwrapped
    assert type(env).__name__ == "Mine"
    assert env.gain == 2


@pytest.mark.parametrize("name", ["typed", "imports"])
def test_functions_that_import_later_are_called(settings: Any, modules: None, name: str) -> None:
    assert type(make_env(settings(f"lazy_module:{name}")).unwrapped).__name__ == "Mine"


@pytest.mark.parametrize(
    ("env_id", "kwargs", "reason"),
    [
        ("os:system", {"command": "touch ran"}, "os is of Python's standard library"),
        ("posix:system", {"command": "touch ran"}, "posix is of Python's standard library"),
        ("subprocess:Popen", {"args": ["touch", "ran"]}, "is of Python's standard library"),
        ("builtins:eval", {}, "builtins is of Python's standard library"),
        ("os.path:exists", {"path": "x"}, r"os.path is of Python's standard library"),
        ("antigravity:x", {}, "is of Python's standard library"),
        ("factory_module:system", {"command": "touch ran"}, "neither an environment class nor"),
        ("factory_module:partial_of_system", {}, "neither an environment class nor a function"),
        ("factory_module:Popen", {"args": ["touch", "ran"]}, "a class, but not one of env"),
        ("factory_module:rmtree", {"path": "kept"}, "is defined in shutil, and is not called"),
        ("factory_module:instance", {}, "neither an environment class nor a function"),
        ("factory_module:method", {}, "neither an environment class nor a function"),
        ("factory_module:Callable", {}, "is a class, but not one of environments"),
        ("lazy_module:silent", {}, r"nothing tells that this function makes an environment"),
        ("numpy:load", {"file": "x", "allow_pickle": True}, "nothing tells|is defined in"),
        ("numpy:array", {"object": [1]}, "neither an environment class nor a function"),
        ("yaml:unsafe_load", {"stream": "x"}, "nothing tells that this function makes"),
        ("torch:load", {"f": "x"}, "nothing tells|is defined in"),
        ("rltrain.cli:main", {}, "nothing tells that this function makes an environment"),
    ],
)
def test_nothing_else_is_ever_called(
    settings: Any, modules: None, env_id: str, kwargs: dict[str, Any], reason: str
) -> None:
    Path("kept").mkdir()
    with pytest.raises(UserError, match=reason) as caught:
        make_env(settings(env_id, **kwargs))
    assert "\n" not in str(caught.value)
    assert Path("kept").is_dir()
    assert not Path("ran").exists()


def test_what_a_function_returns_is_checked(settings: Any, modules: None) -> None:
    with pytest.raises(UserError, match="makes a int"):
        make_env(settings("factory_module:other"))


@pytest.mark.parametrize("module", ["this", "os", "antigravity", "not a name", "a..b", ""])
def test_plugins_are_modules_that_are_not_pythons_own(compose: Any, module: str) -> None:
    values = compose("algo=ppo", "env=CartPole-v1") | {"plugins": [module]}
    with pytest.raises(UserError, match=r"^plugins: "):
        build_run(values)
    assert "antigravity" not in sys.modules
