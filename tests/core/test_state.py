from typing import Any

import numpy as np
import pytest
import torch

from rltrain.core.errors import StateError
from rltrain.core.state import Stateful, digest
from tests.files import through_file


class Inner(Stateful):
    _state = ("count",)

    def __init__(self, count: int) -> None:
        self.count = count


class Thing(Stateful):
    _state = ("name", "array", "tensor", "rng", "inner", "items")

    def __init__(self, value: int) -> None:
        self.name = f"thing {value}"
        self.array = np.full((2, 3), value, np.float32)
        self.tensor = torch.full((2,), float(value), requires_grad=True)
        self.rng = np.random.default_rng(value)
        self.inner = Inner(value)
        self.items = [value, (value, None)]
        self.scratch = value


def test_state_dict_holds_the_named_attributes_only() -> None:
    assert list(Thing(1).state_dict()) == ["name", "array", "tensor", "rng", "inner", "items"]


def test_round_trip_restores_everything_named() -> None:
    source, copy = Thing(1), Thing(2)
    source.rng.random(5)
    copy.load_state_dict(source.state_dict())
    assert copy.name == "thing 1"
    assert copy.array.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert copy.tensor.tolist() == [1, 1]
    assert copy.inner.count == 1
    assert copy.items == [1, (1, None)]
    assert copy.scratch == 2
    assert copy.rng.random(3).tolist() == source.rng.random(3).tolist()
    assert digest(copy.state_dict()) == digest(source.state_dict())


def test_state_does_not_follow_later_changes() -> None:
    thing = Thing(1)
    state = thing.state_dict()
    before = digest(state)
    thing.array[0] = 7
    thing.rng.random()
    thing.items.append(3)
    with torch.no_grad():
        thing.tensor += 1
    assert digest(state) == before


def test_arrays_and_tensors_are_put_back_in_place() -> None:
    thing = Thing(1)
    row, tensor, rng, inner = thing.array[0], thing.tensor, thing.rng, thing.inner
    thing.load_state_dict(Thing(4).state_dict())
    assert row.tolist() == [4, 4, 4]
    assert tensor.tolist() == [4, 4]
    assert tensor.requires_grad
    assert thing.rng is rng
    assert thing.inner is inner


def test_missing_name_is_an_error_that_names_it() -> None:
    state = Thing(1).state_dict()
    del state["array"]
    with pytest.raises(StateError, match=r"Thing lacks \['array'\]\."):
        Thing(1).load_state_dict(state)


def test_extra_name_is_an_error_that_names_it() -> None:
    with pytest.raises(StateError, match=r"Thing has \['surplus'\]\."):
        Thing(1).load_state_dict(Thing(1).state_dict() | {"surplus": 1})


def test_a_missing_name_further_in_is_an_error_that_names_it() -> None:
    state = Thing(1).state_dict() | {"inner": {}}
    with pytest.raises(StateError, match=r"the state of Inner lacks \['count'\]\."):
        Thing(2).load_state_dict(state)


def test_a_network_of_other_parameters_is_an_error_that_names_them() -> None:
    thing: Any = Thing(1)
    thing.inner = torch.nn.Linear(1, 1)
    state = thing.state_dict()
    del state["inner"]["bias"]
    with pytest.raises(StateError, match=r'inner: .*Missing key.*"bias"'):
        thing.load_state_dict(state)


def test_array_of_another_shape_is_an_error() -> None:
    state = Thing(1).state_dict() | {"array": np.zeros((1, 3), np.float32)}
    with pytest.raises(StateError, match=r"array: saved with shape \(1, 3\), expected \(2, 3\)"):
        Thing(1).load_state_dict(state)


def test_tensor_of_another_shape_is_an_error() -> None:
    state = Thing(1).state_dict() | {"tensor": torch.zeros(1)}
    with pytest.raises(StateError, match="tensor"):
        Thing(1).load_state_dict(state)


def test_digest_is_sha256_in_hexadecimal() -> None:
    assert len(digest({})) == 64
    assert int(digest({}), 16) > 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (np.arange(3), torch.arange(3)),
        (np.arange(6).reshape(2, 3).T, np.array([[0, 3], [1, 4], [2, 5]])),
        (np.float64(0.5), 0.5),
    ],
    ids=["key order", "array and tensor", "memory layout", "scalar"],
)
def test_digest_is_equal_for_equal_values(one: Any, other: Any) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 2}),
        ({1: 0}, {"1": 0}),
        (1, 1.0),
        (1, True),
        (1, "1"),
        (None, "None"),
        (0.0, -0.0),
        (0.1, 0.1 + 2**-56),
        ([[1], [2]], [[1, 2]]),
        ([[], [1]], [[1], []]),
        (["a", "b"], ["ab"]),
        (np.zeros(2, np.float32), np.zeros(2, np.int32)),
        (np.zeros(2, np.float32), np.array([0, -0.0], np.float32)),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (torch.zeros(0), torch.zeros(0, 1)),
        (np.array(1.0), 1.0),
    ],
)
def test_digest_differs_for_any_difference(one: Any, other: Any) -> None:
    assert digest(one) != digest(other)


def test_digest_takes_an_empty_array() -> None:
    assert digest(np.zeros(0)) == digest(torch.zeros(0, dtype=torch.float64))


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.RMSprop, torch.optim.SGD])
@pytest.mark.parametrize("fused", [False, True])
def test_an_optimizer_of_weights_in_another_order_of_memory_steps_on_exactly(
    kind: Any, fused: bool
) -> None:
    """Fused steps read parameters and moments in the order of memory, whatever their strides."""

    class Owner(Stateful):
        _state = ("weights", "optimizer")

        def __init__(self) -> None:
            torch.manual_seed(0)
            layer = torch.nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stubs lack it
            self.weights: Any = layer
            options: dict[str, Any] = {} if kind is torch.optim.Adam else {"momentum": 0.9}
            if kind is not torch.optim.RMSprop:
                options["fused"] = fused
            self.optimizer = kind(layer.parameters(), lr=0.1, **options)

        def step(self, number: int) -> None:
            generator = torch.Generator().manual_seed(number)
            for parameter in self.weights.parameters():
                drawn = torch.randn(parameter.shape, generator=generator)
                parameter.grad = torch.empty_like(parameter).copy_(drawn)
            self.optimizer.step()

    original, other = Owner(), Owner()
    for number in range(3):
        original.step(number)
    other.load_state_dict(through_file(original.state_dict()))
    for number in range(3, 6):
        original.step(number)
        other.step(number)
    assert digest(other.state_dict()) == digest(original.state_dict())
