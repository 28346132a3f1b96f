"""A mask on the grid of its file, taken the way that the image of the case went."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.imageops.orient import orient
from autoseg.imageops.resample import resample_labels
from autoseg.specs.case import CaseRecord
from autoseg.specs.plan import Resampling

Labels = npt.NDArray[np.integer[Any]]


def labels_on_plan_grid(labels: Labels, record: CaseRecord, rule: Resampling) -> Labels:
    """Orient, transpose, crop, resample.

    Args:
        labels: (Z, Y, X) in the file's own axes.
        record: How the case came to the plan's grid.
        rule: Label order and separate-z ratio.

    Returns:
        (*record.shape_voxels).
    """
    oriented = orient(labels, record.orient_axes, record.orient_flips).transpose(record.transpose)
    crop = tuple(slice(*ends) for ends in zip(record.crop_start_voxels, record.crop_stop_voxels, strict=True))
    return resample_labels(
        np.ascontiguousarray(oriented[crop], np.int16 if labels.dtype.itemsize < 2 else np.int32),
        record.shape_voxels,
        spacing_in_mm=record.cropped_spacing_mm,
        spacing_out_mm=record.spacing_mm,
        rule=rule,
    )
