"""Where the first voxel of a patch may lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Corner = tuple[int, int, int]
Voxels = npt.NDArray[np.integer[Any]]


def corner_limits(shape: Voxels, *, patch: Voxels, source: Voxels) -> tuple[Voxels, Voxels]:
    """Lowest and highest first voxel of what is read, so that the final patch stays inside wherever it fits.

    Args:
        shape: (z, y, x) of the case.
        patch: (z, y, x) of the final patch; z is 1 in 2D.
        source: (z, y, x) of what is read: the patch and the margin that rotation needs.
    """
    margin = source - patch
    margin = np.maximum(margin, source - shape)
    lower = -(margin // 2)
    upper = np.maximum(lower, shape + margin // 2 + margin % 2 - source)
    if patch[0] == 1:  # a 2D patch is one slice: no margin through the plane
        lower[0], upper[0] = 0, shape[0] - 1
    return lower, upper


def as_corner(values: Voxels) -> Corner:
    """Plain numbers."""
    z, y, x = (int(value) for value in values)
    return (z, y, x)
