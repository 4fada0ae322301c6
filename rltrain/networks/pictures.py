"""Encoders of pictures: convolutions.

Legend: N pictures, C channels, H rows, W columns, F features.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rltrain.core.layout import Leaf, channel_axis, describe_picture
from rltrain.networks.layers import ACTIVATIONS, initialized, passed
from rltrain.settings.networks import EncoderSettings


class Picture(nn.Module):
    """Pictures `[N, *shape]` as the environment has them to features `[N, F]`.

    Bytes are scaled here, on the device that computes. A stack of pictures lies in the
    channels, the first picture's first. In memory channels are the innermost, which
    convolutions compute faster with (benchmarks/speed/TRIED.md). With a `size` a linear layer
    makes F that: else the thousands that convolutions leave would drown what stands beside.
    """

    def __init__(
        self,
        settings: EncoderSettings,
        leaf: Leaf,
        layers_of: Callable[[EncoderSettings, int, int], list[nn.Module]],
        size: int | None = None,
    ) -> None:
        super().__init__()
        self.scale = leaf.scale
        self.size = describe_picture(leaf, settings.channels)  # C, H, W
        axis = channel_axis(leaf.shape[-3:]) if len(leaf.shape) > 2 else "first"
        if settings.channels != "auto" and len(leaf.shape) > 2:
            axis = settings.channels
        self.move_channels = axis == "last"
        channels, *sides = self.size
        self.layers = nn.Sequential(*layers_of(settings, channels, min(sides)), nn.Flatten())
        with torch.no_grad():
            self.out_features = self.layers(torch.zeros(1, *self.size)).numel()
        if size is not None:
            last = nn.Linear(self.out_features, size)
            self.layers.append(initialized(last, settings.cnn_initialization))
            self.layers.append(ACTIVATIONS[settings.cnn_activation]())
            self.out_features = size
        self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        if self.move_channels:
            x = x.movedim(-1, -3)
        x = x.reshape(len(x), *self.size)
        x = x.contiguous(memory_format=torch.channels_last).float()  # moved as bytes: a quarter
        features: Tensor = self.layers(x / self.scale if self.scale != 1 else x)
        return features


def nature_cnn(settings: EncoderSettings, channels: int, side: int) -> list[nn.Module]:
    """The convolutions of Mnih et al. 2015; its layer of 512 is the body's."""
    layers: list[nn.Module] = []
    for out, kernel, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
        layers += _convolution(settings, channels, out * settings.cnn_width, kernel, stride)
        channels = out * settings.cnn_width
    return layers


def small_cnn(settings: EncoderSettings, channels: int, side: int) -> list[nn.Module]:
    """Two convolutions for pictures that are boards of few cells; larger ones are halved."""
    middle, out = 16 * settings.cnn_width, 32 * settings.cnn_width
    second = _convolution(settings, middle, out, 3, 2 if side >= 16 else 1)
    return [*_convolution(settings, channels, middle, 3, 1), *second]


def impala(settings: EncoderSettings, channels: int, side: int) -> list[nn.Module]:
    """The residual convolutions of Espeholt et al. 2018 (arXiv 1802.01561, fig. 3, right);
    its layer of 256 is the body's."""
    layers: list[nn.Module] = []
    for out in (16, 32, 32):
        out *= settings.cnn_width
        how = settings.cnn_initialization
        layers.append(initialized(nn.Conv2d(channels, out, 3, padding=1), how))
        layers.append(nn.MaxPool2d(3, stride=2, padding=1))
        layers += [Residual(settings, out) for _ in range(settings.cnn_depth)]
        channels = out
    return [*layers, *_activation(settings, channels)]


class Residual(nn.Module):
    """x + conv(f(conv(f(x)))): `[N, C, H, W]` to the same."""

    def __init__(self, settings: EncoderSettings, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layer = nn.Conv2d(channels, channels, 3, padding=1)
            layers += _activation(settings, channels)
            layers.append(initialized(layer, settings.cnn_initialization))
        self.layers = nn.Sequential(*layers)
        self.checkpointing = settings.checkpointing

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + passed(self.layers, self.checkpointing, x)
        return added


def _convolution(
    settings: EncoderSettings, channels: int, out: int, kernel: int, stride: int
) -> list[nn.Module]:
    layer = nn.Conv2d(channels, out, kernel, stride)
    return [initialized(layer, settings.cnn_initialization), *_activation(settings, out)]


def _activation(settings: EncoderSettings, channels: int) -> list[nn.Module]:
    """The activation, behind a norm over each picture where it is asked for."""
    activation = ACTIVATIONS[settings.cnn_activation]()
    return [nn.GroupNorm(1, channels), activation] if settings.cnn_layer_norm else [activation]
