"""Keep the largest connected component of each group of labels, make the others background."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from autoseg.postprocessing import Labels, Step
from autoseg.postprocessing._groups import Connectivity, Grouping, components, group_masks


class Options(BaseModel):
    """Which components to compare."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[int, ...] = ()
    """Label values; empty means the whole foreground."""
    grouping: Grouping = "together"
    """`together`: their voxels form one mask (a region, or all foreground); `each`: one mask per value."""
    connectivity: Connectivity = 26
    """Neighbours of a voxel: 6 share a face, 18 also an edge, 26 also a corner (nnU-Net v2's)."""


def build(options: Options) -> Step:
    """The step. Components of equal, largest size are all kept, as by nnU-Net v2."""

    def keep_largest(labels: Labels, _spacing_mm: Sequence[float]) -> Labels:
        cleaned = labels.copy()
        changed = False
        for _, box, mask in group_masks(cleaned, options.labels, options.grouping):
            numbers, sizes = components(mask, options.connectivity)
            if len(sizes) > 2:
                kept = sizes == sizes[1:].max()
                kept[0] = True
                cleaned[box][~kept[numbers]] = 0
                changed = True
        return cleaned if changed else labels

    return keep_largest
