"""How it is found out whether the state of an environment can be saved exactly."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core import seeding
from rltrain.core.state import digest
from rltrain.envs import saving, snapshot, trial
from rltrain.envs.saving import Verdict, verdict_of
from tests.envs.toys import (
    SOURCES,
    GlobalToy,
    HiddenToy,
    Hoard,
    Pocket,
    SharedToy,
    SnapshotToy,
    Toy,
)


def why_not(env: gym.Env, *others: gym.Env) -> str | None:
    return trial.try_out(env, others, limit=math.inf).why_not


class Sly(Toy):
    """Observes numbers that come from its class, which no snapshot of it holds."""

    drawn: ClassVar[list[int]] = [0]

    def draw(self) -> int:
        self.drawn[0] += 1
        return self.drawn[0]

    def number(self) -> int:
        return self.draw()


@pytest.mark.parametrize("cls", [Toy, GlobalToy, Hoard, SnapshotToy, SharedToy])
def test_what_can_be_read_can_be_saved(cls: type[gym.Env]) -> None:
    assert why_not(cls()) is None


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("generator", "HiddenToy.source is a generator, whose state cannot be read"),
        ("closure", "HiddenToy.source is a function that changes, and cannot be written back"),
        ("iterator", None),
    ],
)
def test_an_attribute_that_cannot_be_saved_is_named(source: str, reason: str | None) -> None:
    assert set(SOURCES) == {"generator", "closure", "iterator"}
    assert why_not(HiddenToy(source)) == reason


def test_what_cannot_be_read_and_shows_is_noticed() -> None:
    assert why_not(Sly()) == "a restored copy differs 1 steps later"


def test_a_difference_that_shows_only_later_is_noticed() -> None:
    class Late(Sly):
        def number(self) -> int:
            return super().number() if self.count == 30 else 0

    assert "differs" in (why_not(Late(length=50)) or "")


def test_a_difference_in_the_reward_alone_is_noticed() -> None:
    class Paid(Sly):
        def number(self) -> int:
            return 0

        def step(self, action: Any) -> Any:
            obs, _, *rest = super().step(action)
            return obs, float(self.draw()), *rest

    assert "differs" in (why_not(Paid()) or "")


def test_a_difference_after_the_next_reset_alone_is_noticed() -> None:
    class Fresh(Sly):
        def number(self) -> int:
            return self.draw() if self.count == 0 else 0

    assert "differs" in (why_not(Fresh()) or "")


def test_the_middle_of_an_episode_is_tried() -> None:
    """Restoring puts it at the beginning of its series, which is right after a reset alone."""

    class Rewound(SnapshotToy):
        def snapshot(self) -> dict[str, int]:
            return super().snapshot() | {"count": 0}

    assert "differs" in (why_not(Rewound(length=9)) or "")
    assert why_not(SnapshotToy(length=9)) is None


def test_an_error_while_restoring_is_a_reason() -> None:
    class Refusing(SnapshotToy):
        def restore(self, state: Any) -> None:
            raise RuntimeError("never")

    assert "RuntimeError: never" in (why_not(Refusing()) or "")


def test_an_object_whose_class_is_nowhere_to_be_found_is_a_reason() -> None:
    class Purse:
        coins = 0

    class Lazy(Toy):
        purse: Purse | None = None

        def step(self, action: Any) -> Any:
            self.purse = Purse()
            self.purse.coins = self.count
            return super().step(action)

        def reset(self, **kwargs: Any) -> Any:
            self.purse = None
            return super().reset(**kwargs)

    assert "fresh environment does not have" in (why_not(Lazy(length=9)) or "")


def test_an_object_that_a_step_makes_is_made_again() -> None:
    class Lazy(Toy):
        pocket: Pocket | None = None

        def number(self) -> int:
            self.pocket = None if self.count == 0 else self.pocket or Pocket()
            return 0 if self.pocket is None else self.pocket.dice.randrange(10**6)

    assert why_not(Lazy(length=9)) is None


@pytest.mark.parametrize("changes", [True, False])
def test_objects_that_copies_share_must_not_change(changes: bool) -> None:
    dice = random.Random(0)

    class Sharing(Toy):
        def __init__(self) -> None:
            super().__init__(9)
            self.dice = dice

        def number(self) -> int:
            return self.dice.randrange(99) if changes else 0

    reason = why_not(Sharing(), Sharing())
    assert reason == (
        "Sharing.dice is a Random that changes, and cannot be written back" if changes else None
    )
    assert why_not(Sharing()) is None


@pytest.mark.parametrize("cls", [GlobalToy, HiddenToy])
def test_asking_leaves_the_global_generators_alone(cls: type[gym.Env]) -> None:
    seeding.seed_everything(5)
    before = digest(seeding.global_state())
    trial.try_out(cls())
    assert digest(seeding.global_state()) == before
    random.random()
    assert digest(seeding.global_state()) != before  # the comparison sees a draw


@pytest.mark.parametrize(("cls", "clean"), [(Toy, True), (Hoard, True), (HiddenToy, False)])
def test_the_environment_is_put_back_or_said_not_to_be(cls: type[gym.Env], clean: bool) -> None:
    env = cls()
    before = digest(snapshot.capture(env))
    tried = trial.try_out(env)
    assert tried.clean is clean
    if clean:
        assert digest(snapshot.capture(env)) == before
        assert tried.steps > 100


class Scribbler(Toy):
    """Observes the sum of its actions, and sets each to 0 once it has been added."""

    def __init__(self) -> None:
        super().__init__(50)
        self.action_space = spaces.MultiDiscrete([3, 3])
        self.total = 0

    def step(self, action: Any) -> Any:
        self.total += int(action.sum())
        action *= 0
        return super().step(action)

    def number(self) -> int:
        return self.total


def test_actions_that_an_environment_overwrites_do_not_reach_its_copy() -> None:
    assert why_not(Scribbler()) is None


class Watch:
    """A clock that an environment moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow(Toy):
    """Takes `step` and `reset` seconds of a clock."""

    def __init__(self, watch: Watch, step: float, reset: float = 0.0) -> None:
        super().__init__(5)
        self.watch, self.seconds = watch, (step, reset)

    def step(self, action: Any) -> Any:
        self.watch.now += self.seconds[0]
        return super().step(action)

    def reset(self, **kwargs: Any) -> Any:
        self.watch.now += self.seconds[1]
        return super().reset(**kwargs)


