"""How large an organ is in the reference masks, box by box: what the patch of a region of interest is planned for."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from autoseg.core.geometry import Vector3
from autoseg.core.workers import run_cases_growing
from autoseg.imageops.crop import mask_box
from autoseg.imageops.orient import canonical_orientation
from autoseg.io.images import read_label

MOST_CASES = 24
"""Masks that are read: the median of these is within a few percent of the median of all."""


def organ_extents_mm(
    masks: Sequence[Path], values: Sequence[int], *, orientation: Literal["as_stored", "canonical"], workers: int
) -> tuple[Vector3, ...]:
    """Size of the box around some labels in evenly chosen masks that hold them; unreadable ones are passed over.

    Args:
        masks: Label files.
        values: Label values of the organ.
        orientation: Axes of the sizes.
        workers: Processes.

    Returns:
        (z, y, x) per mask, in the file's axes or the canonical ones.
    """
    chosen = np.unique(np.linspace(0, len(masks) - 1, min(MOST_CASES, len(masks))).astype(int)) if masks else ()
    measure = functools.partial(_extent_mm, values=tuple(values), orientation=orientation)
    found = run_cases_growing(measure, [masks[index] for index in chosen], workers=workers)
    return tuple(each.result for each in found if each.result is not None)


def _extent_mm(
    mask: Path, *, values: tuple[int, ...], orientation: Literal["as_stored", "canonical"]
) -> Vector3 | None:
    labels, geometry = read_label(mask)
    box = mask_box(np.isin(labels, values))
    if box is None:
        return None
    axes = canonical_orientation(geometry)[0] if orientation == "canonical" else (0, 1, 2)
    first, second, third = ((box[axis].stop - box[axis].start) * geometry.spacing_mm[axis] for axis in axes)
    return (first, second, third)
