"""Probes do what their documentation says, whatever the kind of their spaces."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from rltrain.envs.probes import (
    PROBES,
    BestAction,
    ObservedAction,
    ObservedValue,
    OneStep,
    Probe,
    RememberedBit,
    TruncatedChain,
    TwoSteps,
)

DISCRETE = pytest.mark.parametrize("discrete", [False, True])


def bit_of(obs: Any, discrete: bool) -> int:
    """The bit that an observation shows."""
    if discrete:
        return {0: 0, 1: 1}[obs]
    return {-1.0: 0, 1.0: 1}[obs.item()]


def start_at(probe: Probe, bit: int) -> Any:
    """The first observation of an episode that begins with a bit."""
    for seed in range(50):
        obs, _ = probe.reset(seed=seed)
        if probe.bit == bit:
            return obs
    raise AssertionError(f"no episode begins with {bit}")


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"discrete": True},
        {"continuous": True},
        {"actions": "MultiDiscrete"},
        {"actions": "MultiBinary"},
    ],
)
def test_a_probe_keeps_the_rules_of_an_environment(name: str, kwargs: dict[str, Any]) -> None:
    env = gym.make(f"rltrain/{name}-v0", disable_env_checker=True, **kwargs).unwrapped
    assert type(env) is PROBES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # opinions about normalised spaces
        check_env(env, skip_render_check=True)
    assert isinstance(
        env.observation_space, spaces.Discrete if kwargs.get("discrete") else spaces.Box
    )
    kind = kwargs.get("actions", "Box" if kwargs.get("continuous") else "Discrete")
    assert type(env.action_space).__name__ == kind


@pytest.mark.parametrize(
    ("actions", "best", "of_bit"),
    [("MultiDiscrete", (1, 2), [(0, 0), (1, 2)]), ("MultiBinary", (1, 0), [(0, 1), (1, 0)])],
)
def test_the_best_of_several_components(
    actions: str, best: tuple[int, int], of_bit: list[tuple[int, int]]
) -> None:
    def reward(probe: Probe, action: tuple[int, ...]) -> float:
        return probe.step(np.array(action))[1]

    probe = BestAction(actions=actions)
    probe.reset()
    assert reward(probe, best) == 1
    assert reward(probe, (best[0], 1)) == 0
    assert reward(probe, (0, 1)) == -1
    probe = ObservedAction(actions=actions)
    for bit, right in enumerate(of_bit):
        start_at(probe, bit)
        assert reward(probe, right) == 1
        assert reward(probe, (1 - right[0], right[1])) == 0


@DISCRETE
def test_one_step_is_worth_1(discrete: bool) -> None:
    probe = OneStep(discrete)
    for _ in range(3):
        assert bit_of(probe.reset()[0], discrete) == 0
        obs, *rest = probe.step(0)
        assert bit_of(obs, discrete) == 0
        assert rest == [1.0, True, False, {}]


@DISCRETE
def test_the_observed_value_is_the_sign_of_the_bit(discrete: bool) -> None:
    probe = ObservedValue(discrete)
    for bit, reward in ((0, -1.0), (1, 1.0)):
        assert bit_of(start_at(probe, bit), discrete) == bit
        assert probe.step(0)[1:4] == (reward, True, False)


def test_both_bits_are_as_frequent() -> None:
    for probe in (ObservedValue(), ObservedAction(), RememberedBit()):
        probe.reset(seed=0)
        bits = []
        for _ in range(400):
            probe.reset()
            bits.append(probe.bit)
        assert 160 < sum(bits) < 240


@DISCRETE
def test_two_steps_pay_at_the_second(discrete: bool) -> None:
    probe = TwoSteps(discrete)
    for _ in range(2):
        assert bit_of(probe.reset()[0], discrete) == 0
        obs, *rest = probe.step(0)
        assert bit_of(obs, discrete) == 1
        assert rest[:3] == [0.0, False, False]
        assert probe.step(0)[1:4] == (1.0, True, False)


@DISCRETE
def test_the_best_action_is_1(discrete: bool) -> None:
    probe = BestAction(discrete)
    assert bit_of(probe.reset()[0], discrete) == 0
    assert probe.step(1)[1:4] == (1.0, True, False)
    probe.reset()
    assert probe.step(np.int64(0))[1:4] == (-1.0, True, False)


@DISCRETE
def test_the_observed_action_is_the_bit(discrete: bool) -> None:
    probe = ObservedAction(discrete)
    for bit in (0, 1):
        for action in (0, 1):
            assert bit_of(start_at(probe, bit), discrete) == bit
            assert probe.step(action)[1:4] == (1.0 if action == bit else -1.0, True, False)


@pytest.mark.parametrize(
    ("action", "reward"), [(0.5, 1.0), (-0.5, 0.0), (0.0, 0.75), (1.0, 0.75), (-1.0, -1.25)]
)
def test_the_best_continuous_action_is_a_half(action: float, reward: float) -> None:
    probe = BestAction(continuous=True)
    probe.reset()
    assert probe.step(np.array([action], np.float32))[1] == reward


@pytest.mark.parametrize(("bit", "best"), [(0, -0.5), (1, 0.5)])
def test_the_best_continuous_action_is_the_bit_less_a_half(bit: int, best: float) -> None:
    probe = ObservedAction(continuous=True)
    rewards = {}
    for action in np.linspace(-1, 1, 9, dtype=np.float32):
        start_at(probe, bit)
        rewards[float(action)] = probe.step(np.array([action]))[1]
    assert max(rewards, key=rewards.__getitem__) == best
    assert rewards[best] == 1.0


@DISCRETE
@pytest.mark.parametrize("kwargs", [{}, {"length": 3}])
def test_the_chain_is_cut_but_never_ends(discrete: bool, kwargs: dict[str, int]) -> None:
    probe = TruncatedChain(discrete, **kwargs)
    length = kwargs.get("length", 5)
    for _ in range(2):
        assert bit_of(probe.reset()[0], discrete) == 0
        for i in range(1, length + 1):
            obs, *rest = probe.step(0)
            assert bit_of(obs, discrete) == 0
            assert rest[:3] == [1.0, False, i == length]


@DISCRETE
@pytest.mark.parametrize("bit", [0, 1])
@pytest.mark.parametrize("action", [0, 1])
def test_the_remembered_bit_is_seen_once_and_asked_for_later(
    discrete: bool, bit: int, action: int
) -> None:
    probe = RememberedBit(discrete)
    assert bit_of(start_at(probe, bit), discrete) == bit
    obs, *rest = probe.step(1 - action)
    assert obs == 0  # the same for both bits
    assert rest[:3] == [0.0, False, False]
    obs, *rest = probe.step(action)
    assert obs == 0
    assert rest[:3] == [1.0 if action == bit else -1.0, True, False]
