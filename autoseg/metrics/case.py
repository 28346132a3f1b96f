"""Two label maps of one case, taken apart into pairs of masks, one pair per region."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autoseg.core.errors import DatasetError, GeometryError
from autoseg.core.labels import LabelSpace
from autoseg.imageops.crop import Box
from autoseg.metrics.overlap import Counts, joint_histogram, region_counts
from autoseg.specs.report import Score

if TYPE_CHECKING:
    from autoseg.metrics.protocols import Protocol

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Regions = Mapping[str, tuple[int, ...]]
NOT_ANNOTATED = "not annotated"
"""Reason of scores that a case cannot have."""


@dataclass(frozen=True)
class RegionPair:
    """One region of one case.

    Attributes:
        name: Of the region.
        counts: Voxels of the whole volume, without the ignored ones.
        prediction: (Z, Y, X) cropped to the box that holds both masks; one voxel where both are empty.
        reference: Same box.
        ignored: Voxels of the box that were not annotated (False in both masks), or None.
        spacing_mm: Along (z, y, x).
        planar: The whole image is one slice; a region of one slice in a volume is not.
        origin: First voxel of the box in the image, (z, y, x).
        shape: Of the image, (z, y, x).
    """

    name: str
    counts: Counts
    prediction: Mask
    reference: Mask
    ignored: Mask | None
    spacing_mm: tuple[float, float, float]
    planar: bool
    origin: tuple[int, int, int] = (0, 0, 0)
    shape: tuple[int, ...] = ()

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing_mm))


def evaluate_case(
    prediction: Labels,
    reference: Labels,
    *,
    spacing_mm: Sequence[float],
    labels: LabelSpace,
    protocol: Protocol | None = None,
    annotated: Sequence[str] | None = None,
) -> dict[str, dict[str, Score]]:
    """Score one label map against its reference: region -> metric -> score.

    Args:
        prediction: Integers (Z, Y, X).
        reference: Same shape; voxels of `labels.ignore` are left out of everything.
        spacing_mm: Along (z, y, x).
        labels: What the values mean.
        protocol: Scoring rules; None takes the protocol `autoseg` with its default options.
        annotated: Labels that the reference annotates, None for all; regions of others have no scores.

    Raises:
        GeometryError: The shapes differ.
        DatasetError: A value that is not among the labels.
    """
    if protocol is None:
        from autoseg.metrics.protocols import load_protocol

        protocol = load_protocol("autoseg")
    regions = protocol.regions(labels)
    pairs = split_regions(prediction, reference, spacing_mm=spacing_mm, labels=labels, regions=regions)
    scores = protocol.score_case(pairs)
    if annotated is None:
        return scores
    hidden = {name for name, values in regions.items() if not _is_annotated(values, labels, annotated)}
    unknown = Score(value=None, reason=NOT_ANNOTATED)
    return {name: dict.fromkeys(each, unknown) if name in hidden else each for name, each in scores.items()}


def _is_annotated(values: Sequence[int], labels: LabelSpace, annotated: Sequence[str]) -> bool:
    """Whether a region is made of annotated labels alone."""
    groups = [set(own) for name, own in zip(labels.names, labels.values, strict=True) if name in annotated]
    return set(values) == set[int]().union(*(group for group in groups if group <= set(values)))


def split_regions(
    prediction: Labels, reference: Labels, *, spacing_mm: Sequence[float], labels: LabelSpace, regions: Regions
) -> Iterator[RegionPair]:
    """Yield the masks of every region with their counts.

    Args:
        prediction: Integers (Z, Y, X).
        reference: Same shape.
        spacing_mm: Along (z, y, x).
        labels: What the values mean.
        regions: Name -> label values of each region to score.

    Raises:
        GeometryError: The shapes differ.
        DatasetError: A value that is not among the labels.
    """
    if prediction.shape != reference.shape or prediction.ndim != 3:
        raise GeometryError(
            f"the prediction has the shape {prediction.shape}, the reference {reference.shape}",
            "compare label maps (z, y, x) on the same grid",
        )
    values = sorted({0, *labels.foreground_values, *(() if labels.ignore is None else (labels.ignore,))})
    box = occupied_box(prediction, reference)
    predicted = _number(prediction[box], values, "prediction", forbidden=labels.ignore)
    referenced = _number(reference[box], values, "reference")
    ignored = None if labels.ignore is None else referenced == values.index(labels.ignore)
    if ignored is not None and ignored.any():
        predicted[ignored] = 0
    else:
        ignored = None
    scale = _Scale(values, (box[0].start, box[1].start, box[2].start), prediction.shape, spacing_mm)
    yield from _pairs(predicted, referenced, ignored, scale, regions)


@dataclass(frozen=True)
class _Scale:
    values: Sequence[int]
    origin: tuple[int, int, int]
    shape: tuple[int, ...]
    spacing_mm: Sequence[float]


def _pairs(
    predicted: Labels, referenced: Labels, ignored: Mask | None, scale: _Scale, regions: Regions
) -> Iterator[RegionPair]:
    """`predicted` and `referenced` hold positions in `scale.values`; ignored voxels are background when predicted."""
    histogram = joint_histogram(referenced, predicted, len(scale.values))
    voxels = math.prod(scale.shape) - (0 if ignored is None else int(np.count_nonzero(ignored)))
    boxes = [ndimage.find_objects(array, len(scale.values) - 1) for array in (predicted, referenced)]
    z, y, x = (float(value) for value in scale.spacing_mm)
    for name, members in regions.items():
        positions = [scale.values.index(value) for value in members]
        found = [boxes[side][position - 1] for side in (0, 1) for position in positions if position]
        # One voxel more where voxels are ignored: those next to a mask decide which surface is measured.
        box = _union([box for box in found if box is not None], margin=0 if ignored is None else 1)
        yield RegionPair(
            name,
            region_counts(histogram, positions, voxels=voxels),
            _mask(predicted[box], positions),
            _mask(referenced[box], positions),
            None if ignored is None else ignored[box],
            (z, y, x),
            scale.shape[0] == 1,
            (scale.origin[0] + box[0].start, scale.origin[1] + box[1].start, scale.origin[2] + box[2].start),
            tuple(scale.shape),
        )


def occupied_box(*arrays: Labels) -> Box:
    """Smallest box with every voxel that is not 0 in some array; the first voxel where there is none."""
    occupied = np.zeros(arrays[0].shape, dtype=np.bool_)
    for array in arrays:
        occupied |= array != 0
    # A maximum over bytes is vectorised, `any` over bools is not: 10x faster on 31 million voxels.
    voxels = occupied.view(np.uint8)
    plane = voxels.max(axis=0)
    lines = (voxels.reshape(len(voxels), -1).max(axis=1), plane.max(axis=1), plane.max(axis=0))
    where = [np.flatnonzero(line) for line in lines]
    if not len(where[0]):
        return _union([])
    z, y, x = (slice(int(line[0]), int(line[-1]) + 1) for line in where)
    return (z, y, x)


def _union(boxes: Sequence[Box], *, margin: int = 0) -> Box:
    """Smallest box around all of `boxes`, with a margin; the first voxel where there is none."""
    if not boxes:
        return (slice(0, 1), slice(0, 1), slice(0, 1))
    first = [min(box[axis].start for box in boxes) for axis in range(3)]
    last = [max(box[axis].stop for box in boxes) for axis in range(3)]
    z, y, x = (slice(max(0, start - margin), stop + margin) for start, stop in zip(first, last, strict=True))
    return (z, y, x)


def _number(array: Labels, values: Sequence[int], role: str, *, forbidden: int | None = None) -> Labels:
    """Replace each label by its position in `values`, which are sorted and start with 0.

    Raises:
        DatasetError: A label that is not among `values`, or is `forbidden`.
    """
    allowed = [value for value in values if value != forbidden]
    low, high = int(array.min()), int(array.max())
    narrow = np.uint8 if len(values) <= 256 else np.uint16
    if low < 0 or high > values[-1]:
        raise _unknown_label(low if low < 0 else high, allowed, role)
    positions = np.full(values[-1] + 1, len(values), dtype=np.int64)
    positions[allowed] = [values.index(value) for value in allowed]
    if not (positions[: high + 1] == len(values)).any() and values[-1] == len(values) - 1:
        return array.astype(narrow)
    present = np.flatnonzero(np.bincount(array.ravel(), minlength=len(positions)))
    for value in present:
        if positions[value] == len(values):
            raise _unknown_label(int(value), allowed, role)
    return positions.astype(narrow)[array]


def _unknown_label(value: int, allowed: Sequence[int], role: str) -> DatasetError:
    shown = ", ".join(str(label) for label in allowed)
    return DatasetError(
        f"the {role} holds the value {value}, the labels are {shown}", "score with the labels of the right data set"
    )


def _mask(array: Labels, positions: Sequence[int]) -> Mask:
    if len(positions) == 1:
        return np.ascontiguousarray(array == positions[0])
    chosen = np.zeros(int(array.max()) + 2 + max(positions, default=0), dtype=np.bool_)
    chosen[list(positions)] = True
    return chosen[array]
