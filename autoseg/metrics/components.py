"""Components of two masks and how much they share: the table that lesion matching works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autoseg.imageops.crop import Box
from autoseg.metrics.morphology import Neighbours, dilate

Mask = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.intp]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Overlaps:
    """Voxels of the components; component k is number k + 1 in its image.

    Attributes:
        predicted: (P,) voxels of each predicted component.
        referenced: (R,) voxels of each reference component.
        common: (P, R) voxels that two share.
    """

    predicted: Counts
    referenced: Counts
    common: Counts


def number_components(mask: Mask, *, neighbours: Neighbours) -> Ids:
    """Components numbered from 1."""
    return cc3d.connected_components(mask, connectivity=neighbours).astype(np.intp)


def number_in_file_order(mask: Mask) -> Ids:
    """6-connected components numbered from 1 in the order of their first voxel with z running fastest.

    Programs that read NIfTI as (x, y, z) arrays meet the components in this order.

    Args:
        mask: (Z, Y, X).
    """
    numbers = np.zeros(mask.T.shape, dtype=np.intp)
    ndimage.label(np.ascontiguousarray(mask.T), output=numbers)
    return numbers.T


def number_dilated(mask: Mask, *, times: int) -> Ids:
    """Number pieces that meet (26 neighbours) once all are dilated `times` by 18 neighbours; the mask does not grow.

    Args:
        mask: (Z, Y, X) with room for the dilation unless the image ends there.
        times: Repetitions of the dilation.
    """
    return number_components(dilate(mask, neighbours=18, times=times), neighbours=26) * mask


def count_overlaps(prediction: Ids, reference: Ids) -> Overlaps:
    """Sizes and common voxels of numbered components of two images of one shape."""
    there = (prediction > 0) | (reference > 0)
    one, other = prediction[there], reference[there]
    sizes = (int(one.max(initial=0)) + 1, int(other.max(initial=0)) + 1)
    table = np.bincount(one * sizes[1] + other, minlength=sizes[0] * sizes[1]).reshape(sizes)
    return Overlaps(table.sum(axis=1)[1:], table.sum(axis=0)[1:], table[1:, 1:])


def boxes(numbers: Ids) -> list[Box | None]:
    """Smallest box of each component, None for a number that is not used."""
    found: list[Any] = ndimage.find_objects(numbers)
    return found


def grow(box: Box, *, margin: int, shape: tuple[int, ...]) -> Box:
    """A box with a margin, inside the array."""
    z, y, x = (
        slice(max(0, side.start - margin), min(size, side.stop + margin)) for side, size in zip(box, shape, strict=True)
    )
    return (z, y, x)


def cover(found: list[Box]) -> Box:
    """Smallest box around some boxes."""
    z, y, x = (slice(min(box[axis].start for box in found), max(box[axis].stop for box in found)) for axis in range(3))
    return (z, y, x)
