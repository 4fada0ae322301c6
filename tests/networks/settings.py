"""Settings of networks for tests, from the YAML that users have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rltrain.settings.defaults import defaults
from rltrain.settings.networks import MLPNetworkSettings
from rltrain.settings.schema import build


def encoding(**changes: Any) -> MLPNetworkSettings:
    """network=mlp with other values."""
    return replace(build(MLPNetworkSettings, defaults("network", "mlp"), "network"), **changes)
