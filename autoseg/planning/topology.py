"""Depth, strides and kernels of a U-Net from spacing and patch size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.core.errors import BudgetError

MINIMUM_EDGE = 4
"""Smallest edge of the bottleneck's feature map, in voxels (nnU-Net v2)."""

POOLING_SPACING_RATIO = 2.0
"""Axes coarser than this times the finest one wait until the others have caught up (nnU-Net v2)."""

START_EDGE = {2: 2048, 3: 256}
"""Edge of the square or cube whose volume the first patch has before it is clipped (nnU-Net v2)."""


@dataclass(frozen=True)
class Pooling:
    """Strides and kernels per stage, and the patch padded to fit them.

    Attributes:
        strides: Per stage; 1s for stage 0.
        kernels: Per stage; the last is the bottleneck's.
        patch_size_voxels: Multiple of `divisors`.
        divisors: 2 to the number of poolings, per axis.
        is_given: Whether the method chose the number of levels, which then holds for a smaller patch, too.
    """

    strides: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]
    patch_size_voxels: tuple[int, ...]
    divisors: tuple[int, ...]
    is_given: bool = False

    @property
    def stages(self) -> int:
        """Resolution levels."""
        return len(self.strides)


def initial_patch(spacing_mm: Sequence[float], median_shape_voxels: Sequence[float]) -> tuple[float, ...]:
    """Patch with a cubic physical extent and far more voxels than needed, clipped to the median case.

    Source: nnU-Net v2; a clipped edge may be fractional where the median of an even number of cases is.
    """
    dimensions = len(spacing_mm)
    aspect = 1 / np.asarray(spacing_mm, dtype=np.float64)
    scale = (START_EDGE[dimensions] ** dimensions / np.prod(aspect)) ** (1 / dimensions)
    edges = [round(float(edge)) for edge in aspect * scale]
    return tuple(min(edge, float(limit)) for edge, limit in zip(edges, median_shape_voxels, strict=True))


def pool(spacing_mm: Sequence[float], patch_size_voxels: Sequence[float]) -> Pooling:
    """Halve axes until every feature map edge is short.

    An axis is pooled while its feature map has at least 8 voxels and its current spacing is below twice the finest
    among such axes; a lone axis needs 12. A kernel is 1 along an axis until that axis' spacing is below twice the
    finest, then 3 for good; the bottleneck's is 3. Source: nnU-Net v2.
    """
    dimensions = len(spacing_mm)
    spacing, size = [float(value) for value in spacing_mm], [float(value) for value in patch_size_voxels]
    kernel = [1] * dimensions
    strides, kernels = [(1,) * dimensions], []
    while axes := _axes_to_pool(spacing, size):
        finest = min(spacing)
        kernel = [
            3 if edge == 3 or value / finest < POOLING_SPACING_RATIO else 1
            for edge, value in zip(kernel, spacing, strict=True)
        ]
        for axis in axes:
            spacing[axis] *= 2
            size[axis] = math.ceil(size[axis] / 2)
        strides.append(tuple(2 if axis in axes else 1 for axis in range(dimensions)))
        kernels.append(tuple(kernel))
    kernels.append((3,) * dimensions)
    divisors = tuple(math.prod(column) for column in zip(*strides, strict=True))
    return Pooling(tuple(strides), tuple(kernels), pad_to_multiple(patch_size_voxels, divisors), divisors)


def halve(patch_size_voxels: Sequence[float], stages: int) -> Pooling:
    """So many levels, every axis halved from each to the next, kernels of 3: the topology of a published network.

    Args:
        patch_size_voxels: Padded to multiples of the last level's stride.
        stages: At least 1.
    """
    dimensions = len(patch_size_voxels)
    strides = ((1,) * dimensions, *((2,) * dimensions,) * (stages - 1))
    divisors = (2 ** (stages - 1),) * dimensions
    patch = pad_to_multiple(patch_size_voxels, divisors)
    return Pooling(strides, ((3,) * dimensions,) * stages, patch, divisors, is_given=True)


def pad_to_multiple(size_voxels: Sequence[float], divisors: Sequence[int]) -> tuple[int, ...]:
    """Smallest multiples of `divisors` that are not below `size_voxels`."""
    return tuple(
        int(size) if size % divisor == 0 else int(size + divisor - size % divisor)
        for size, divisor in zip(size_voxels, divisors, strict=True)
    )


def shrink(spacing_mm: Sequence[float], pooling: Pooling, median_shape_voxels: Sequence[float]) -> Pooling:
    """Take one step off the axis whose patch is largest relative to the median case; ties take the last axis.

    The step is the divisor that holds after a first tentative step, so that no valid size is skipped (256 with
    divisor 64 goes to 224 with divisor 32, not to 192). Source: nnU-Net v2; an axis that would vanish is passed over.

    Raises:
        BudgetError: When every axis would vanish.
    """
    patch = pooling.patch_size_voxels
    ratios = [edge / float(limit) for edge, limit in zip(patch, median_shape_voxels, strict=True)]
    for axis in sorted(range(len(patch)), key=lambda index: (ratios[index], index), reverse=True):
        tentative = _reduced(patch, axis, pooling.divisors[axis])
        if pooling.is_given:
            if tentative[axis] >= 1:
                return halve(tentative, pooling.stages)
            continue
        smaller = _reduced(patch, axis, pool(spacing_mm, tentative).divisors[axis])
        if smaller[axis] >= 1:
            return pool(spacing_mm, smaller)
    raise BudgetError("no patch fits the budget of the plan", "raise plan.reference_elements or plan.seconds_per_step")


def _reduced(patch: tuple[int, ...], axis: int, voxels: int) -> tuple[int, ...]:
    return (*patch[:axis], patch[axis] - voxels, *patch[axis + 1 :])


def smaller_patch(
    patch_size_voxels: tuple[int, ...], divisors: Sequence[int], *, most_voxels: float
) -> tuple[int, ...]:
    """Part of a patch for the same network: a divisor at a time off the axis that is longest relative to the patch.

    No axis falls below twice its divisor; ties take the last axis (our rule).
    """
    part = patch_size_voxels
    while math.prod(part) > most_voxels:
        able = [axis for axis, edge in enumerate(part) if edge >= 3 * divisors[axis]]
        if not able:
            return part
        axis = max(able, key=lambda index: (part[index] / patch_size_voxels[index], index))
        part = _reduced(part, axis, divisors[axis])
    return part


def features_per_stage(base: int, cap: int, stages: int) -> tuple[int, ...]:
    """Channels doubling per stage up to `cap`."""
    return tuple(min(cap, base * 2**stage) for stage in range(stages))


def cut(blocks: Sequence[int], stages: int) -> tuple[int, ...]:
    """First `stages` entries; the last one is repeated where there are too few."""
    return tuple(blocks[min(stage, len(blocks) - 1)] for stage in range(stages))


def _axes_to_pool(spacing_mm: Sequence[float], size_voxels: Sequence[float]) -> tuple[int, ...]:
    large = [axis for axis, size in enumerate(size_voxels) if size >= 2 * MINIMUM_EDGE]
    if not large:
        return ()
    finest = min(spacing_mm[axis] for axis in large)
    axes = tuple(axis for axis in large if spacing_mm[axis] / finest < POOLING_SPACING_RATIO)
    if len(axes) == 1 and size_voxels[axes[0]] < 3 * MINIMUM_EDGE:
        return ()
    return axes
