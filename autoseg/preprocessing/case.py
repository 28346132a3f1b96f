"""One case: orient, transpose, crop, normalise, resample, and remember how, to put a prediction back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.core.geometry import Geometry, Shape3, Vector3
from autoseg.core.labels import LabelSpace
from autoseg.imageops.crop import Box, box_bounds, centred_box, common_box, nonzero_box
from autoseg.imageops.orient import Axes, Flips, canonical_orientation, orient
from autoseg.imageops.resample import resample_image, resample_labels, resampled_shape
from autoseg.intensity import normalizers
from autoseg.io.case_store import OUTSIDE
from autoseg.preprocessing.body import body_mask
from autoseg.preprocessing.locations import PlaneCounts, Points, class_locations
from autoseg.specs.case import CaseRecord, Grid
from autoseg.specs.plan import Preprocessing

Image = npt.NDArray[np.float32]
Labels = npt.NDArray[np.signedinteger[Any]]
PreparedCase = tuple[Image, Labels | None, CaseRecord, dict[str, Points]]

_AS_STORED: Axes = (0, 1, 2)
_NO_FLIPS: Flips = (False, False, False)


def preprocess_case(
    image: Image,
    geometry: Geometry,
    labels: npt.NDArray[np.integer[Any]] | None,
    preprocessing: Preprocessing,
    space: LabelSpace,
    *,
    case_id: str = "",
    region: Box | None = None,
) -> PreparedCase:
    """Bring a raw case onto the plan's grid; the arguments are left as they are.

    Args:
        image: (C, Z, Y, X) as read.
        geometry: Its grid.
        labels: (Z, Y, X), or None where there is no reference.
        preprocessing: The plan's section.
        space: What the labels mean.
        case_id: Goes into the record.
        region: Keep only this box, in voxels of the oriented and transposed case (`Frame`). Intensities are
            normalised as in the whole case; the box alone is resampled. One without image voxels is ignored.

    Returns:
        Image (C, z, y, x) float32; labels (z, y, x) with -1 outside of the body, or None; the record; and voxel
        coordinates per class or region, empty without labels.
    """
    frame = Frame.of(geometry, preprocessing)
    framed = frame.apply(image)
    box = _kept(framed, frame.spacing_mm, preprocessing)
    cropped = np.array(framed[(slice(None), *box)], np.float32, order="C")
    own = None if labels is None else _signed(frame.apply(labels)[box])
    _normalize(cropped, _body(cropped, own, preprocessing), preprocessing)
    inner = None if region is None else common_box(box, region)
    if inner is not None:
        within = _relative(inner, box)
        cropped = np.ascontiguousarray(cropped[(slice(None), *within)])
        own, box = None if own is None else np.ascontiguousarray(own[within]), inner
    target = target_spacing(frame.spacing_mm, _grid(framed), preprocessing)
    shape = resampled_shape(_grid(cropped), frame.spacing_mm, target)
    rule = preprocessing.resampling
    result = resample_image(cropped, shape, spacing_in_mm=frame.spacing_mm, spacing_out_mm=target, rule=rule)
    if own is not None:
        own = resample_labels(own, shape, spacing_in_mm=frame.spacing_mm, spacing_out_mm=target, rule=rule)
    counts = None if own is None else PlaneCounts.of(own)
    locations = {} if own is None or counts is None else class_locations(own, space, counts)
    start, stop = box_bounds(box)
    record = CaseRecord(
        case_id=case_id,
        original=Grid.of(geometry),
        orient_axes=frame.axes,
        orient_flips=frame.flips,
        transpose=frame.order,
        transposed_shape_voxels=_grid(framed),
        crop_start_voxels=start,
        crop_stop_voxels=stop,
        cropped_spacing_mm=frame.spacing_mm,
        spacing_mm=target,
        shape_voxels=shape,
        label_voxels={} if counts is None else counts.totals(),
    )
    return result, own, record, locations


def for_case(preprocessing: Preprocessing, geometry: Geometry) -> Preprocessing:
    """The section with the case's own spacing filled in: equal for two sections that make the same of this case."""
    frame = Frame.of(geometry, preprocessing)
    first, second, third = (geometry.shape[frame.axes[position]] for position in frame.order)
    target = target_spacing(frame.spacing_mm, (first, second, third), preprocessing)
    return preprocessing.model_copy(update={"spacing_mm": target, "native_axes": (), "target_shape_voxels": None})


def is_normalized(preprocessing: Preprocessing) -> bool:
    """Whether intensities are small numbers, which float16 holds to 0.05 %."""
    return all(component.name != "none" for component in preprocessing.normalization)


def target_spacing(spacing_mm: Vector3, shape: Shape3, preprocessing: Preprocessing) -> Vector3:
    """Spacing of the stored case: the plan's, save for axes that keep their own, or what gives the plan's shape.

    Args:
        spacing_mm: Of the case, in the plan's axis order.
        shape: Of the whole case, in that order.
        preprocessing: The plan's section.
    """
    wanted: Vector3 | None = preprocessing.spacing_mm
    if preprocessing.target_shape_voxels is not None:
        first, second, third = (
            own * before / after
            for own, before, after in zip(spacing_mm, shape, preprocessing.target_shape_voxels, strict=True)
        )
        wanted = (first, second, third)
    if wanted is None:
        return spacing_mm
    first, second, third = (
        own if axis in preprocessing.native_axes else planned
        for axis, (own, planned) in enumerate(zip(spacing_mm, wanted, strict=True))
    )
    return (first, second, third)


