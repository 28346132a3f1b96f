"""Fill background that a label encloses with that label."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cc3d
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from autoseg.postprocessing import Labels, Step
from autoseg.postprocessing._groups import Grouping, Mask, group_masks

ROUNDING = 1e-9
"""Relative error of a volume that still is the limit."""


class Options(BaseModel):
    """Which holes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[int, ...] = ()
    """Label values; empty means every one."""
    grouping: Grouping = "each"
    """`each`: holes of one value take that value; `together`: holes of the union take the first of `labels`."""
    largest_mm3: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Larger holes, with all they hold, stay; None fills all."""


def build(options: Options) -> Step:
    """The step. Only background is written: another label inside (a tumour in a liver) stays as it is."""

    def fill_holes(labels: Labels, spacing_mm: Sequence[float]) -> Labels:
        limit = None if options.largest_mm3 is None else options.largest_mm3 / math.prod(spacing_mm) * (1 + ROUNDING)
        filled = labels.copy()
        changed = False
        for value, box, mask in group_masks(filled, options.labels, options.grouping):
            open_axes = [axis for axis, size in enumerate(labels.shape) if size > 1]
            inside = _holes(mask, open_axes, limit) & (filled[box] == 0)
            if inside.any():
                filled[box][inside] = value
                changed = True
        return filled if changed else labels

    return fill_holes


def _holes(mask: Mask, open_axes: Sequence[int], largest_voxels: float | None) -> Mask:
    """Voxels outside a mask from which no path over faces, outside the mask, leads to a border across `open_axes`.

    Axes of one voxel are not open: an image of one slice is filled in its plane.
    """
    numbers = cc3d.connected_components(~mask, connectivity=6)
    hole = np.ones(int(numbers.max()) + 1, bool)
    hole[0] = False
    for axis in open_axes:
        hole[np.unique(numbers.take((0, -1), axis))] = False
    if largest_voxels is not None:
        hole &= np.bincount(numbers.ravel(), minlength=len(hole)) <= largest_voxels
    return hole[numbers]
