"""How much memory it takes to prepare a case, from its grid and the plan: nothing is read, nothing computed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from autoseg.core.geometry import Geometry, Shape3
from autoseg.imageops.resample import resampled_shape, separate_axis
from autoseg.preprocessing.case import Frame, is_normalized, target_spacing
from autoseg.specs.plan import Preprocessing

FLOAT_BYTES = 4
BODY_BYTES = 8
"""Per voxel: the mask, its complement, the numbers of its pieces (4 bytes) and what is looked up by them."""
VOTE_BYTES = 25
"""Per voxel of a slab in which labels are interpolated: indices, corners and votes of those at a boundary."""
VOTE_VOXELS = 2_000_000


@dataclass(frozen=True)
class Grids:
    """A case on its way.

    Attributes:
        whole: Voxels in the file.
        cropped: Shape between crop and resampling, in the plan's axes.
        planned: Shape on the plan's grid.
        apart: Axis that takes nearest slices, or None.
    """

    whole: int
    cropped: Shape3
    planned: Shape3
    apart: int | None

    @classmethod
    def of(cls, geometry: Geometry, preprocessing: Preprocessing, cropped: Shape3 | None = None) -> Grids:
        """Grids of a case that has not been read.

        Args:
            geometry: Of the file.
            preprocessing: The plan's section.
            cropped: Shape of the box of voxels that are not 0, in the file's axes, where it is known; without it
                nothing is taken to be cut off.
        """
        frame = Frame.of(geometry, preprocessing)
        by_content = preprocessing.crop_to_nonzero and preprocessing.fixed_crop is None
        kept = cropped if cropped is not None and by_content else geometry.shape
        # One number that looks like an image: its box is found without a look at its voxels.
        image = np.broadcast_to(np.float32(1), (1, *kept))
        sides = frame.image_box(image, preprocessing)
        first, second, third = (side.stop - side.start for side in sides)
        framed = frame.apply(np.broadcast_to(np.float32(1), (1, *geometry.shape)))
        depth, height, width = framed.shape[1:]
        target = target_spacing(frame.spacing_mm, (depth, height, width), preprocessing)
        inside = (first, second, third)
        planned = resampled_shape(inside, frame.spacing_mm, target)
        apart = separate_axis(frame.spacing_mm, target, preprocessing.resampling.separate_z_ratio)
        return cls(math.prod(geometry.shape), inside, planned, apart)

    @property
    def voxels(self) -> int:
        """On the plan's grid."""
        return math.prod(self.planned)

    @property
    def is_resampled(self) -> bool:
        """Whether any size changes."""
        return self.cropped != self.planned


def preparing_bytes(grids: Grids, preprocessing: Preprocessing, *, channels: int, label_bytes: int = 0) -> int:
    """Most that `preprocess_case` holds beside its arguments, its result included.

    Args:
        grids: Of the case.
        preprocessing: The plan's section.
        channels: Of the image.
        label_bytes: Per voxel of the labels; 0 without.
    """
    cropped, planned = math.prod(grids.cropped), grids.voxels
    own = cropped * label_bytes
    held = FLOAT_BYTES * channels * cropped + own
    masked = any(preprocessing.mask_normalization)
    body = BODY_BYTES * cropped if label_bytes or masked else 0
    others = {component.name for component in preprocessing.normalization} - {"zscore", "ct_clip", "none"}
    normalizing = (cropped if body else 0) + FLOAT_BYTES * cropped * (2 if others else int(masked))
    peaks = [held + body, held + normalizing]
    if grids.is_resampled:
        result = FLOAT_BYTES * channels * planned
        peaks.append(held + result + FLOAT_BYTES * _between(grids))
        if label_bytes:
            peaks.append(held + result + label_bytes * planned + VOTE_BYTES * min(planned, VOTE_VOXELS))
    return max(peaks)


def prepared_bytes(grids: Grids, *, channels: int, label_bytes: int = 0) -> int:
    """Size of the result of `preprocess_case`."""
    return (FLOAT_BYTES * channels + label_bytes) * grids.voxels


def storing_bytes(grids: Grids, preprocessing: Preprocessing, *, channels: int, label_bytes: int) -> int:
    """Most that `save_case` holds beside its arguments: the half as wide image, its compressed form, and a copy."""
    width = 2 if is_normalized(preprocessing) else FLOAT_BYTES
    stored = width * channels * grids.voxels
    return (stored if width < FLOAT_BYTES else 0) + 2 * max(stored, label_bytes * grids.voxels)


def _between(grids: Grids) -> int:
    """Most voxels in flight while one channel is resampled axis by axis; the first step reads the channel itself."""
    within = [axis for axis in range(3) if axis != grids.apart]
    shape = list(grids.cropped)
    first = True
    most = 0
    if grids.apart is not None and shape[grids.apart] > grids.planned[grids.apart]:
        shape[grids.apart] = grids.planned[grids.apart]
        most, first = math.prod(shape), False
    changed = [axis for axis in within if shape[axis] != grids.planned[axis]]
    for axis in sorted(changed, key=lambda axis: grids.planned[axis] / shape[axis]):
        before = 0 if first else math.prod(shape)
        shape[axis] = grids.planned[axis]
        most, first = max(most, before + math.prod(shape)), False
    if tuple(shape) != grids.planned:
        most = max(most, (0 if first else math.prod(shape)) + math.prod(grids.planned))
    return most
