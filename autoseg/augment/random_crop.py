"""Cut out a part at a random place and stretch it to the patch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor

from autoseg.augment._affine import sample_image, sample_labels, source_coordinates
from autoseg.augment._geometry import PatchGeometry
from autoseg.augment._transform import chance, uniform
from autoseg.augment.spatial import OUTSIDE

Crop = tuple[float, tuple[float, ...]]
"""Share of the edges, and the centre in voxels of the patch, per axis."""


class Options(BaseModel):
    """When, and how much is left."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p: float = Field(default=0.5, ge=0, le=1)
    """Probability per sample."""
    share: tuple[float, float] = (0.8, 1.0)
    """Range of what is kept of every edge, the same for all axes; above 0, at most 1."""

    @field_validator("share")
    @classmethod
    def _is_share(cls, value: tuple[float, float]) -> tuple[float, float]:
        low, high = value
        if not 0 < low <= high <= 1:
            raise ValueError("give two rising numbers above 0 and at most 1")
        return value


class RandomCrop:
    """Nothing comes in from outside; where slices are deformed one by one the first axis is kept whole."""

    def __init__(self, options: Options, geometry: PatchGeometry) -> None:
        self.p, self.share = options.p, options.share
        self.size = geometry.patch_size_voxels
        self.source_size_voxels = self.size
        self.in_plane = geometry.dummy_2d

    def draw(self, generator: torch.Generator) -> Crop | None:
        """Share and place, the same for image and labels."""
        if not chance(generator, self.p):
            return None
        share = uniform(generator, *self.share)
        free = [(edge - 1) * (1 - share) / 2 for edge in self.size]
        if self.in_plane:
            free[0] = 0.0
        return share, tuple(
            (edge - 1) / 2 + uniform(generator, -play, play) for edge, play in zip(self.size, free, strict=True)
        )

    def apply_image(self, image: Tensor, params: Sequence[Crop | None]) -> Tensor:
        """Stretch the drawn samples of (B, C, *S) in place, linear."""
        for sample, drawn in zip(image, params, strict=True):
            if drawn is not None:
                sample.copy_(sample_image(sample, self._coordinates(drawn, sample), self.size))
        return image

    def apply_labels(self, labels: Tensor, params: Sequence[Crop | None]) -> Tensor:
        """Stretch the drawn samples of (B, L, *S) in place: the label of largest interpolation weight."""
        for sample, drawn in zip(labels, params, strict=True):
            if drawn is not None:
                sample.copy_(sample_labels(sample, self._coordinates(drawn, sample), self.size, outside=OUTSIDE))
        return labels

    def _coordinates(self, drawn: Crop, sample: Tensor) -> list[Tensor]:
        share, centre = drawn
        steps = [1.0 if self.in_plane and axis == 0 else share for axis in range(len(self.size))]
        matrix = tuple(
            tuple(step if row == column else 0.0 for column in range(len(steps))) for row, step in enumerate(steps)
        )
        places = source_coordinates(matrix, self.size, centre, sample.device)
        # Rounding may lead a hair over the border, where there is nothing.
        return [place.clamp_(0, edge - 1) for place, edge in zip(places, self.size, strict=True)]


def build(options: Options, *, geometry: PatchGeometry) -> RandomCrop:
    """Crops of one patch geometry."""
    return RandomCrop(options, geometry)
