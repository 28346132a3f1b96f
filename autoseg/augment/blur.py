"""Gaussian blur of some channels, each axis with its own width."""

from __future__ import annotations

import math

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from autoseg.augment._geometry import PatchGeometry
from autoseg.augment._transform import ImageTransform, chance, uniform

Widths = tuple[float, ...]


class Options(BaseModel):
    """Defaults are nnU-Net v2's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p: float = Field(default=0.2, ge=0, le=1)
    """Probability per sample."""
    p_channel: float = Field(default=0.5, ge=0, le=1)
    """Probability per channel of such a sample."""
    sigma_voxels: tuple[float, float] = (0.5, 1.0)
    """Range of the standard deviation, drawn per channel and axis."""


class Blur(ImageTransform[tuple[Widths | None, ...]]):
    """The drawn values are, per channel, one width per axis or None."""

    def __init__(self, options: Options, geometry: PatchGeometry) -> None:
        super().__init__(options.p, geometry)
        self.options = options

    def sample(self, generator: torch.Generator) -> tuple[Widths | None, ...]:
        """Widths per channel."""
        return tuple(
            tuple(uniform(generator, *self.options.sigma_voxels) for _ in range(self.geometry.dimensions))
            if chance(generator, self.options.p_channel)
            else None
            for _ in range(self.geometry.channels)
        )

    def change(self, image: Tensor, drawn: tuple[Widths | None, ...]) -> None:
        """Blur the chosen channels, axis by axis."""
        for channel, widths in zip(image, drawn, strict=True):
            if widths is not None:
                blurred = channel
                for axis, sigma in enumerate(widths):
                    blurred = _blur_axis(blurred, axis, sigma)
                channel.copy_(blurred)


def _blur_axis(volume: Tensor, axis: int, sigma: float) -> Tensor:
    """Convolve one axis of (*S) with a normalised Gaussian, the border reflected.

    A sum of shifted copies: 3 to 7 cheap passes, 10 times faster on a CPU than a convolution with one channel.
    """
    size = volume.shape[axis]
    radius = min(_radius(sigma), size - 1)
    if radius == 0:
        return volume
    weights = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(-radius, radius + 1)]
    total = sum(weights)
    position = torch.arange(-radius, size + radius, device=volume.device).abs()
    padded = volume.index_select(axis, torch.where(position < size, position, 2 * (size - 1) - position))
    blurred = padded.narrow(axis, 0, size) * (weights[0] / total)
    for shift, weight in enumerate(weights[1:], start=1):
        blurred.add_(padded.narrow(axis, shift, size), alpha=weight / total)
    return blurred


def _radius(sigma: float) -> int:
    """Half of the odd kernel length nearest to 6 sigma + 0.5 (nnU-Net v2 cuts the kernel there)."""
    return max(0, round((6 * sigma + 0.5 - 1) / 2))


def build(options: Options, *, geometry: PatchGeometry) -> Blur:
    """Blur for one patch geometry."""
    return Blur(options, geometry)
