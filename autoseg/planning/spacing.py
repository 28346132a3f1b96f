"""Target spacing, axis order and resampled shapes: how the grid of all cases is chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ANISOTROPY_RATIO = 3.0
"""Spacing (and size) ratio above which an axis counts as much coarser (nnU-Net v2)."""

ANISOTROPIC_PERCENTILE = 10.0
"""Percentile of a much coarser axis' spacings that replaces its median (nnU-Net v2)."""

ANATOMICAL_PAIRS = ("SI", "AP", "LR")
"""Canonical frame: axis 0 along superior-inferior, 1 along anterior-posterior, 2 along left-right."""


@dataclass(frozen=True)
class CaseGrids:
    """Spacings and cropped shapes of all cases, axes in the plan's frame before its transpose.

    Attributes:
        spacings_mm: (cases, 3).
        shapes_voxels: (cases, 3).
    """

    spacings_mm: FloatArray
    shapes_voxels: IntArray


@dataclass(frozen=True)
class TargetSpacing:
    """A spacing with the rule that chose it; `spacing_mm` is (3,)."""

    spacing_mm: FloatArray
    reason: str


def canonical_order(orientation: str) -> tuple[int, int, int]:
    """Stored axis that comes first, second and third in the canonical frame.

    Args:
        orientation: Directions in which the stored axes grow, e.g. `SPL`.
    """
    first, second, third = (
        next(axis for axis, letter in enumerate(orientation) if letter in pair) for pair in ANATOMICAL_PAIRS
    )
    return (first, second, third)


def target_spacing(grids: CaseGrids) -> TargetSpacing:
    """Median spacing per axis, finer along a much coarser axis.

    Source: nnU-Net v2 (Isensee et al., Nature Methods 2021). An axis is much coarser when its median spacing exceeds
    three times that of the others and its median size times three is below theirs; then the tenth percentile of its
    spacings is used, but never less than the coarsest of the other axes.
    """
    target = np.percentile(grids.spacings_mm, 50, axis=0)
    size = np.percentile(grids.shapes_voxels, 50, axis=0)
    worst = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != worst]
    coarsest_other = max(float(target[axis]) for axis in others)
    coarse = target[worst] > ANISOTROPY_RATIO * coarsest_other
    few = size[worst] * ANISOTROPY_RATIO < min(size[axis] for axis in others)
    if not (coarse and few):
        return TargetSpacing(target, "median of all cases per axis")
    fine = float(np.percentile(grids.spacings_mm[:, worst], ANISOTROPIC_PERCENTILE))
    if fine < coarsest_other:
        fine = coarsest_other + 1e-5
    reason = (
        f"median per axis; axis {worst} is more than {ANISOTROPY_RATIO:g}x coarser (median {target[worst]:.4g} mm) "
        f"with few slices (median {size[worst]:g}), so its {ANISOTROPIC_PERCENTILE:g}th percentile is taken"
    )
    target[worst] = fine
    return TargetSpacing(target, reason)


def transpose_order(spacing_mm: FloatArray) -> tuple[int, int, int]:
    """Axis with the largest spacing first, the others in their order (nnU-Net v2)."""
    worst = int(np.argmax(spacing_mm))
    second, third = (axis for axis in range(3) if axis != worst)
    return (worst, second, third)


def resampled_shapes(grids: CaseGrids, spacing_mm: FloatArray) -> IntArray:
    """Shape of every case on the target grid, (cases, 3); halves round to even as Python's `round`."""
    # The order of the divisions is part of the rule: it decides which way a half falls.
    return np.rint(grids.spacings_mm / spacing_mm * grids.shapes_voxels).astype(np.int64)
