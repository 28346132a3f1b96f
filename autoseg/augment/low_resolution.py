"""Pretend that some channels were acquired at a lower resolution."""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from autoseg.augment._geometry import PatchGeometry
from autoseg.augment._resample import enlarging_taps, interpolate_axis, nearest_indices
from autoseg.augment._transform import ImageTransform, chance, uniform


class Options(BaseModel):
    """Defaults are nnU-Net v2's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p: float = Field(default=0.25, ge=0, le=1)
    """Probability per sample."""
    p_channel: float = Field(default=0.5, ge=0, le=1)
    """Probability per channel of such a sample."""
    zoom: tuple[float, float] = (0.5, 1.0)
    """Range of the zoom, the same along all axes of a channel."""


class LowResolution(ImageTransform[tuple[float | None, ...]]):
    """The drawn values are, per channel, the zoom or None."""

    def __init__(self, options: Options, geometry: PatchGeometry) -> None:
        super().__init__(options.p, geometry)
        self.options = options

    def sample(self, generator: torch.Generator) -> tuple[float | None, ...]:
        """Zoom per channel."""
        return tuple(
            uniform(generator, *self.options.zoom) if chance(generator, self.options.p_channel) else None
            for _ in range(self.geometry.channels)
        )

    def change(self, image: Tensor, drawn: tuple[float | None, ...]) -> None:
        """Pick nearest voxels and interpolate linearly; anisotropic patches in-plane only."""
        for channel, zoom in zip(image, drawn, strict=True):
            if zoom is not None:
                channel.copy_(_coarsen(channel, zoom, first_axis=1 if self.geometry.dummy_2d else 0))


def _coarsen(volume: Tensor, zoom: float, *, first_axis: int) -> Tensor:
    """Down and up again axis by axis; the last axis first on the way up, while the others are still short."""
    axes = range(first_axis, volume.ndim)
    size = volume.shape
    for axis in axes:
        coarse_size = max(1, round(size[axis] * zoom))
        volume = volume.index_select(axis, nearest_indices(size[axis], coarse_size, volume.device))
    for axis in reversed(axes):
        volume = interpolate_axis(volume, axis, enlarging_taps(volume.shape[axis], size[axis], volume.device))
    return volume


def build(options: Options, *, geometry: PatchGeometry) -> LowResolution:
    """Low resolution for one patch geometry."""
    return LowResolution(options, geometry)
