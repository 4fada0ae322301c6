"""Every kind of value that an environment may carry, through a checkpoint's file and back."""

from __future__ import annotations

import collections
import datetime
import enum
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from rltrain.core.state import digest
from rltrain.envs import snapshot
from rltrain.envs.snapshot import NotExactError
from tests.files import through_file


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Spot(NamedTuple):
    x: int
    marks: list[int]


class Slotted:
    __slots__ = ("__hidden", "count")

    def __init__(self, count: int) -> None:
        self.count = count
        self.__hidden = -count

    def total(self) -> int:
        return self.count * 100 + self.__hidden


class Bag(list[int]):
    """A list with an attribute."""

    owner = "nobody"


class Holder(gym.Env[Any, Any]):
    """Has one attribute, `it`, beside those of every environment."""

    observation_space = spaces.Discrete(2)
    action_space = spaces.Discrete(2)

    def __init__(self, it: Any) -> None:
        self.it = it


def _bag(*items: int, owner: str = "x") -> Bag:
    bag = Bag(items)
    bag.owner = owner
    return bag


def _advanced(iterator: Any, steps: int = 2) -> Any:
    for _ in range(steps):
        next(iterator)
    return iterator


def _twice(value: Any) -> list[Any]:
    return [value, value]


def _cycle() -> list[Any]:
    ring: list[Any] = [1]
    ring.append(ring)
    return ring


def _board() -> list[Any]:
    board = np.arange(12.0).reshape(3, 4)
    return [board, board[1:, ::2], board.T, board[::-1]]


def _rng() -> np.random.Generator:
    rng = np.random.default_rng(3)
    rng.random(5)
    return rng


