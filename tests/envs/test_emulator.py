"""Atari's emulator: a restored game shows and computes the same in each frame."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from rltrain.envs import emulator, snapshot
from rltrain.envs.snapshot import NotExactError
from rltrain.envs.trial import try_out

pytest.importorskip("ale_py")
# Games in which a state that ale-py restores differs in pictures or in memory for some frames.
GAMES = ("Pong", "Asteroids", "SpaceInvaders")


def make(game: str, seed: int = 3) -> Any:
    env: Any = gym.make(f"ALE/{game}-v5", frameskip=1, disable_env_checker=True)
    emulator.record(env)
    env.reset(seed=seed)
    return env


def press(ale: Any, rng: np.random.Generator, frames: int) -> list[Any]:
    """What each frame of random actions scores, shows and leaves in memory."""
    actions = ale.getMinimalActionSet()
    rows = []
    for _ in range(frames):
        score = ale.act(actions[rng.integers(len(actions))])
        rows.append((score, ale.getScreenRGB(), ale.getRAM(), ale.lives(), ale.game_over()))
    return rows


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("games", [0, 1])
def test_a_restored_game_goes_on_as_it_did(game: str, games: int) -> None:
    one, other = make(game), make(game, seed=4)
    press(one.unwrapped.ale, np.random.default_rng(0), 300 * games)
    for _ in range(games):  # without a seed: what is left of the game before counts for nothing
        one.reset()
    press(one.unwrapped.ale, np.random.default_rng(1), 700)
    press(other.unwrapped.ale, np.random.default_rng(2), 50)
    snapshot.restore(other, snapshot.capture(one))
    a, b = one.unwrapped.ale, other.unwrapped.ale
    for x, y in zip(*(press(ale, np.random.default_rng(5), 40) for ale in (a, b)), strict=True):
        assert all(np.array_equal(p, q) for p, q in zip(x, y, strict=True))
    assert snapshot.difference(one, snapshot.capture(one), snapshot.capture(other)) is None


@pytest.mark.parametrize("game", GAMES)
def test_a_clone_of_the_emulator_alone_is_not_exact(game: str) -> None:
    """Why games are played again; where it fails, ale-py's states are whole, and that can go."""
    one, other = (make(game).unwrapped.ale for _ in range(2))
    press(one, np.random.default_rng(0), 700)
    state = one.cloneState(include_rng=True)
    other.restoreState(state)
    rows = zip(*(press(ale, np.random.default_rng(5), 40) for ale in (one, other)), strict=True)
    assert any(not np.array_equal(p, q) for x, y in rows for p, q in zip(x, y, strict=True))


def test_the_trial_says_which_games_are_restored_exactly() -> None:
    env = make("Pong")
    assert try_out(env).why_not is None
    raw = gym.make("ALE/Pong-v5", disable_env_checker=True)
    reason = try_out(raw).why_not
    assert reason is not None
    assert "ale is a ALEInterface" in reason


def test_what_cannot_be_played_again_is_not_exact() -> None:
    env = make("Pong")
    made, _ = snapshot.read_fresh([env])
    snapshot.capture(env, made[0])
    env.unwrapped.ale.act(0, 0.5)  # of a paddle that is turned so far
    with pytest.raises(NotExactError, match="ALEInterface"):
        snapshot.capture(env, made[0])
    env.reset()
    snapshot.capture(env, made[0])


def test_a_game_that_leads_elsewhere_is_not_restored() -> None:
    env = make("Pong")
    press(env.unwrapped.ale, np.random.default_rng(0), 20)
    env.unwrapped.ale.setRAM(20, 77)
    state = env.unwrapped.ale.snapshot()
    with pytest.raises(ValueError, match="played again, differs"):
        make("Pong").unwrapped.ale.restore(state)


def test_a_state_of_an_earlier_version_is_restored_as_it_was() -> None:
    one, other = (make("Pong").unwrapped.ale for _ in range(2))
    press(one, np.random.default_rng(0), 20)
    state = one.snapshot()
    assert state is not None
    other.restore({"value": state["value"]})
    press(other, np.random.default_rng(1), 9)
    assert not np.array_equal(one.getRAM(), other.getRAM())
    press(one, np.random.default_rng(1), 9)
    assert np.array_equal(one.getRAM(), other.getRAM())