@pytest.mark.parametrize(
    ("step", "reset", "steps", "resets"),
    [
        (1e-5, 0.0, 302, 69),
        (0.01, 0.0, 49, 13),
        (0.1, 0.0, 6, 1),
        (9.0, 0.0, 6, 1),
        (0.0, 9.0, 6, 1),
    ],
)
def test_a_trial_stops_where_steps_take_long(
    step: float, reset: float, steps: int, resets: int
) -> None:
    watch = Watch()
    env = Slow(watch, step, reset)
    tried = trial.try_out(env, clock=watch)
    assert (tried.steps, tried.resets) == (steps, resets)


def test_a_depth_that_becomes_slow_is_left() -> None:
    watch = Watch()

    class Slower(Slow):
        def step(self, action: Any) -> Any:
            self.seconds = (0.0, 0.0) if len(self.actions) < 9 else (2.0, 0.0)
            return super().step(action)

    tried = trial.try_out(Slower(watch, 0.0), clock=watch)
    assert tried.why_not is None
    assert tried.steps < 15


def test_a_verdict_is_remembered_until_the_environment_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = Toy()
    verdict, _ = verdict_of([env], None)
    assert verdict.why_not is None
    steps = len(env.actions)
    assert verdict_of([env], verdict) == (verdict, True)
    assert len(env.actions) == steps
    monkeypatch.setattr(gym, "__version__", "99")
    other, _ = verdict_of([env], verdict)
    assert other.environment != verdict.environment
    assert verdict_of([env], Verdict("no", saving.identity_of(env)))[0].why_not == "no"


def test_iterators_and_their_kin_are_written_back() -> None:
    class Walker(Toy):
        def __init__(self) -> None:
            super().__init__(9)
            self.numbers = [float(i) for i in range(50)]
            self.reset_sources()

        def reset_sources(self) -> None:
            self.sources: list[Any] = [
                iter(self.numbers),
                iter(tuple(self.numbers)),
                iter(range(50)),
                enumerate(self.numbers),
                zip(self.numbers, range(50), strict=True),
                itertools.count(3),
                itertools.cycle([1, 2, 3]),
                itertools.chain([1, 2], range(60)),
                iter(dict.fromkeys(range(50), 0)),
                reversed(self.numbers),
            ]

        def reset(self, **kwargs: Any) -> Any:
            self.reset_sources()
            return super().reset(**kwargs)

        def number(self) -> int:
            return int(sum(float(np.sum(next(source))) for source in self.sources))

    assert why_not(Walker()) is None
