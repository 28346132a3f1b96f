"""Additive Gaussian noise, one strength for all channels."""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from autoseg.augment._geometry import PatchGeometry
from autoseg.augment._transform import ImageTransform, draw_seed, uniform


class Options(BaseModel):
    """Defaults are nnU-Net v2's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p: float = Field(default=0.1, ge=0, le=1)
    """Probability per sample."""
    sigma: tuple[float, float] = (0.0, 0.1)
    """Range of the standard deviation (nnU-Net calls it a variance and uses it as a standard deviation)."""


class Noise(ImageTransform[tuple[float, int]]):
    """The drawn values are the standard deviation and the seed of the field."""

    def __init__(self, options: Options, geometry: PatchGeometry) -> None:
        super().__init__(options.p, geometry)
        self.options = options

    def sample(self, generator: torch.Generator) -> tuple[float, int]:
        """Strength and seed."""
        return uniform(generator, *self.options.sigma), draw_seed(generator)

    def change(self, image: Tensor, drawn: tuple[float, int]) -> None:
        """Add a field made on the image's device, so that nothing large crosses the bus."""
        sigma, seed = drawn
        generator = torch.Generator(device=image.device).manual_seed(seed)
        field = torch.empty(image.shape, dtype=image.dtype, device=image.device).normal_(generator=generator)
        image.add_(field, alpha=sigma)


def build(options: Options, *, geometry: PatchGeometry) -> Noise:
    """Noise for one patch geometry."""
    return Noise(options, geometry)
