"""Distances between surface voxels, every voxel with the same weight: what MedPy, LiTS and CHAOS measure.

A surface voxel belongs to the mask but not to its erosion. Compare `surface.py`, where elements are weighted by area.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autoseg.metrics.morphology import BACKGROUND_OUTSIDE, Ends, Neighbours, surface_voxels
from autoseg.metrics.surface import nearest_mm

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class VoxelSurfaceDistances:
    """Distances from the surface voxels of each mask to the nearest of the other.

    Attributes:
        to_reference_mm: (P,) from the prediction's.
        to_prediction_mm: (R,) from the reference's.
    """

    to_reference_mm: Floats
    to_prediction_mm: Floats

    def joined_mm(self) -> Floats:
        """Both lists as one, (P + R,)."""
        return np.concatenate((self.to_reference_mm, self.to_prediction_mm))

    def average_mm(self) -> float:
        """Mean over both lists joined (ASSD of LiTS and CHAOS)."""
        return float(self.joined_mm().mean())

    def root_mean_square_mm(self) -> float:
        """Root of the mean square over both lists joined (RMSD)."""
        return float(np.sqrt(np.square(self.joined_mm()).mean()))

    def maximum_mm(self) -> float:
        """Largest distance of either direction (MSSD, Hausdorff distance)."""
        return float(self.joined_mm().max())

    def hausdorff_joined_mm(self, percent: float) -> float:
        """Percentile of both lists joined, linearly interpolated (MedPy's `hd95`)."""
        return float(np.percentile(self.joined_mm(), percent))

    def mean_share_within(self, tolerance_mm: float) -> float:
        """Mean of the shares of each list that do not pass the tolerance (NSD of BraTS 2024 and 2025)."""
        one, other = (np.mean(found <= tolerance_mm) for found in (self.to_reference_mm, self.to_prediction_mm))
        return float(one + other) / 2


def voxel_surface_distances(
    prediction: Mask,
    reference: Mask,
    *,
    spacing_mm: Sequence[float],
    neighbours: Neighbours,
    outside: Sequence[Ends] = BACKGROUND_OUTSIDE,
) -> VoxelSurfaceDistances | None:
    """Measure two masks (Z, Y, X); None where one has no surface voxel.

    Args:
        prediction: Best cropped to the box of both masks.
        reference: Same shape.
        spacing_mm: Along (z, y, x).
        neighbours: Of the erosion.
        outside: Whether what lies beyond the array counts as set, per axis; then voxels there are no surface.
    """
    one, other = (surface_voxels(mask, neighbours=neighbours, outside=outside) for mask in (prediction, reference))
    if not (one.any() and other.any()):
        return None
    return VoxelSurfaceDistances(nearest_mm(one, other, spacing_mm), nearest_mm(other, one, spacing_mm))
