"""Turn by 90, 180 or 270 degrees, without interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from autoseg.augment._geometry import PatchGeometry
from autoseg.augment._transform import chance, draw_index

Turn = tuple[tuple[int, int], int]
"""Two spatial axes, 0 being the first, and quarter turns from the first towards the second."""


class Options(BaseModel):
    """When, and in which planes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p: float = Field(default=0.5, ge=0, le=1)
    """Probability per sample."""
    planes: tuple[Literal["yx", "zx", "zy"], ...] = Field(default=("yx",), min_length=1)
    """One is drawn; 2D patches and such as are deformed slice by slice turn in `yx` only."""


class Rot90:
    """A plane whose edges differ only turns by 180 degrees: the patch keeps its shape."""

    def __init__(self, options: Options, geometry: PatchGeometry) -> None:
        self.p = options.p
        self.size = geometry.patch_size_voxels
        self.source_size_voxels = self.size
        names = "zyx"[-len(self.size) :]
        flat = len(self.size) == 2 or geometry.dummy_2d
        self.planes = [
            (names.index(first), names.index(second)) for first, second in (("yx",) if flat else options.planes)
        ]

    def draw(self, generator: torch.Generator) -> Turn | None:
        """Plane and quarter turns."""
        if not chance(generator, self.p):
            return None
        first, second = self.planes[draw_index(generator, len(self.planes))]
        square = self.size[first] == self.size[second]
        return (first, second), 1 + draw_index(generator, 3) if square else 2

    def apply_image(self, image: Tensor, params: Sequence[Turn | None]) -> Tensor:
        """Turn the drawn samples of (B, C, *S) in place."""
        return _turn(image, params)

    def apply_labels(self, labels: Tensor, params: Sequence[Turn | None]) -> Tensor:
        """Turn the drawn samples of (B, L, *S) in place."""
        return _turn(labels, params)


def _turn(batch: Tensor, params: Sequence[Turn | None]) -> Tensor:
    for sample, drawn in zip(batch, params, strict=True):
        if drawn is not None:
            (first, second), quarters = drawn
            sample.copy_(sample.rot90(quarters, (first + 1, second + 1)))
    return batch


def build(options: Options, *, geometry: PatchGeometry) -> Rot90:
    """Quarter turns for one patch geometry."""
    return Rot90(options, geometry)
