"""Which encoder each part of an observation gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rltrain.core.errors import UserError, did_you_mean
from rltrain.core.layout import Layout, Leaf, describe_picture
from rltrain.settings.networks import EncoderSettings

# Encoders of each kind; the first is the usual one.
ENCODERS: dict[str, tuple[str, ...]] = {
    "numbers": ("flat",),
    "picture": ("nature_cnn", "small_cnn", "impala", "flat"),
    "discrete": ("one_hot",),
    "choices": ("one_hot",),
    "text": ("characters", "words"),
}
SIDES = {"nature_cnn": 36, "impala": 7, "small_cnn": 7}  # the least that their layers need


def choose_encoders(settings: Any, layout: Layout) -> dict[str, str]:
    """The encoder of each part, by the part's name.

    Raises:
        UserError: a name or an encoder is not known, or a picture is too small for it.
    """
    if not isinstance(settings, EncoderSettings):
        raise UserError(f"network={settings.name} takes vectors only: choose another, as mlp.")
    own, names = _flat(settings.encoders), [leaf.name for leaf in layout.leaves]
    for name in own:
        if name not in names:
            near = did_you_mean(name, names)
            raise UserError(f"network.encoders.{name}: observations have no such part.{near}")
    return {leaf.name: _choose(settings, leaf, own.get(leaf.name)) for leaf in layout.leaves}


def _choose(settings: EncoderSettings, leaf: Leaf, asked: Any) -> str:
    known = ENCODERS[leaf.kind]
    if asked is not None:
        if asked not in known:
            raise UserError(
                f"network.encoders.{leaf.name}={asked} is no encoder of"
                f" {leaf.kind}.{did_you_mean(str(asked), known)}"
            )
        return _fitting(settings, leaf, str(asked), f"network.encoders.{leaf.name}={asked}")
    if leaf.kind == "text":
        return settings.text
    if leaf.kind != "picture":
        return known[0]
    if settings.pictures != "auto":
        return _fitting(settings, leaf, settings.pictures, f"network.pictures={settings.pictures}")
    side = min(describe_picture(leaf, settings.channels)[1:])
    return next(name for name in known if side >= SIDES.get(name, 0))


def _fitting(settings: EncoderSettings, leaf: Leaf, encoder: str, asked: str) -> str:
    if encoder not in SIDES:
        return encoder
    channels, rows, columns = describe_picture(leaf, settings.channels)
    if min(rows, columns) < SIDES[encoder]:
        fits = [n for n in ENCODERS["picture"] if min(rows, columns) >= SIDES.get(n, 0)]
        raise UserError(
            f"{asked}: {encoder} needs {SIDES[encoder]} pixels a side, and {leaf.name} has"
            f" {rows} × {columns}, in {channels} channels. What fits:"
            f" {', '.join(f'network.pictures={name}' for name in fits)}."
        )
    return encoder


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dots in its names."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        flat |= _flat(value, path + ".") if isinstance(value, Mapping) else {path: value}
    return flat
