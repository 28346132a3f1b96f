"""A fixed grid of cores that tiles a volume without overlap: the same places in training and in prediction."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

Corner = tuple[int, int, int]


def core_starts(size: int, core: int) -> tuple[int, ...]:
    """First voxel of each core along one axis; the first and the last may reach beyond it.

    As few cores as cover the axis, centred on it: what they have too much lies beyond both ends, the odd voxel after.

    Args:
        size: Voxels of the axis.
        core: Voxels of a core.
    """
    count = -(-size // core)
    first = -((count * core - size) // 2)
    return tuple(first + core * index for index in range(count))


def core_corners(shape_voxels: Sequence[int], core_size_voxels: Sequence[int]) -> tuple[Corner, ...]:
    """First voxel (z, y, x) of every core, x fastest.

    Args:
        shape_voxels: Of the volume, (z, y, x).
        core_size_voxels: Of a core; z is 1 where slices are the cores.
    """
    starts = [core_starts(size, core) for size, core in zip(shape_voxels, core_size_voxels, strict=True)]
    return tuple((z, y, x) for z, y, x in itertools.product(*starts))
