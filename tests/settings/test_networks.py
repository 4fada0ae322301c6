from typing import Any

import pytest

from rltrain.core.errors import UserError
from rltrain.settings.networks import MLPNetworkSettings, MLPSettings, NoNetworkSettings
from rltrain.settings.registry import entry
from rltrain.settings.schema import build

MLP = {
    "name": "mlp",
    "hidden_sizes": [64, 32],
    "activation": "tanh",
    "initialization": "orthogonal",
    "layer_norm": False,
}


def test_mlp_settings_are_built() -> None:
    assert entry("network", "mlp").settings is MLPNetworkSettings
    assert build(MLPSettings, MLP, "network") == MLPSettings(
        "mlp", (64, 32), "tanh", "orthogonal", False
    )


def test_no_hidden_layer_is_allowed() -> None:
    assert build(MLPSettings, MLP | {"hidden_sizes": []}, "network").hidden_sizes == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_sizes": 64}, "network.hidden_sizes=64: expected list of integer"),
        ({"hidden_sizes": [64, 0]}, r"network.hidden_sizes\[1\]=0 is out of range"),
        ({"hidden_sizes": [64, 0.5]}, r"network.hidden_sizes\[1\]=0.5: expected integer"),
        ({"activation": "rleu"}, "network.activation=rleu: .*Did you mean relu"),
        ({"hidden": [64]}, "Unknown key network.hidden.*network.hidden_sizes"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(MLPSettings, MLP | changes, "network")


def test_none_has_no_keys_of_its_own() -> None:
    assert entry("network", "none").settings is NoNetworkSettings
    with pytest.raises(UserError, match=r"Unknown key network.hidden_sizes"):
        build(NoNetworkSettings, {"name": "none", "hidden_sizes": [4]}, "network")
