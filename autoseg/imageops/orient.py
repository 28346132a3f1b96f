"""Turn volumes to the canonical frame and back by swapping and reversing axes; no voxel is interpolated."""

from __future__ import annotations

import itertools
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from autoseg.core.geometry import Geometry

Axes = tuple[int, int, int]
Flips = tuple[bool, bool, bool]
Scalar = TypeVar("Scalar", bound=np.generic)

# World axes are (superior, posterior, left), DICOM's LPS read backwards; the second letter is the way back.
_LETTERS = (("S", "I"), ("P", "A"), ("L", "R"))


def canonical_orientation(geometry: Geometry) -> tuple[Axes, Flips]:
    """How to make z, y and x grow towards superior, posterior and left (`SPL`), as closely as axis swaps can.

    Returns:
        Stored axis that comes to each position, and whether that position is then reversed. An oblique volume keeps
        its obliqueness: of the six assignments the one with the largest sum of |cosine| is taken.
    """
    cosines = np.asarray(geometry.direction)
    # Identity first, so that a volume rotated by exactly 45 degrees stays as it is.
    axes = max(
        itertools.permutations(range(3)),
        key=lambda order: round(sum(abs(cosines[world, axis]) for world, axis in enumerate(order)), 9),
    )
    flips = tuple(bool(cosines[world, axis] < 0) for world, axis in enumerate(axes))
    return (axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2])


def orientation_code(geometry: Geometry) -> str:
    """Nearest anatomical directions in which z, y and x grow, e.g. `SPL`."""
    axes, flips = canonical_orientation(geometry)
    letters = {axis: _LETTERS[world][flips[world]] for world, axis in enumerate(axes)}
    return "".join(letters[axis] for axis in range(3))


def orient(array: npt.NDArray[Scalar], axes: Axes, flips: Flips) -> npt.NDArray[Scalar]:
    """Swap, then reverse the last three axes; a view.

    Args:
        array: (..., Z, Y, X).
        axes: Stored axis that comes to each position.
        flips: Positions (after the swap) to reverse.
    """
    leading = array.ndim - 3
    swapped = array.transpose(*range(leading), *(leading + axis for axis in axes))
    return _reverse(swapped, flips)


def undo_orient(array: npt.NDArray[Scalar], axes: Axes, flips: Flips) -> npt.NDArray[Scalar]:
    """Inverse of `orient`; a view."""
    leading = array.ndim - 3
    inverse = np.argsort(axes)
    return _reverse(array, flips).transpose(*range(leading), *(leading + int(axis) for axis in inverse))


def orient_geometry(geometry: Geometry, axes: Axes, flips: Flips) -> Geometry:
    """Grid of the array that `orient` returns: every voxel keeps its place in the patient."""
    affine = geometry.affine()
    last = np.asarray(geometry.shape) - 1
    first_voxel = np.zeros(3)
    direction = np.asarray(geometry.direction)[:, list(axes)].copy()
    for position, (axis, flip) in enumerate(zip(axes, flips, strict=True)):
        if flip:
            first_voxel[axis] = last[axis]
            direction[:, position] *= -1
    origin = affine[:3, :3] @ first_voxel + affine[:3, 3]
    rows = [tuple(float(value) for value in row) for row in direction]
    return Geometry(
        shape=(geometry.shape[axes[0]], geometry.shape[axes[1]], geometry.shape[axes[2]]),
        spacing_mm=(geometry.spacing_mm[axes[0]], geometry.spacing_mm[axes[1]], geometry.spacing_mm[axes[2]]),
        origin_mm=(float(origin[0]), float(origin[1]), float(origin[2])),
        direction=(
            (rows[0][0], rows[0][1], rows[0][2]),
            (rows[1][0], rows[1][1], rows[1][2]),
            (rows[2][0], rows[2][1], rows[2][2]),
        ),
    )


def _reverse(array: npt.NDArray[Scalar], flips: Flips) -> npt.NDArray[Scalar]:
    first, second, third = (slice(None, None, -1) if flip else slice(None) for flip in flips)
    return array[..., first, second, third]
