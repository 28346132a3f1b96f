"""Erosion and dilation of masks by neighbourhoods of 6, 18 or 26 voxels, made of shifts along one axis at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Neighbours = Literal[6, 18, 26]
_Pass = Callable[[Mask, int], Mask]
Ends = tuple[bool, bool]
"""Of an axis: whether what lies beyond its first and beyond its last voxel counts as set."""
BACKGROUND_OUTSIDE: Final[tuple[Ends, Ends, Ends]] = ((False, False), (False, False), (False, False))


def erode(mask: Mask, *, neighbours: Neighbours, outside: Sequence[Ends] = BACKGROUND_OUTSIDE) -> Mask:
    """Keep voxels whose neighbours are all set.

    The neighbourhood of 18 is the union of three 3 x 3 squares, one per plane, so its erosion is the intersection of
    three erosions by squares: 6 passes along an axis instead of 18 shifts.

    Args:
        mask: (Z, Y, X).
        neighbours: 6 share a face, 18 also an edge, 26 also a corner.
        outside: What lies beyond the array, per axis.
    """

    def along(array: Mask, axis: int) -> Mask:
        return _combine(array, axis, outside[axis], np.logical_and)

    return _compose(mask, neighbours, along, np.logical_and)


def dilate(mask: Mask, *, neighbours: Neighbours, times: int = 1) -> Mask:
    """Set every voxel with a set neighbour, `times` in a row; the array does not grow.

    Args:
        mask: (Z, Y, X).
        neighbours: 6 share a face, 18 also an edge, 26 also a corner.
        times: Repetitions.
    """

    def along(array: Mask, axis: int) -> Mask:
        return _combine(array, axis, (False, False), np.logical_or)

    for _ in range(times):
        mask = _compose(mask, neighbours, along, np.logical_or)
    return mask


def surface_voxels(mask: Mask, *, neighbours: Neighbours, outside: Sequence[Ends] = BACKGROUND_OUTSIDE) -> Mask:
    """Voxels of the mask that its erosion removes."""
    return mask & ~erode(mask, neighbours=neighbours, outside=outside)


def _compose(mask: Mask, neighbours: Neighbours, along: _Pass, join: np.ufunc) -> Mask:
    z = along(mask, 0)
    if neighbours == 26:
        return along(along(z, 1), 2)
    y = along(mask, 1)
    parts = (z, y, along(mask, 2)) if neighbours == 6 else (along(z, 1), along(z, 2), along(y, 2))
    combined: Mask = functools.reduce(join, parts)
    return combined


def _combine(mask: Mask, axis: int, ends: Ends, join: np.ufunc) -> Mask:
    """Every voxel joined with the ones before and after it along an axis."""
    result = mask.copy()
    source, target = np.moveaxis(mask, axis, 0), np.moveaxis(result, axis, 0)
    join(target[1:], source[:-1], out=target[1:])
    join(target[:-1], source[1:], out=target[:-1])
    join(target[0], ends[0], out=target[0])
    join(target[-1], ends[1], out=target[-1])
    return result
