"""Settings of augmentations, their entries in the registry, and what they can change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rltrain.core.errors import UserError
from rltrain.core.layout import Layout
from rltrain.settings.encoders import choose_encoders
from rltrain.settings.registry import Entry, register
from rltrain.settings.schema import key


@dataclass(frozen=True)
class ShiftSettings:
    name: str = key("Registry name.")
    pixels: int = key("Most pixels that a picture is moved by, either way.", min=1)


@dataclass(frozen=True)
class CropSettings:
    name: str = key("Registry name.")
    share: float = key("Side of the window that is seen, in that of the picture.", above=0, max=1)


@dataclass(frozen=True)
class NoiseSettings:
    name: str = key("Registry name.")
    std: float = key("Deviation of the noise; of pictures, with 1 for white.", above=0)


@dataclass(frozen=True)
class CutoutSettings:
    name: str = key("Registry name.")
    smallest: float = key("Least side of the box, in that of the picture.", min=0, max=1)
    largest: float = key("Greatest side of the box, in that of the picture.", above=0, max=1)


@dataclass(frozen=True)
class ScaleSettings:
    name: str = key("Registry name.")
    low: float = key("Least factor.", min=0)
    high: float = key("Greatest factor.", above=0)


@dataclass(frozen=True)
class NoAugmentSettings:
    name: str = key("Registry name.")


VECTORS_TOO = ("noise", "scale")
_WITHOUT = ("trpo", "iql", "ippo", "q_learning")  # what samples go another way there

for _name, _class, _doc in (
    ("shift", "Shift", "Pictures moved by some pixels, edges repeated (DrQ: Yarats et al. 2021)"),
    ("crop", "Crop", "A window of the picture, brought back to its size (RAD: Laskin et al. 2020)"),
    ("noise", "Noise", "Gaussian noise, on pictures and vectors (RAD)"),
    ("cutout", "Cutout", "A box of the picture without light (RAD)"),
    ("scale", "Scale", "One random factor for a whole picture or vector (RAD)"),
):
    _target = f"rltrain.augment.{'vectors' if _name in VECTORS_TOO else 'pictures'}:{_class}"
    _settings = globals()[f"{_class}Settings"]
    register(Entry("augment", _name, _settings, _target, _doc))
register(Entry("augment", "none", NoAugmentSettings, "", "Observations as they are"))


def check_algorithm(augment: str, algo: str) -> None:
    """Raises a UserError where an algorithm's samples do not pass an augmentation."""
    if augment != "none" and algo in _WITHOUT:
        raise UserError(
            f"augment={augment}: it is not for algo={algo}, but for methods of one agent that learn"
            " by minibatches, as dqn, sac, ppo. Set augment=none."
        )


def check_observations(augment: str, network: Any, layout: Layout) -> None:
    """Checks that an augmentation finds something to change.

    Raises:
        UserError: there is no picture, and for what changes vectors too, no vector alone.
    """
    if augment == "none":
        return
    leaf = layout.leaves[0]
    if augment in VECTORS_TOO and layout.flat and leaf.kind == "numbers":
        return
    if not layout.flat:
        chosen = choose_encoders(network, layout)
        if any(p.kind == "picture" and chosen[p.name] != "flat" for p in layout.leaves):
            return
    what = "picture, nor vectors alone" if augment in VECTORS_TOO else "picture"
    raise UserError(
        f"augment={augment}: these observations have no {what} behind an encoder that it could"
        " change. Set augment=none."
    )
