"""Find the part of a volume that holds anything, and cut or pad to a box."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Box = tuple[slice, slice, slice]
Margins = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
"""Millimetres before and after a box, per axis."""


def nonzero_box(image: npt.NDArray[np.generic]) -> Box:
    """Smallest box with every voxel that is not 0 in some channel; the whole volume where all are 0.

    Args:
        image: (C, Z, Y, X).
    """
    shape = image.shape[1:]
    box = [slice(0, size) for size in shape]
    # Trim from both ends, one axis after the other: whole images are rarely mostly air, so few planes are read.
    for axis, size in enumerate(shape):
        first = _first_occupied(image, axis, box, range(size))
        if first is None:
            return (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
        last = _first_occupied(image, axis, box, range(size - 1, -1, -1))
        box[axis] = slice(first, first + 1 if last is None else last + 1)
    return (box[0], box[1], box[2])


def _first_occupied(image: npt.NDArray[np.generic], axis: int, box: Sequence[slice], planes: range) -> int | None:
    for plane in planes:
        index: list[slice | int] = [slice(None), *box]
        index[axis + 1] = plane
        if image[tuple(index)].any():
            return plane
    return None


def box_bounds(box: Box) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """First and one-past-last voxel of a box."""
    first, second, third = box
    return (first.start, second.start, third.start), (first.stop, second.stop, third.stop)


def common_box(one: Box, other: Box) -> Box | None:
    """Voxels that both boxes hold, or None where there are none."""
    first, second, third = (slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
    return (first, second, third) if all(side.start < side.stop for side in (first, second, third)) else None


def centred_box(shape: Sequence[int], size_voxels: Sequence[int], centre_voxels: Sequence[float]) -> Box:
    """Box of a size around a place, moved inside of the volume; whole along axes that are not longer than it.

    Args:
        shape: Of the volume.
        size_voxels: Of the box.
        centre_voxels: Its middle, from the middle of the volume.
    """
    sides = []
    for length, size, centre in zip(shape, size_voxels, centre_voxels, strict=True):
        start = min(max(round(length / 2 + centre - size / 2), 0), max(length - size, 0))
        sides.append(slice(start, min(start + size, length)))
    first, second, third = sides
    return (first, second, third)


def dilate_box(box: Box, margins_mm: Margins, spacing_mm: Sequence[float], *, limits: Box) -> Box:
    """A box with at least these margins, cut to another box.

    Args:
        box: Within `limits`, in the axes of the rest.
        margins_mm: Before and after, per axis.
        spacing_mm: Voxel spacing.
        limits: What is there.
    """
    first, second, third = (
        slice(
            max(limit.start, side.start - math.ceil(before / spacing)),
            min(limit.stop, side.stop + math.ceil(after / spacing)),
        )
        for side, (before, after), spacing, limit in zip(box, margins_mm, spacing_mm, limits, strict=True)
    )
    return (first, second, third)


def mask_box(mask: npt.NDArray[np.bool_]) -> Box | None:
    """Smallest box with every voxel of a mask (Z, Y, X), or None where it is empty."""
    planes = np.flatnonzero(mask.any(axis=(1, 2)))
    if not len(planes):
        return None
    depth = slice(int(planes[0]), int(planes[-1]) + 1)
    flat: npt.NDArray[np.bool_] = np.any(mask[depth], axis=0)
    rows, columns = np.flatnonzero(np.any(flat, axis=1)), np.flatnonzero(np.any(flat, axis=0))
    return (depth, slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))


def pad_to(
    array: npt.NDArray[np.generic], size_voxels: Sequence[int], *, value: float = 0
) -> tuple[npt.NDArray[np.generic], tuple[slice, ...]]:
    """Pad the last axes evenly on both sides to at least `size_voxels`; also where the input lies in the result.

    Args:
        array: (..., *spatial), as many trailing axes as `size_voxels` has entries.
        size_voxels: Smallest wanted size per axis; a larger axis stays as it is.
        value: Fill.
    """
    leading = array.ndim - len(size_voxels)
    missing = [max(0, want - have) for want, have in zip(size_voxels, array.shape[leading:], strict=True)]
    where = tuple(slice(gap // 2, gap // 2 + have) for gap, have in zip(missing, array.shape[leading:], strict=True))
    if not any(missing):
        return array, where
    widths = [(0, 0)] * leading + [(gap // 2, gap - gap // 2) for gap in missing]
    return np.pad(array, widths, constant_values=value), where