@dataclass(frozen=True)
class Frame:
    """From the file's axes to the plan's, before any crop: what `crop_start_voxels` of a record count in.

    Attributes:
        axes: Axis order of the re-orientation.
        flips: Axes after it that are reversed.
        order: Axis order of the plan.
        spacing_mm: Voxel spacing in the plan's axes.
    """

    axes: Axes
    flips: Flips
    order: Axes
    spacing_mm: Vector3

    @classmethod
    def of(cls, geometry: Geometry, preprocessing: Preprocessing) -> Frame:
        """Frame of an image."""
        canonical = preprocessing.orientation == "canonical"
        axes, flips = canonical_orientation(geometry) if canonical else (_AS_STORED, _NO_FLIPS)
        order = preprocessing.transpose
        first, second, third = (geometry.spacing_mm[axes[position]] for position in order)
        return cls(axes, flips, order, (first, second, third))

    def apply(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """View of (..., Z, Y, X) in the plan's frame."""
        return orient(orient(array, self.axes, self.flips), self.order, _NO_FLIPS)

    def image_box(self, image: Image, preprocessing: Preprocessing) -> Box:
        """What the plan keeps of (C, Z, Y, X) in the file's axes, as a box in the plan's."""
        return _kept(self.apply(image), self.spacing_mm, preprocessing)

    def from_file(self, box: Box, shape: Shape3) -> Box:
        """A box in the file's axes, in the plan's.

        Args:
            box: Of voxels.
            shape: Of the whole array in the file's axes.
        """
        first, second, third = (self._side(box[self.axes[at]], shape[self.axes[at]], at) for at in self.order)
        return (first, second, third)

    def to_file(self, box: Box, shape: Shape3) -> Box:
        """Inverse of `from_file`; `shape` is in the file's axes here too."""
        sides: list[slice] = [slice(0, 0)] * 3
        for position, at in enumerate(self.order):
            axis = self.axes[at]
            sides[axis] = self._side(box[position], shape[axis], at)
        return (sides[0], sides[1], sides[2])

    def _side(self, side: slice, size: int, at: int) -> slice:
        return slice(size - side.stop, size - side.start) if self.flips[at] else side


def _body(image: Image, own: Labels | None, preprocessing: Preprocessing) -> npt.NDArray[np.bool_] | None:
    """What was imaged, where anything depends on it; labels outside of it become -1, in place."""
    if own is None:
        return body_mask(image) if any(preprocessing.mask_normalization) else None
    own[(own == 0) & ~body_mask(image)] = OUTSIDE
    # Annotated voxels count as body even where the image is 0: the rule of nnU-Net v2.
    body: npt.NDArray[np.bool_] = own != OUTSIDE
    return body


def _normalize(image: Image, body: npt.NDArray[np.bool_] | None, preprocessing: Preprocessing) -> None:
    """Every channel in place."""
    components = zip(
        preprocessing.normalization, preprocessing.mask_normalization, preprocessing.intensities, strict=True
    )
    for channel, (component, masked, statistics) in enumerate(components):
        normalize = normalizers.build(component.name, component.options, statistics=statistics)
        image[channel] = normalize(image[channel], body if masked else None)


def _signed(labels: npt.NDArray[np.integer[Any]]) -> Labels:
    """Copy that holds the labels and -1; narrow types halve the work on them."""
    highest = int(labels.max())
    kinds = (np.int8, np.int16, np.int32, np.int64)
    return np.array(labels, next(kind for kind in kinds if highest <= np.iinfo(kind).max), order="C")


def _relative(inner: Box, outer: Box) -> Box:
    """A box in coordinates of the box around it."""
    first, second, third = (
        slice(small.start - large.start, small.stop - large.start) for small, large in zip(inner, outer, strict=True)
    )
    return (first, second, third)


def _grid(image: npt.NDArray[Any]) -> Shape3:
    _, depth, height, width = image.shape
    return (depth, height, width)


def _kept(framed: npt.NDArray[Any], spacing_mm: Vector3, preprocessing: Preprocessing) -> Box:
    """The plan's crop of (C, Z, Y, X) in the plan's frame."""
    crop, whole = preprocessing.fixed_crop, _grid(framed)
    if crop is None:
        return nonzero_box(framed) if preprocessing.crop_to_nonzero else _whole(framed)
    target = target_spacing(spacing_mm, whole, preprocessing)
    # Never more than the size after resampling; the small share keeps 1.9999 mm / 1 mm from losing a voxel.
    size = [
        max(1, int(edge * after / before + 1e-3))
        for edge, before, after in zip(crop.size_voxels, spacing_mm, target, strict=True)
    ]
    centre = [offset / spacing for offset, spacing in zip(crop.centre_mm, spacing_mm, strict=True)]
    return centred_box(whole, size, centre)


def _whole(image: npt.NDArray[Any]) -> Box:
    depth, height, width = _grid(image)
    return (slice(0, depth), slice(0, height), slice(0, width))
