"""Rotation, scaling and the crop to the patch in one resampling."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from autoseg.augment._affine import (
    Box,
    Matrix,
    enlarged_size,
    rotation,
    sample_image,
    sample_labels,
    source_box,
    source_coordinates,
)
from autoseg.augment._geometry import PatchGeometry
from autoseg.augment._transform import chance, uniform

OUTSIDE = -1
ELONGATED_2D = 1.5
"""Edge ratio of a 2D patch above which large rotations would mostly show padding (nnU-Net v2)."""


class Options(BaseModel):
    """Defaults are nnU-Net v2's; without elastic deformation, which it does not use either."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p_rotation: float = Field(default=0.2, ge=0, le=1)
    """Probability of a rotation about every axis."""
    p_scale: float = Field(default=0.2, ge=0, le=1)
    """Probability of one scale for all axes."""
    angle_degrees: float | None = None
    """Largest angle; None: 30 in 3D, 180 in 2D and slice by slice, 15 for 2D patches with edges beyond 1.5 : 1."""
    scale: tuple[float, float] = (0.7, 1.4)
    """Range of the distance between sampled voxels: objects shrink where it is above 1."""
    source_scale: float = Field(default=0.85, gt=0)
    """The source is larger than the rotated patch by the inverse of this."""


class Spatial:
    """The drawn value is the matrix from patch to source voxels, or None for the plain crop."""

    def __init__(self, options: Options, geometry: PatchGeometry) -> None:
        self.options = options
        self.size = geometry.patch_size_voxels
        self.in_plane = geometry.dummy_2d
        self.angle = math.radians(_largest_angle(options, geometry))
        self.source_size_voxels = self.size
        if options.p_rotation > 0 or options.p_scale > 0:
            angle = self.angle if options.p_rotation > 0 else 0.0
            self.source_size_voxels = enlarged_size(self.size, angle=angle, scale=options.source_scale)
        if self.in_plane:
            self.source_size_voxels = (self.size[0], *self.source_size_voxels[1:])

    def draw(self, generator: torch.Generator) -> Matrix | None:
        """Matrix of one sample: rotation after scaling."""
        rotate, resize = (chance(generator, p) for p in (self.options.p_rotation, self.options.p_scale))
        if not (rotate or resize):
            return None
        rank = 2 if self.in_plane else len(self.size)
        angles = [uniform(generator, -self.angle, self.angle) if rotate else 0.0 for _ in range(3 if rank == 3 else 1)]
        scale = uniform(generator, *self.options.scale) if resize else 1.0
        return tuple(tuple(float(value) for value in row) for row in rotation(angles) * scale)

    def needed_box(self, drawn: Matrix | None) -> Box:
        """Part of the source that one sample uses, as (start, stop) per axis."""
        if drawn is not None:
            plane = source_box(drawn, self.size[-len(drawn) :], self.source_size_voxels[-len(drawn) :])
            return ((0, self.size[0]), *plane) if self.in_plane else plane
        starts = [edge // 2 - size // 2 for edge, size in zip(self.source_size_voxels, self.size, strict=True)]
        return tuple((start, start + size) for start, size in zip(starts, self.size, strict=True))

    def apply_image(self, image: Tensor, params: Sequence[Matrix | None]) -> Tensor:
        """(B, C, *source) to (B, C, *patch), linear, zeros outside; half precision becomes float32."""
        dtype = image.dtype if image.dtype == torch.float64 else torch.float32
        result = torch.empty((*image.shape[:2], *self.size), dtype=dtype, device=image.device)
        for index, matrix in enumerate(params):
            volume, coordinates = self._locate(image[index], matrix)
            if coordinates:
                volume = sample_image(volume, coordinates, self.size[-len(coordinates) :])
            result[index] = volume.view(result.shape[1:]) if coordinates else volume
        return result

    def apply_labels(self, labels: Tensor, params: Sequence[Matrix | None]) -> Tensor:
        """(B, L, *source) to (B, L, *patch): the label of largest interpolation weight, -1 outside."""
        result = torch.empty((*labels.shape[:2], *self.size), dtype=labels.dtype, device=labels.device)
        for index, matrix in enumerate(params):
            volume, coordinates = self._locate(labels[index], matrix)
            if coordinates:
                volume = sample_labels(volume, coordinates, self.size[-len(coordinates) :], outside=OUTSIDE)
            result[index] = volume.view(result.shape[1:]) if coordinates else volume
        return result

    def _locate(self, volume: Tensor, matrix: Matrix | None) -> tuple[Tensor, list[Tensor]]:
        """The part of one sample (C, *source) that is needed, and where in it each output voxel comes from.

        Without a matrix the part is the crop itself and the coordinates are empty. Where slices are moved
        independently of each other (C, Z, Y, X) becomes (C * Z, Y, X).
        """
        for axis, (start, stop) in enumerate(self.needed_box(matrix), start=1):
            volume = volume.narrow(axis, start, stop - start)
        if matrix is None:
            return volume, []
        rank = len(matrix)
        box, source = self.needed_box(matrix)[-rank:], self.source_size_voxels[-rank:]
        centre = [(edge - 1) / 2 - start for edge, (start, _) in zip(source, box, strict=True)]
        planes = volume.flatten(0, 1) if self.in_plane else volume
        return planes, source_coordinates(matrix, self.size[-rank:], centre, volume.device)


def _largest_angle(options: Options, geometry: PatchGeometry) -> float:
    """Degrees; the defaults are nnU-Net v2's."""
    if options.angle_degrees is not None:
        return options.angle_degrees
    size = geometry.patch_size_voxels
    if geometry.dimensions == 3:
        return 180.0 if geometry.dummy_2d else 30.0
    return 15.0 if max(size) / min(size) > ELONGATED_2D else 180.0


def build(options: Options, *, geometry: PatchGeometry) -> Spatial:
    """Spatial deformation for one patch geometry."""
    return Spatial(options, geometry)
