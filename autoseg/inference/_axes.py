"""How one axis of the plan's grid maps to the native grid, cut to the rows that a block needs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from autoseg.imageops.resample import axis_matrix, nearest_along_separate_axis, separate_axis
from autoseg.specs.case import CaseRecord
from autoseg.specs.plan import Resampling

NEGLIGIBLE = 1e-9
"""Weights below this are lost in float32's rounding; a cubic spline's influence falls by 0.27 per voxel."""


@dataclass(frozen=True)
class AxisMap:
    """Interpolation along one axis: a matrix, or two taps per output where it has no more.

    Attributes:
        matrix: (size_out, size_in).
        convex: Whether every output is a weighted mean of inputs.
    """

    matrix: npt.NDArray[np.float64]
    convex: bool
    _blocks: dict[tuple[int, int], BlockAxis] = field(default_factory=dict)

    def rows(self, part: slice) -> BlockAxis:
        """The part of the map that gives the outputs of `part`; made once, as every row of blocks asks again."""
        key = (part.start, part.stop)
        if key not in self._blocks:
            rows = self.matrix[part]
            used = np.flatnonzero((np.abs(rows) > NEGLIGIBLE).any(axis=0))
            support = slice(int(used[0]), int(used[-1]) + 1)
            self._blocks[key] = BlockAxis(support, rows[:, support], self.convex)
        return self._blocks[key]


class BlockAxis:
    """Interpolation along one axis of a block.

    Attributes:
        support: Inputs that matter to the block.
    """

    def __init__(self, support: slice, rows: npt.NDArray[np.float64], convex: bool) -> None:
        self.support = support
        self._identity = rows.shape[0] == rows.shape[1] and np.array_equal(rows, np.eye(len(rows)))
        self._matrix = torch.from_numpy(rows.astype(np.float32)) if not convex else None
        if convex:
            first = (rows > NEGLIGIBLE).argmax(axis=1)
            second = np.minimum(first + 1, rows.shape[1] - 1)
            weights = rows[np.arange(len(rows)), first].astype(np.float32)
            self._first, self._second = torch.from_numpy(first), torch.from_numpy(second)
            self._nearest = bool((weights > 1 - NEGLIGIBLE).all())
            self._weights = torch.from_numpy(weights)

    def apply(self, values: torch.Tensor, axis: int) -> torch.Tensor:
        """Interpolate (heads, z, y, x) along `axis`."""
        if self._identity:
            return values
        if self._matrix is not None:
            return torch.movedim(torch.movedim(values, axis, -1) @ self._matrix.T, -1, axis)
        before = values.index_select(axis, self._first)
        if self._nearest:
            return before
        after = values.index_select(axis, self._second)
        return torch.lerp(after, before, self._weights.view(-1, *[1] * (values.ndim - 1 - axis)))


def axis_maps(record: CaseRecord, rule: Resampling) -> tuple[AxisMap, ...]:
    """Maps of (z, y, x) from the plan's grid to the cropped native grid.

    Where one axis is separate (see `separate_axis`), the nearest slice is taken along it, as in preprocessing.
    """
    apart = separate_axis(record.spacing_mm, record.cropped_spacing_mm, rule.separate_z_ratio)
    maps = []
    sizes = zip(record.shape_voxels, record.cropped_shape_voxels, strict=True)
    for axis, (size_in, size_out) in enumerate(sizes):
        if axis == apart:
            matrix = np.eye(size_in)[nearest_along_separate_axis(size_in, size_out)]
        else:
            matrix = axis_matrix(size_in, size_out, rule.logits_order, rule.align)
        maps.append(AxisMap(matrix, convex=_is_convex(matrix)))
    return tuple(maps)


def _is_convex(matrix: npt.NDArray[np.float64]) -> bool:
    """Whether every output is a weighted mean of at most two inputs."""
    return bool((matrix >= -NEGLIGIBLE).all() and ((matrix > NEGLIGIBLE).sum(axis=1) <= 2).all())
