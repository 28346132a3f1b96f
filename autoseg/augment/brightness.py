"""Multiply each channel by its own factor."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from autoseg.augment._geometry import PatchGeometry
from autoseg.augment._transform import PerChannel


class Options(BaseModel):
    """Defaults are nnU-Net v2's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p: float = Field(default=0.15, ge=0, le=1)
    """Probability per sample."""
    factor: tuple[float, float] = (0.75, 1.25)
    """Range of the factor; half of the draws fall below 1."""


class Brightness(PerChannel):
    """The drawn values are one factor per channel."""

    def __init__(self, options: Options, geometry: PatchGeometry) -> None:
        super().__init__(options.p, options.factor, geometry)

    def change(self, image: Tensor, drawn: tuple[float, ...]) -> None:
        """Scale channel by channel."""
        for channel, factor in zip(image, drawn, strict=True):
            channel.mul_(factor)


def build(options: Options, *, geometry: PatchGeometry) -> Brightness:
    """Brightness for one patch geometry."""
    return Brightness(options, geometry)
