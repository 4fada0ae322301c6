"""Parts of an observation, each through an encoder of its own, joined."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from rltrain.core.errors import UserError
from rltrain.core.layout import layout_of
from rltrain.envs.packing import MismatchError, Packer
from rltrain.networks.actor_critic import ActorCritic
from rltrain.networks.critics import Critics
from rltrain.networks.encoders import Encoded, Encoder, with_encoder
from rltrain.networks.inputs import Inputs
from rltrain.networks.mlp import MLP
from rltrain.settings.encoders import choose_encoders
from tests.networks.settings import encoding

CPU = torch.device("cpu")
SPACE = spaces.Dict(
    {
        "bits": spaces.MultiBinary(2),
        "camera": spaces.Box(0, 255, (8, 8, 3), np.uint8),
        "dials": spaces.MultiDiscrete([2, 3], start=[0, 7]),
        "inner": spaces.Dict({"far": spaces.Box(-9, 9, (2,), np.float64)}),
        "mode": spaces.Discrete(3),
        "ram": spaces.Box(0, 100, (2,), np.uint8),
        "word": spaces.Text(4, charset="abc"),
    }
)
OBS: dict[str, Any] = {
    "bits": np.array([1, 0], np.int8),
    "camera": np.full((8, 8, 3), 255, np.uint8),
    "dials": np.array([1, 8]),
    "inner": {"far": np.array([4.0, -8.0])},
    "mode": 2,
    "ram": np.array([50, 100], np.uint8),
    "word": "ab",
}


def rows(*observations: Any, space: Any = SPACE) -> np.ndarray:
    pack = Packer(layout_of(space))
    return np.stack([pack(obs).copy() for obs in observations])


def test_features_are_joined_in_the_order_of_the_parts() -> None:
    encoder = Encoder(encoding(encoders={"camera": "flat"}), layout_of(SPACE))
    with torch.no_grad():
        x = encoder(Inputs(SPACE, False, CPU)(rows(OBS)))[0]
    assert encoder.out_features == len(x) == 2 + 192 + 5 + 2 + 3 + 2 + 64
    assert x[:2].tolist() == [1, 0]
    assert x[2:194].tolist() == [1] * 192
    assert x[194:199].tolist() == [0, 1, 0, 1, 0]  # 1 of 2, 1 of 3
    assert x[199:201].tolist() == [4, -8]
    assert x[201:204].tolist() == [0, 0, 1]
    assert x[204:206].tolist() == [0.5, 1]  # of the highest that its space has


def test_any_number_of_leading_dimensions() -> None:
    encoder = Encoder(encoding(), layout_of(SPACE))
    x = Inputs(SPACE, False, CPU)(rows(*[OBS] * 6))
    with torch.no_grad():
        flat, timed = encoder(x), encoder(x.reshape(2, 3, -1))
    assert timed.shape == (2, 3, encoder.out_features)
    torch.testing.assert_close(timed.reshape(6, -1), flat)


def test_rows_that_are_picked_keep_their_parts() -> None:
    encoder = Encoder(encoding(), layout_of(SPACE))
    others = [OBS | {"mode": i % 3, "dials": np.array([i % 2, 7 + i % 3])} for i in range(7)]
    x = Inputs(SPACE, False, CPU)(rows(*others))
    with torch.no_grad():
        torch.testing.assert_close(encoder(x)[[5, 0, 3]], encoder(x[torch.tensor([5, 0, 3])]))


def test_vectors_of_floats_are_normalised_in_their_place() -> None:
    inputs = Inputs(SPACE, True, CPU)
    near, far = OBS | {"inner": {"far": np.zeros(2)}}, OBS
    both = rows(near, far)
    before = both.copy()
    inputs.observe(both)
    x = inputs.array(both)
    fields = inputs.layout.view(x)
    np.testing.assert_allclose(fields["inner.far"], [[-1, 1], [1, -1]], rtol=1e-6)
    for name in ("bits", "camera", "mode", "ram", "word", "dials"):  # and nothing else
        assert (fields[name] == inputs.layout.view(both)[name]).all()
    assert (both == before).all()
    copy = Inputs(SPACE, True, CPU)
    copy.load_state_dict(inputs.state_dict())
    assert (copy.array(both) == x).all()


@pytest.mark.parametrize(
    ("space", "obs", "expected"),
    [
        (spaces.MultiDiscrete([2, 3], start=[0, 7]), np.array([1, 9]), [0, 1, 0, 0, 1]),
        (spaces.MultiDiscrete([[2], [2]]), np.array([[1], [0]]), [0, 1, 1, 0]),
        (spaces.MultiBinary(3), np.array([1, 0, 1], np.int8), [1, 0, 1]),
        (spaces.MultiBinary([2, 1]), np.array([[1], [0]], np.int8), [1, 0]),
        (spaces.Box(0, 10, (2,), np.uint8), np.array([5, 10], np.uint8), [0.5, 1]),
    ],
)
def test_vectors_of_other_kinds(space: Any, obs: Any, expected: list[float]) -> None:
    inputs = Inputs(space, False, CPU)
    x = inputs(rows(obs, space=space))
    assert x.dtype == torch.float32
    assert x.tolist() == [expected]
    assert inputs.array(rows(obs, space=space)).dtype == np.float32
    assert isinstance(with_encoder(encoding(), inputs.layout, network(inputs.size)), MLP)


def network(expected: int) -> Any:
    def body(in_features: int) -> MLP:
        assert in_features == expected
        return MLP(encoding(), in_features)

    return body


@pytest.mark.parametrize(
    "space", [spaces.Box(0, 255, (8, 8, 3), np.uint8), spaces.Text(4), spaces.Box(0, 1, (3, 9, 9))]
)
def test_pictures_and_texts_alone_stay_as_they_are_until_the_encoder(space: Any) -> None:
    space.seed(0)
    inputs = Inputs(space, True, CPU)
    stored = rows(space.sample(), space=space)
    x = inputs(stored)
    assert x.numpy().dtype == stored.dtype
    assert inputs.moments is None
    built = with_encoder(encoding(), inputs.layout, lambda size: MLP(encoding(), size))
    assert isinstance(built, Encoded)
    assert built(x).shape == (1, 64)


def test_bytes_stay_bytes_in_a_minibatch() -> None:
    inputs = Inputs(SPACE, False, CPU)
    stored = rows(OBS)
    x = inputs(stored)
    assert x.dtype == torch.uint8
    assert x.data_ptr() == stored.ctypes.data  # nothing was copied either


def test_an_action_joins_the_features() -> None:
    def make(layout: Any, beside: int = 0) -> nn.Module:
        return with_encoder(encoding(), layout, lambda size: MLP(encoding(), size), beside)

    layout = layout_of(SPACE)
    critics = Critics(make, layout, 1, 2, 3)
    x, action = Inputs(SPACE, False, CPU)(rows(OBS, OBS)), torch.randn(2, 3)
    values = critics(x, action)
    assert values.shape == (2, 2)
    assert not torch.allclose(values[:, 0], values[:, 1])  # the states are the same
    torch.testing.assert_close(critics.first(x, action), values[0])


def test_a_shared_body_is_one_and_learns_from_both() -> None:
    torch.manual_seed(0)
    both = ActorCritic(lambda size: MLP(encoding(), size), 3, spaces.Discrete(2), 0, shared=True)
    apart = ActorCritic(lambda size: MLP(encoding(), size), 3, spaces.Discrete(2), 0)
    sizes = [sum(p.numel() for p in module.parameters()) for module in (both, apart)]
    body = 3 * 64 + 64 + 64 * 64 + 64
    assert sizes == [body + 2 * 65 + 65, 2 * body + 2 * 65 + 65]
    x = torch.randn(5, 3)
    (log_probs,), value = both.both(x)
    torch.testing.assert_close(log_probs, both.distribution(x)[0])
    torch.testing.assert_close(value, both.value(x))
    first = next(both.parameters())
    by_value = torch.autograd.grad(value.sum(), first, retain_graph=True)[0]
    by_policy = torch.autograd.grad(log_probs[:, 0].sum(), first)[0]
    assert by_value.any()
    assert by_policy.any()


@pytest.mark.parametrize(
    ("changes", "chosen"),
    [
        ({}, {"camera": "small_cnn", "word": "characters", "mode": "one_hot", "ram": "flat"}),
        ({"pictures": "impala"}, {"camera": "impala"}),
        ({"pictures": "flat"}, {"camera": "flat"}),
        ({"text": "words"}, {"word": "words"}),
        ({"pictures": "impala", "encoders": {"camera": "flat"}}, {"camera": "flat"}),
        ({"encoders": {"inner": {"far": "flat"}}}, {"inner.far": "flat"}),
        ({"encoders": {"word": "words"}}, {"word": "words"}),
    ],
)
def test_each_part_gets_the_encoder_of_its_kind_or_the_one_asked_for(
    changes: dict[str, Any], chosen: dict[str, str]
) -> None:
    found = choose_encoders(encoding(**changes), layout_of(SPACE))
    assert set(found) == {leaf.name for leaf in layout_of(SPACE).leaves}
    assert chosen.items() <= found.items()


def test_large_pictures_get_nature_cnn() -> None:
    def chosen(side: int) -> str:
        layout = layout_of(spaces.Box(0, 255, (side, 50, 3), np.uint8))
        return choose_encoders(encoding(), layout)["observation"]

    assert (chosen(35), chosen(36)) == ("small_cnn", "nature_cnn")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoders": {"camra": "impala"}}, r"network.encoders.camra: .*Did you mean camera\?"),
        ({"encoders": {"inner": {"fra": "flat"}}}, r"encoders.inner.fra: .*mean inner.far\?"),
        ({"encoders": {"camera": "imapla"}}, r"camera=imapla is no encoder of picture.*impala"),
        ({"encoders": {"word": "impala"}}, r"word=impala is no encoder of text"),
        (
            {"pictures": "nature_cnn"},
            r"network.pictures=nature_cnn: nature_cnn needs 36 pixels a side, and camera has"
            r" 8 × 8, in 3 channels. What fits: network.pictures=small_cnn,"
            r" network.pictures=impala",
        ),
        ({"encoders": {"camera": "nature_cnn"}}, r"network.encoders.camera=nature_cnn: .*8 × 8"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose_encoders(encoding(**changes), layout_of(SPACE))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint16, np.float32, np.float64])
def test_pixels_of_any_dtype_reach_a_network_as_bytes_do(packed: bool, dtype: Any) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3))

    def seen(dtype: Any) -> torch.Tensor:
        space: gym.Space = spaces.Box(0, 255, (8, 8, 3), dtype)
        space = spaces.Dict({"camera": space}) if packed else space
        packer = Packer(layout_of(space))
        shape, stored = packer.layout.row
        memory = np.zeros((5, *shape), stored)
        for i, picture in enumerate(pictures.astype(dtype)):
            memory[i] = packer({"camera": picture} if packed else picture)
        torch.manual_seed(0)
        encoder = Encoder(encoding(), packer.layout)
        output: torch.Tensor = encoder(Inputs(space, True, CPU)(memory))
        return output

    torch.testing.assert_close(seen(dtype), seen(np.uint8))


@pytest.mark.parametrize("pixel", [-1, 256])
def test_an_integer_pixel_outside_its_space_is_not_wrapped(pixel: int) -> None:
    space = spaces.Box(0, 255, (8, 8, 3), np.int32)
    with pytest.raises(MismatchError):
        Packer(layout_of(space))(np.full((8, 8, 3), pixel, np.int32))
