"""Masks of label groups, cut to their box, and their connected components."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import cc3d
import numpy as np
import numpy.typing as npt

from autoseg.imageops.crop import nonzero_box

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]
Connectivity = Literal[6, 18, 26]
Grouping = Literal["together", "each"]


def label_groups(labels: Labels, chosen: Sequence[int], grouping: Grouping) -> tuple[tuple[int, ...], ...]:
    """Groups of label values whose voxels form one mask; no chosen value means every one that is not background."""
    values = tuple(chosen) or tuple(int(value) for value in np.unique(labels) if value != 0)
    return (values,) if grouping == "together" else tuple((value,) for value in values)


def group_masks(labels: Labels, chosen: Sequence[int], grouping: Grouping) -> Iterator[tuple[int, Box, Mask]]:
    """First value, box and mask in that box (z, y, x) of every group that has a voxel.

    Later masks see what a caller wrote into `labels` for earlier ones.
    """
    for values in label_groups(labels, chosen, grouping):
        mask = labels == values[0] if len(values) == 1 else np.isin(labels, values)
        if mask.any():
            box = nonzero_box(mask[None])
            yield values[0], box, mask[box]


def components(mask: Mask, connectivity: Connectivity) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Component numbers from 1, and voxels per number (index 0 is the background)."""
    numbers = cc3d.connected_components(mask, connectivity=connectivity)
    return numbers, np.bincount(numbers.ravel())
