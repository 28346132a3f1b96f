"""Give a label that is too small to be believed another value: the rule for small enhancing tumours.

BraTS scored a single false voxel of enhancing tumour, where there is none, with Dice 0 and its absence with 1; below a
volume found on held-out cases the enhancing tumour became necrosis (Isensee et al., nnU-Net for Brain Tumor
Segmentation, BrainLes 2020).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from autoseg.imageops.crop import nonzero_box
from autoseg.postprocessing import Labels, Step
from autoseg.postprocessing._groups import Connectivity, components

ROUNDING = 1e-9
"""Relative error of a volume that is still the threshold."""


class Options(BaseModel):
    """What is too small, and what it becomes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[int, ...] = Field(min_length=1)
    """Label values that are measured together."""
    volume_mm3: float = Field(gt=0, allow_inf_nan=False)
    """Less than this is replaced; exactly this stays."""
    to: int = Field(default=0, ge=0)
    """Value to take; 0 removes."""
    per: Literal["case", "component"] = "case"
    """Measure all voxels of a case together, or every connected component."""
    connectivity: Connectivity = 26
    """Neighbours of a voxel of a component: 6 share a face, 18 also an edge, 26 also a corner."""

    @model_validator(mode="after")
    def _another(self) -> Self:
        if self.to in self.labels:
            raise ValueError("to must not be among labels")
        return self


def build(options: Options) -> Step:
    """The step."""

    def replace_small(labels: Labels, spacing_mm: Sequence[float]) -> Labels:
        least_voxels = options.volume_mm3 / math.prod(spacing_mm) * (1 - ROUNDING)
        mask = np.isin(labels, options.labels)
        voxels = int(np.count_nonzero(mask))
        if not voxels or (options.per == "case" and voxels >= least_voxels):
            return labels
        box = nonzero_box(mask[None])
        small = mask[box]
        if options.per == "component":
            numbers, sizes = components(small, options.connectivity)
            small = small & (sizes < least_voxels)[numbers]
            if not small.any():
                return labels
        cleaned = labels.copy()
        cleaned[box][small] = options.to
        return cleaned

    return replace_small
