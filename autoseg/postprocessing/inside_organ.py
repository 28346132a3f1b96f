"""Remove, or relabel, lesions away from the organ that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from autoseg.imageops.crop import nonzero_box
from autoseg.postprocessing import Labels, Step
from autoseg.postprocessing._groups import Connectivity, components


class Options(BaseModel):
    """Which lesions belong to which organ."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[int, ...] = Field(min_length=1)
    """Label values of the lesions."""
    organ: tuple[int, ...] = Field(min_length=1)
    """Label values of their organ, without the lesions."""
    host: Literal["any", "largest"] = "any"
    """Which pieces of the organ count: every one, or the one with the most organ voxels."""
    to: int = Field(default=0, ge=0)
    """Value that lesions elsewhere take; 0 removes them."""
    connectivity: Connectivity = 26
    """Neighbours of a voxel: 6 share a face, 18 also an edge, 26 also a corner."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if set(self.labels) & set(self.organ):
            raise ValueError("labels and organ must not share a value")
        return self


def build(options: Options) -> Step:
    """The step. Organ and lesions are one mask, since lesions are labelled in place of the organ.

    A map without any organ voxel stays as it is: nothing says where the organ would be.
    """

    def inside_organ(labels: Labels, _spacing_mm: Sequence[float]) -> Labels:
        both = np.isin(labels, (*options.organ, *options.labels))
        if not both.any():
            return labels
        box = nonzero_box(both[None])
        inside = labels[box]
        organ = np.isin(inside, options.organ)
        lesion = both[box] & ~organ
        if not (organ.any() and lesion.any()):
            return labels
        numbers, sizes = components(both[box], options.connectivity)
        organ_voxels = np.bincount(numbers[organ], minlength=len(sizes))
        least = int(organ_voxels.max()) if options.host == "largest" else 1
        elsewhere = lesion & (organ_voxels < least)[numbers]
        if not elsewhere.any():
            return labels
        cleaned = labels.copy()
        cleaned[box][elsewhere] = options.to
        return cleaned

    return inside_organ