KINDS: dict[str, Callable[[], Any]] = {
    "ordered": lambda: collections.OrderedDict([("b", 1), ("a", [2])]),
    "counter": lambda: collections.Counter("abca"),
    "defaultdict": lambda: collections.defaultdict(list, {1: [2]}),
    "named tuple": lambda: [Spot(1, [2]), Spot(3, [])],
    "growing list of enums": lambda: [Colour.RED, Colour.BLUE, Colour.RED],
    "enum as key": lambda: {Colour.RED: 1},
    "slots": lambda: [Slotted(3), Slotted(4)],
    "subclass of list": lambda: _bag(1, 2),
    "list iterator": lambda: _advanced(iter([1, 2, 3])),
    "iterator of an array": lambda: _advanced(iter(np.arange(4))),
    "tensor": lambda: torch.arange(6.0).reshape(2, 3),
    "whole tensor": lambda: torch.tensor([True]),
    "generator": _rng,
    "python's generator": lambda: random.Random(4),
    "complex": lambda: [1 + 2j, np.complex64(1j), bytearray(b"a"), frozenset({1})],
    "time": lambda: [datetime.datetime(2020, 1, 2), datetime.timedelta(3), Fraction(1, 3)],
    "np.datetime64": lambda: np.array(["2020-01-02"], "M8[D]"),
    "order of memory": lambda: np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "read-only": lambda: np.broadcast_to(np.arange(3), (2, 3)),
    "objects": lambda: np.array([1, "a", None, [2]], object),
    "text": lambda: np.array(["ab", "é"]),
    "big-endian": lambda: np.arange(3, dtype=">f4"),
    "one object twice": lambda: _twice([1]),
    "one array twice": lambda: _twice(np.zeros(2)),
    "itself": _cycle,
    "views": _board,
    "nothing, and not a number": lambda: [None, float("nan"), -0.0, 2**70],
    "function": lambda: _advanced,
    "class": lambda: [Spot, int],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_is_written_into_an_environment_that_has_none(kind: str) -> None:
    original, other = Holder(KINDS[kind]()), Holder(None)
    saved = through_file(snapshot.capture(original, {}))
    snapshot.restore(other, saved)
    assert type(other.it) is type(original.it)
    assert digest(snapshot.capture(other)) == digest(snapshot.capture(original))


@pytest.mark.parametrize("kind", [set, frozenset])
def test_texts_of_a_set_are_in_one_order_whatever_that_of_the_process(kind: Any) -> None:
    texts = [f"text {n}" for n in range(2000)]
    one, other = Holder(kind(texts)), Holder(kind(texts[::-1]))
    assert list(one.it) != list(other.it)  # the test is of something
    assert digest(snapshot.capture(one)) == digest(snapshot.capture(other))


def test_what_was_one_object_is_one_again() -> None:
    for kind in ("one object twice", "one array twice"):
        other = Holder([[5], [6]])
        snapshot.restore(other, through_file(snapshot.capture(Holder(KINDS[kind]()))))
        assert other.it[0] is other.it[1]
    other = Holder(None)
    snapshot.restore(other, through_file(snapshot.capture(Holder(_board()))))
    other.it[0][1, 2] = 99
    assert (other.it[1][0, 1], other.it[2][2, 1], other.it[3][1, 2]) == (99, 99, 99)


def test_what_a_function_holds_on_to_is_changed_in_place() -> None:
    class Bound(Holder):
        def __init__(self) -> None:
            super().__init__(np.zeros(2))
            self.look = self.it.sum

    original, other = Bound(), Bound()
    (fresh, again), _ = snapshot.read_fresh([original, other])
    original.it += 3
    snapshot.restore(other, through_file(snapshot.capture(original, fresh)), again)
    assert other.look() == 6
    other.it += 1
    assert other.look() == 8


TABLES: dict[str, Callable[[], Any]] = {
    "array": lambda: np.arange(200000.0),
    "list": lambda: [float(i) for i in range(10000)],
    "nested": lambda: {i: {"row": [i, (i, None)]} for i in range(3000)},
}


@pytest.mark.parametrize("table", TABLES)
def test_a_large_table_is_not_saved_as_long_as_it_does_not_change(table: str) -> None:
    original, other = Holder(TABLES[table]()), Holder(TABLES[table]())
    (fresh,), _ = snapshot.read_fresh([original])
    (again,), _ = snapshot.read_fresh([other])
    saved = snapshot.capture(original, fresh)
    assert len(repr(saved)) < 2000
    kept = other.it
    snapshot.restore(other, saved, again)
    assert other.it is kept
    original.it[7] = 0.5
    saved = snapshot.capture(original, fresh)
    snapshot.restore(other, through_file(saved), again)
    assert other.it[7] == 0.5
    changed = Holder(TABLES[table]())
    changed.it[8] = 0.25
    (third,), _ = snapshot.read_fresh([changed])
    original.it = TABLES[table]()
    with pytest.raises(ValueError, match=r"Holder\.it is not as it was in the run"):
        snapshot.restore(changed, snapshot.capture(original, fresh), third)


def test_a_part_of_a_table_is_still_a_part_of_it() -> None:
    def make() -> Holder:
        env = Holder({i: [i] for i in range(9000)})
        env.here = env.it[5]  # type: ignore[attr-defined] # set here alone
        return env

    original, other = make(), make()
    (fresh, again), _ = snapshot.read_fresh([original, other])
    snapshot.restore(other, through_file(snapshot.capture(original, fresh)), again)
    assert other.here is other.it[5]  # type: ignore[attr-defined]


def test_an_attribute_that_a_fresh_environment_has_too_many_of_goes() -> None:
    original, other = Holder(1), Holder(1)
    other.more = 3  # type: ignore[attr-defined]
    snapshot.restore(other, snapshot.capture(original))
    assert not hasattr(other, "more")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ((n for n in [1]), "Holder.it is a generator, whose state cannot be read"),
        (open("/dev/null"), "Holder.it is a TextIOWrapper, whose state cannot be read"),  # noqa: SIM115
        (lambda: 0, "Holder.it is a function that changes, and cannot be written back"),
    ],
)
def test_what_cannot_be_saved_is_named(value: Any, reason: str) -> None:
    (fresh,), _ = snapshot.read_fresh([Holder(None)])
    with pytest.raises(NotExactError) as caught:
        snapshot.capture(Holder(value), fresh)
    assert str(caught.value) == reason


def test_a_state_creates_only_objects_of_the_environments_own_packages() -> None:
    saved = snapshot.capture(Holder(Slotted(1)))
    saved[0]["value"]["it"]["class"] = ["tempfile", "TemporaryDirectory"]
    with pytest.raises(TypeError, match=r"Holder\.it is an object that a fresh environment"):
        snapshot.restore(Holder(None), saved)
    saved[0]["value"]["it"] = {"__kind__": "named", "value": ["os", "system"]}
    with pytest.raises(TypeError, match=r"Holder\.it is system, which a fresh environment"):
        snapshot.restore(Holder(None), saved)
