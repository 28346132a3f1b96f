"""A preprocessed case of a region-of-interest cascade: the box around its organ, read as if it were the whole case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from autoseg.imageops.crop import Box, Margins, dilate_box, mask_box
from autoseg.specs.plan import Region
from autoseg.training.loader import CaseReader


def box_around(organ: npt.NDArray[np.integer], spacing_mm: Sequence[float], margin_mm: float) -> Box:
    """The organ's box with its margin; the whole case where there is no organ.

    Args:
        organ: (Z, Y, X), 0 outside of the organ.
        spacing_mm: Of that grid.
        margin_mm: On every side.
    """
    depth, height, width = organ.shape
    whole: Box = (slice(0, depth), slice(0, height), slice(0, width))
    found = mask_box(organ != 0)
    margins: Margins = ((margin_mm, margin_mm),) * 3
    return whole if found is None else dilate_box(found, margins, spacing_mm, limits=whole)


class RegionCase:
    """Nothing is stored twice: places are moved and patches are read from the whole case.

    Args:
        case: With the organ as its second label map.
        box: The part to see.
        region: Whether the organ is a channel, and whether what is outside of it is blanked.
        has_organ: Whether the first stage found one; without it nothing is blanked.
    """

    def __init__(self, case: CaseReader, box: Box, *, region: Region, has_organ: bool = True) -> None:
        self.case, self.box, self.region = case, box, region
        self.case_id = case.case_id
        self._blanks = region.blank_outside and has_organ

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) of the box."""
        first, second, third = (side.stop - side.start for side in self.box)
        return (first, second, third)

    @property
    def channels(self) -> int:
        """Image channels, without the organ's."""
        return self.case.channels

    @property
    def annotated(self) -> tuple[str, ...] | None:
        """Labels that the case annotates; None is all of them."""
        return self.case.annotated

    @cached_property
    def locations(self) -> Mapping[str, npt.NDArray[np.integer]]:
        """Sampled voxels per class inside of the box, in its coordinates."""
        start = np.array([side.start for side in self.box])
        stop = np.array([side.stop for side in self.box])
        found = {}
        for name, points in self.case.locations.items():
            moved = points.reshape(-1, 3).astype(np.int64)
            inside = ((moved >= start) & (moved < stop)).all(axis=1)
            found[name] = moved[inside] - start
        return found

    def read_patch(
        self, start: Sequence[int], stop: Sequence[int]
    ) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.integer] | None]:
        """Image (C, z, y, x) and labels of a part of the box: (2, z, y, x), own and organ, or (z, y, x), own alone."""
        first = [low + side.start for low, side in zip(start, self.box, strict=True)]
        last = [high + side.start for high, side in zip(stop, self.box, strict=True)]
        image, labels = self.case.read_patch(first, last)
        if labels is None:
            return image, None
        if self._blanks:
            image = np.where(labels[1] > 0, image, 0).astype(image.dtype)
        return image, labels if self.region.input_channel else labels[0]
