"""Making one environment out of its settings."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import TimeLimit

from rltrain.core.errors import EnvError, UserError, did_you_mean
from rltrain.core.layout import layout_of
from rltrain.envs import atari, emulator, ids, packages, zoo
from rltrain.envs.team import Team
from rltrain.envs.wrappers import DropKeys, FrameStack, SharedWindow
from rltrain.settings import registry
from rltrain.settings.augments import check_observations
from rltrain.settings.encoders import choose_encoders
from rltrain.settings.fit import check_fit, check_team
from rltrain.settings.run import EnvSettings, RunSettings
from rltrain.settings.schema import show
from rltrain.settings.sizes import check_sizes


def make_env(settings: EnvSettings, **overrides: Any) -> gym.Env[Any, Any]:
    """A fresh environment; `overrides` are arguments of its constructor.

    Raises:
        UserError: the id, an argument or a package is wrong or missing.
    """
    kwargs = {**settings.kwargs, **overrides}
    if zoo.is_id(settings.id):
        return _by_factory(settings, zoo.factory(settings.id), kwargs)
    if not ids.can_make(settings.id):
        raise UserError(ids.unknown(settings.id))
    ids.import_module_of(settings.id)
    name = settings.id.rpartition(":")[2]
    if name not in gym.registry and (factory := ids.factory(settings.id)) is not None:
        return _by_factory(settings, factory, kwargs)
    spec = gym.spec(name)
    _check_kwargs(spec, kwargs)
    steps = _atari_steps(settings, name)
    if steps is not None:
        kwargs = atari.arguments(steps, kwargs, settings.sticky_actions)
    elif settings.max_episode_steps is not None:
        kwargs["max_episode_steps"] = settings.max_episode_steps
    try:
        # Gymnasium's own checker is slow, and the vector checks what matters.
        env = gym.make(spec, disable_env_checker=True, **kwargs)
        if env.render_mode not in (None, "ansi"):
            env = _drawn(env)
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        raise packages.explain(settings.id, error, ids.module_of(spec)) from error
    except gym.error.Error as error:
        raise UserError(f"env={settings.id} cannot be made: {error}") from error
    except Exception as error:
        raise _broken(settings, error) from error
    if steps is not None:
        env = atari.AtariGame(env, steps, settings.max_episode_steps)
    return _wrapped(env, settings)


def _drawn(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Return an environment that may render: pygame, which Gymnasium imports late, is there."""
    if not packages.draws_with_pygame(type(env.unwrapped).__module__):
        return env
    importlib.import_module("pygame")
    return SharedWindow(env)


def _wrapped(env: gym.Env[Any, Any], settings: EnvSettings) -> gym.Env[Any, Any]:
    """With what any environment can be wrapped in."""
    emulator.record(env)
    env = DropKeys(env, settings.drop_keys) if settings.drop_keys else env
    if settings.frame_stack == 1:
        return env
    if isinstance(env.unwrapped, Team):
        raise UserError(
            f"env.frame_stack={settings.frame_stack}: observations of several agents are not"
            " stacked. Set env.frame_stack=1."
        )
    return FrameStack(env, settings.frame_stack)


def _atari_steps(settings: EnvSettings, name: str) -> atari.Steps | None:
    """What is done to an Atari game; None for what is none.

    Raises:
        UserError: a key of games is set for another environment.
    """
    steps = atari.Steps(*(getattr(settings, name) for name in atari.Steps._fields))
    if name.startswith(atari.NAMESPACE):
        return steps
    plain = atari.Steps()._asdict() | {"sticky_actions": None}
    for key, value in plain.items():
        if getattr(settings, key) != value:
            raise UserError(
                f"env.{key}={show(getattr(settings, key))} is for ALE/ ids, and"
                f" env={settings.id} is none. Leave it at {show(value)}."
            )
    return None


def _by_factory(
    settings: EnvSettings, factory: Callable[..., Any], kwargs: dict[str, Any]
) -> gym.Env[Any, Any]:
    """What a function makes: an environment of Gymnasium's, or a parallel one of PettingZoo's."""
    try:
        made = factory(**kwargs)
    except TypeError as error:
        if "unexpected keyword argument" in str(error):
            raise UserError(f"env.kwargs: {settings.id}: {error}.") from error
        raise _broken(settings, error) from error
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        raise packages.explain(settings.id, error, getattr(factory, "__module__", "")) from error
    except Exception as error:
        raise _broken(settings, error) from error
    if isinstance(made, gym.Env):
        env = made
    elif hasattr(made, "possible_agents") and not hasattr(made, "agent_iter"):
        env = Team(made, settings.id)
    else:
        raise UserError(
            f"env={settings.id} makes a {type(made).__name__}: it must be a gymnasium.Env, or a"
            " parallel environment by PettingZoo's interface."
        )
    _atari_steps(settings, settings.id)
    if settings.max_episode_steps is not None:
        env = TimeLimit(env, settings.max_episode_steps)
    return _wrapped(env, settings)


def _broken(settings: EnvSettings, error: Exception) -> EnvError:
    return EnvError(f"env={settings.id}: its constructor raised {type(error).__name__}: {error}")


def _check_kwargs(spec: gym.envs.registration.EnvSpec, kwargs: dict[str, Any]) -> None:
    entry = spec.entry_point
    if isinstance(entry, str):
        module, _, name = entry.partition(":")
        try:
            entry = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, gym.error.DependencyNotInstalled):
            return  # making it says which package is missing
    parameters = inspect.signature(entry).parameters if callable(entry) else {}
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in kwargs:
        if name not in parameters:
            near = did_you_mean(name, [p for p in parameters if p != "self"])
            raise UserError(f"env.kwargs.{name}: {spec.id} has no such argument.{near}")


def check_env(run: RunSettings) -> None:
    """Makes a run's environment once, without torch, to see that it exists and fits.

    Raises:
        UserError: it does not; or a part of its observations does not fit the network.
    """
    env = make_env(run.env)
    try:
        algo = registry.entry("algo", run.algo.name)
        team = env.unwrapped
        if isinstance(team, Team):
            shared = getattr(run.algo, "share_parameters", False)
            for agent in team.agents:
                check_sizes(run, agent.observation_space, agent.action_space)
            check_team(algo, run.env.id, team.agents, shared)
            return
        check_fit(algo, run.env.id, env.observation_space, env.action_space)
        check_sizes(run, env.observation_space, env.action_space)
        layout = layout_of(env.observation_space)
        check_observations(run.augment.name, run.network, layout)
        if not layout.flat or getattr(run.network, "encoders", None):
            choose_encoders(run.network, layout)
    finally:
        env.close()
