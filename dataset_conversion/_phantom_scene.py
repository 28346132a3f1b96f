"""Signed distances in millimetres and soft-edged painting: what the phantoms are drawn with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Field = npt.NDArray[np.float32]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    """A grid centred on the patient, (z, y, x) with z to the head, y to the back, x to the patient's left.

    Attributes:
        shape: Voxels.
        spacing_mm: Voxel spacing.
        generator: Source of every draw.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    generator: np.random.Generator

    def axes(self) -> tuple[Field, Field, Field]:
        """Coordinates in mm along z, y and x, each ready to broadcast."""
        lines = [
            ((np.arange(size) - (size - 1) / 2) * spacing).astype(np.float32)
            for size, spacing in zip(self.shape, self.spacing_mm, strict=True)
        ]
        return lines[0][:, None, None], lines[1][None, :, None], lines[2][None, None, :]

    def ellipsoid(self, centre: Point, radii: Point, *, tilt_degrees: float = 0.0) -> Field:
        """Approximate signed distance (negative inside); `tilt_degrees` turns it in the axial plane."""
        z, y, x = self.axes()
        dz, dy, dx = z - centre[0], y - centre[1], x - centre[2]
        if tilt_degrees:
            cosine, sine = np.float32(np.cos(np.radians(tilt_degrees))), np.float32(np.sin(np.radians(tilt_degrees)))
            dy, dx = cosine * dy - sine * dx, sine * dy + cosine * dx
        first = np.sqrt((dz / radii[0]) ** 2 + (dy / radii[1]) ** 2 + (dx / radii[2]) ** 2)
        second = np.sqrt((dz / radii[0] ** 2) ** 2 + (dy / radii[1] ** 2) ** 2 + (dx / radii[2] ** 2) ** 2)
        return np.asarray(first * (first - 1) / np.maximum(second, 1e-6), dtype=np.float32)

    def tube(self, start: Point, end: Point, radius: float) -> Field:
        """Signed distance to a capsule."""
        axes = self.axes()
        along = np.subtract(end, start).astype(np.float32)
        offsets = [axis - np.float32(origin) for axis, origin in zip(axes, start, strict=True)]
        position = sum(offset * step for offset, step in zip(offsets, along, strict=True)) / np.float32(along @ along)
        position = np.clip(position, 0, 1)
        square = sum((offset - position * step) ** 2 for offset, step in zip(offsets, along, strict=True))
        return np.asarray(np.sqrt(square) - radius, dtype=np.float32)

    def noise(self, scale_mm: float) -> Field:
        """Smooth random field with mean 0, standard deviation 1 and features of about `scale_mm`."""
        if scale_mm < 1.5 * min(self.spacing_mm):
            white = self.generator.standard_normal(self.shape, dtype=np.float32)
            field = ndimage.gaussian_filter(white, [scale_mm / spacing for spacing in self.spacing_mm], mode="wrap")
        else:
            # Cubic B-splines on a coarse lattice are nearly Gaussian and ten times faster than filtering.
            bases = [_splines(n, step / scale_mm) for n, step in zip(self.shape, self.spacing_mm, strict=True)]
            field = self.generator.standard_normal([basis.shape[1] for basis in bases], dtype=np.float32)
            for axis, basis in enumerate(bases):
                field = np.moveaxis(np.tensordot(basis, field, (1, axis)), 0, axis)
        return np.asarray((field - field.mean()) / max(float(field.std()), 1e-6), dtype=np.float32)

    def draw(self, low: float, high: float) -> float:
        """A uniform number."""
        return float(self.generator.uniform(low, high))

    def paint(self, image: Field, distance: Field, value: Any, *, edge_mm: float | None = None) -> None:
        """Blend `value` into `image` where `distance` is negative, over an edge one voxel wide by default."""
        width = np.float32(edge_mm or self.spacing_mm[2])
        share = np.clip(np.float32(0.5) - distance / width, 0, 1)
        image += share * (value - image)


def _splines(size: int, step: float) -> Field:
    """Cubic B-splines (size, knots) whose standard deviation is 1 / `step` voxels (knots sqrt(3) deviations apart)."""
    position = np.arange(size) * step / np.sqrt(3)
    distance = np.abs(position[:, None] - np.arange(-1, int(position[-1]) + 3))
    near, far = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance) ** 3 / 6
    return np.where(distance < 1, near, np.where(distance < 2, far, 0)).astype(np.float32)


def union(*distances: Field) -> Field:
    """Signed distance of a union."""
    return np.asarray(np.minimum.reduce(distances), dtype=np.float32)


def smooth_union(first: Field, second: Field, radius_mm: float) -> Field:
    """Union with a rounded junction (polynomial smooth minimum, I. Quilez)."""
    share = np.clip(0.5 + (second - first) / (2 * radius_mm), 0, 1)
    mixed = second + share * (first - second) - radius_mm * share * (1 - share)
    return np.asarray(mixed, dtype=np.float32)


def intersection(*distances: npt.NDArray[Any]) -> Field:
    """Signed distance of an intersection."""
    return np.asarray(np.maximum.reduce(np.broadcast_arrays(*distances)), dtype=np.float32)
