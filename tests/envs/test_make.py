"""Making environments: arguments, missing packages, constructors that fail."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.envs.registration import EnvSpec

from rltrain.core.errors import EnvError, UserError
from rltrain.envs.make import check_env, make_env
from rltrain.envs.team import Team
from rltrain.settings.defaults import defaults
from rltrain.settings.run import EnvSettings, build_run
from rltrain.settings.schema import build
from tests.envs.toys import Toy


def settings(env_id: str, limit: int | None = None, **kwargs: Any) -> EnvSettings:
    values = defaults("env", "base") | {"id": env_id, "kwargs": kwargs, "num_envs": 1}
    return build(EnvSettings, values | {"max_episode_steps": limit})


def length_of_an_episode(env: gym.Env) -> int:
    env.reset(seed=0)
    for length in range(1, 300):
        _, _, terminated, truncated, _ = env.step(0)
        if terminated or truncated:
            return length
    raise AssertionError("it does not end")


def test_arguments_reach_the_constructor() -> None:
    env = make_env(settings("tests.envs.toys:Toy-v0", length=4))
    assert isinstance(env.unwrapped, Toy)
    assert length_of_an_episode(env) == 4


def test_overrides_win_over_settings() -> None:
    env = make_env(settings("tests.envs.toys:Toy-v0", length=4), length=6)
    assert length_of_an_episode(env) == 6


@pytest.mark.parametrize(
    ("chosen", "limit", "expected"), [({}, 7, 7), ({"length": 5}, 7, 5), ({}, None, 250)]
)
def test_the_time_limit_is_the_one_asked_for(
    chosen: dict[str, int], limit: int | None, expected: int
) -> None:
    kwargs = {"length": 250, **chosen}
    env = make_env(settings("tests.envs.toys:Toy-v0", limit, **kwargs))
    assert length_of_an_episode(env) == expected


def test_the_registered_time_limit_is_kept_unless_asked_otherwise() -> None:
    assert make_env(settings("CartPole-v1")).spec.max_episode_steps == 500
    assert make_env(settings("CartPole-v1", 30)).spec.max_episode_steps == 30


def test_an_unknown_id_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"env=CartPoel-v1: .*CartPole-v1"):
        make_env(settings("CartPoel-v1"))


def test_a_module_that_is_missing_is_named() -> None:
    with pytest.raises(UserError, match="nowhere_at_all"):
        make_env(settings("nowhere_at_all:Toy-v0"))


def test_an_unknown_argument_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError) as error:
        make_env(settings("tests.envs.toys:Toy-v0", lenght=4))
    assert "env.kwargs.lenght: Toy-v0 has no such argument." in str(error.value)
    assert "Did you mean length?" in str(error.value)


def test_an_unknown_argument_of_gymnasiums_own_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"env\.kwargs\.is_slipery: .*is_slippery"):
        make_env(settings("FrozenLake-v1", is_slipery=True))


def test_a_constructor_that_takes_any_argument_is_given_it() -> None:
    env = make_env(settings("tests.envs.toys:HiddenToy-v0", length=4))
    assert length_of_an_episode(env) == 4


def test_a_constructor_that_raises_is_an_error_of_the_environment() -> None:
    with pytest.raises(EnvError) as error:
        make_env(settings("tests.envs.toys:Toy-v0", fault="constructor"))
    assert "env=tests.envs.toys:Toy-v0" in str(error.value)
    assert "ValueError: the toy is broken" in str(error.value)
    assert isinstance(error.value.__cause__, ValueError)


def test_a_refusal_of_gymnasium_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise gym.error.InvalidAction("no")

    monkeypatch.setattr(gym, "make", fail)
    with pytest.raises(UserError, match="env=CartPole-v1 cannot be made: no"):
        make_env(settings("CartPole-v1"))


def test_the_check_of_a_run_closes_its_environment(
    compose: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = Toy()
    monkeypatch.setattr("rltrain.envs.make.make_env", lambda settings: toy)
    check_env(build_run(compose("algo=ppo", "env=tests.envs.toys:Toy-v0")))
    assert toy.closed == 1


def test_the_check_of_a_run_refuses_spaces_that_do_not_fit(
    compose: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = Toy(box_actions=True)
    monkeypatch.setattr("rltrain.envs.make.make_env", lambda settings: toy)
    with pytest.raises(UserError, match="algo=dqn does not fit"):
        check_env(build_run(compose("algo=dqn", "env=tests.envs.toys:Toy-v0")))
    assert toy.closed == 1


def test_a_function_of_a_module_makes_a_parallel_environment_or_a_plain_one() -> None:
    env = make_env(settings("tests.envs.parallel_toys:make_parallel", length=5))
    assert isinstance(env.unwrapped, Team)
    assert env.unwrapped.parallel_env.ends["a"][0] == 5
    assert isinstance(make_env(settings("tests.envs.toys:Toy", 7, length=9)).unwrapped, Toy)
    assert length_of_an_episode(make_env(settings("tests.envs.toys:Toy", 7, length=9))) == 7


@pytest.mark.parametrize(
    ("name", "kwargs", "error", "said"),
    [
        ("make_nonsense", {}, UserError, "makes a int: it must be a gymnasium.Env, or a parallel"),
        ("make_parallel", {"size": 3}, UserError, "env.kwargs: .*'size'"),
        ("make_parallels", {}, UserError, "does not register make_parallels"),
        ("make_script", {"ends": 3, "observations": 5}, EnvError, "its constructor raised"),
    ],
)
def test_what_a_function_cannot_make_is_explained(
    name: str, kwargs: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        make_env(settings(f"tests.envs.parallel_toys:{name}", **kwargs))


def test_a_run_on_an_environment_that_is_for_others_is_refused(
    compose: Callable[..., dict[str, Any]],
) -> None:
    check_env(build_run(compose("algo=iql", "env=two_carts")))
    with pytest.raises(UserError, match="it is for one agent, and here are several"):
        check_env(build_run(compose("algo=ppo", "env=two_carts")))
    with pytest.raises(UserError, match="it is for several agents, and here is one"):
        check_env(build_run(compose("algo=iql", "env=CartPole-v1")))


def test_observations_of_several_agents_are_not_stacked(compose: Any) -> None:
    with pytest.raises(UserError, match=r"^env\.frame_stack=2: .*several agents"):
        check_env(build_run(compose("algo=iql", "env=two_carts", "env.frame_stack=2")))


@pytest.mark.parametrize("mode", ["human", "rgb_array"])
def test_closing_an_environment_leaves_the_window_to_others(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pygame", types.ModuleType("pygame"))
    monkeypatch.setattr(CartPoleEnv, "render", lambda self: None)
    monkeypatch.setattr(CartPoleEnv, "close", lambda self: closed.append(self))
    closed: list[gym.Env] = []
    make_env(settings("CartPole-v1")).close()
    assert len(closed) == 1
    env = make_env(settings("CartPole-v1", render_mode=mode))
    env.reset(seed=0)
    env.close()
    assert len(closed) == 1  # pygame.quit() would take the surfaces of all away
    assert EnvSpec.from_json(env.spec.to_json()).make().render_mode == mode
