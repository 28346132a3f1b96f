"""Where a voxel array lies in the patient: shape, spacing, origin and direction, always in (z, y, x) order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autoseg.core.errors import GeometryError

Vector3 = tuple[float, float, float]
Shape3 = tuple[int, int, int]
Matrix3 = tuple[Vector3, Vector3, Vector3]

IDENTITY_DIRECTION: Matrix3 = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class Geometry:
    """The grid of a volume in DICOM's patient space (LPS, mm).

    Every vector is in (z, y, x) order: `origin_mm` holds the world (S, P, L) coordinates of voxel 0, and
    `direction[i][j]` is the world component i of the unit step along array axis j.

    Attributes:
        shape: Voxels along (z, y, x).
        spacing_mm: Distance of voxel centres along (z, y, x).
        origin_mm: World position of the first voxel's centre.
        direction: Rows are world axes, columns array axes.

    Raises:
        GeometryError: When a size or spacing is not positive or a number is not finite.
    """

    shape: Shape3
    spacing_mm: Vector3
    origin_mm: Vector3 = (0.0, 0.0, 0.0)
    direction: Matrix3 = IDENTITY_DIRECTION

    def __post_init__(self) -> None:
        if any(size < 1 for size in self.shape):
            raise GeometryError(f"shape {self.shape} has an axis without voxels")
        numbers = (*self.spacing_mm, *self.origin_mm, *(value for row in self.direction for value in row))
        if not np.isfinite(numbers).all():
            raise GeometryError(f"spacing {self.spacing_mm}, origin or direction is not finite")
        if any(spacing <= 0 for spacing in self.spacing_mm):
            raise GeometryError(f"spacing {self.spacing_mm} mm is not positive")

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing_mm))

    def affine(self) -> npt.NDArray[np.float64]:
        """4 x 4 matrix from homogeneous voxel indices (z, y, x, 1) to world millimetres (S, P, L, 1)."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.asarray(self.direction) * np.asarray(self.spacing_mm)
        matrix[:3, 3] = self.origin_mm
        return matrix

    def differences(self, other: Geometry, *, tolerance: float = 1e-3) -> tuple[str, ...]:
        """Names of the fields that differ by more than `tolerance` (mm, or the cosine for directions)."""
        names = []
        if self.shape != other.shape:
            names.append("shape")
        for name in ("spacing_mm", "origin_mm", "direction"):
            if not np.allclose(getattr(self, name), getattr(other, name), rtol=0, atol=tolerance):
                names.append(name)
        return tuple(names)
