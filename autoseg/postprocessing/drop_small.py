"""Make connected components below a volume background."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from autoseg.postprocessing import Labels, Step
from autoseg.postprocessing._groups import Connectivity, Grouping, components, group_masks

ROUNDING = 1e-9
"""Relative error of a volume that is still the threshold: spacings are binary fractions of decimal ones."""


class Options(BaseModel):
    """What is too small."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    volume_mm3: float = Field(gt=0, allow_inf_nan=False)
    """Components of less than this go; one of exactly this stays."""
    labels: tuple[int, ...] = ()
    """Label values; empty means the whole foreground."""
    grouping: Grouping = "each"
    """`together`: their voxels form one mask; `each`: one mask per value."""
    connectivity: Connectivity = 26
    """Neighbours of a voxel: 6 share a face, 18 also an edge, 26 also a corner."""


def build(options: Options) -> Step:
    """The step."""

    def drop_small(labels: Labels, spacing_mm: Sequence[float]) -> Labels:
        least_voxels = options.volume_mm3 / math.prod(spacing_mm) * (1 - ROUNDING)
        cleaned = labels.copy()
        changed = False
        for _, box, mask in group_masks(cleaned, options.labels, options.grouping):
            numbers, sizes = components(mask, options.connectivity)
            kept = sizes >= least_voxels
            kept[0] = True
            if not kept.all():
                cleaned[box][~kept[numbers]] = 0
                changed = True
        return cleaned if changed else labels

    return drop_small
