"""Region of interest: the organ that a first stage found, the box around it, and what may lie inside of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.core.geometry import Geometry, Vector3
from autoseg.core.labels import LabelSpace
from autoseg.imageops.crop import Box, mask_box
from autoseg.specs.plan import Region

Labels = npt.NDArray[np.integer[Any]]
Mask = npt.NDArray[np.bool_]
PIECE_SHARE = 0.25
"""Pieces of an organ count from this share of the largest: both kidneys, but not a scrap (our decision)."""
LEAST_SHARE, LARGEST_SHARE = 0.5, 2.0
"""An organ is plausible from this share of the smallest to this share of the largest of training (our decision)."""
INSIDE_MM = 10.0
"""Tumours this close to the first stage's organ count as inside: about two of its voxels (our decision)."""


@dataclass(frozen=True)
class Organ:
    """What a first stage found in one case.

    Attributes:
        mask: (Z, Y, X) on the file's grid, or None where nothing plausible was found.
        box: Smallest box around the mask, in the file's axes; None without one.
        volume_ml: Of the mask; without one, of the implausible organ.
        problem: Why there is no mask; empty where there is one.
    """

    mask: Mask | None
    box: Box | None
    volume_ml: float
    problem: str = ""


@dataclass
class Story:
    """What happened to one case, for `predict.jsonl`.

    Attributes:
        organ_ml: Volume of the first stage's organ.
        box: First and one past the last voxel of the segmented part, in the file's axes.
        events: Everything out of the ordinary.
        seconds: Computing time of both stages.
    """

    organ_ml: float
    box: tuple[tuple[int, int, int], tuple[int, int, int]]
    events: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Found:
    """What the first stage means for the labels of the second.

    Attributes:
        organ: In the image.
        region: Rules.
        story: Of the case so far.
    """

    organ: Organ
    region: Region
    story: Story


def find_organ(labels: Labels, geometry: Geometry, region: Region) -> Organ:
    """The largest plausible organ in a first stage's labels.

    Pieces of at least `PIECE_SHARE` of the largest are the organ; where they are implausible together, the largest
    alone is tried.

    Args:
        labels: (Z, Y, X) on the file's grid.
        geometry: That grid.
        region: Labels and plausible volumes.
    """
    mask = np.isin(labels, region.found_as)
    box = mask_box(mask)
    if box is None:
        return Organ(None, None, 0.0, "the first stage found no organ")
    numbers, sizes = _pieces(mask[box])
    millilitres = geometry.voxel_volume_mm3 / 1000
    low, high = LEAST_SHARE * region.volume_ml[0], LARGEST_SHARE * region.volume_ml[1]
    for share in (PIECE_SHARE, 1.0):
        kept = sizes >= share * sizes.max()
        volume = float(sizes[kept].sum()) * millilitres
        if low <= volume <= high:
            whole = np.zeros_like(mask)
            whole[box] = kept[numbers]
            return Organ(whole, mask_box(whole), volume)
    volume = float(sizes[sizes >= PIECE_SHARE * sizes.max()].sum()) * millilitres
    return Organ(None, None, volume, f"the organ of {volume:.0f} ml is not within {low:.0f} to {high:.0f} ml")


def cut_sides(labels: Labels, region: Region, box: Box, limits: Box) -> tuple[tuple[int, int], ...]:
    """Faces of a box that cut the organ: its largest piece touches them, and the image goes on behind.

    Args:
        labels: (Z, Y, X) of the second stage in the box, on any grid in the plan's axes.
        region: Labels of the organ.
        box: What was segmented, in voxels of the plan's axes.
        limits: What there is of the image.

    Returns:
        Axis, and 0 for its first or 1 for its last face.
    """
    mask = np.isin(labels, region.labels)
    if not mask.any():
        return ()
    numbers, sizes = _pieces(mask)
    largest = numbers == int(sizes.argmax())
    found = []
    for axis, (side, limit) in enumerate(zip(box, limits, strict=True)):
        planes = np.moveaxis(largest, axis, 0)
        if side.start > limit.start and planes[0].any():
            found.append((axis, 0))
        if side.stop < limit.stop and planes[-1].any():
            found.append((axis, 1))
    return tuple(found)


def merge_stages(
    labels: npt.NDArray[np.unsignedinteger[Any]], organ: Organ, region: Region, space: LabelSpace, spacing_mm: Vector3
) -> list[str]:
    """Make one label map of both stages, in place.

    Tumours away from the organ are removed: outside of the first stage's mask by more than `INSIDE_MM`, and not
    joined to the second stage's organ. Where the second stage has no organ (because it does not learn it, or found
    none), the first stage's is taken.

    Args:
        labels: (Z, Y, X) of the second stage on the file's grid.
        organ: What the first stage found.
        region: Which labels are which.
        space: Labels of the second stage.
        spacing_mm: Of the file's grid.

    Returns:
        What was changed, in words.
    """
    events = []
    written = set(space.head_values) - {0}
    tumours = tuple(sorted(written & set(region.labels) - {region.host}))
    removed = _remove_outside(labels, organ, region, tumours, spacing_mm, knows_host=region.host in written)
    if removed:
        events.append(f"{removed} tumour voxels outside of the organ removed")
    if organ.mask is not None and not (labels == region.host).any():
        labels[organ.mask & (labels == 0)] = region.host
        if region.host in written:
            events.append("the second stage found no organ: that of the first stage is kept")
    return events


def merge_found(
    labels: npt.NDArray[np.unsignedinteger[Any]], found: Found, space: LabelSpace, spacing_mm: Vector3
) -> None:
    """`merge_stages`, noted in the case's story."""
    found.story.events += merge_stages(labels, found.organ, found.region, space, spacing_mm)


def _remove_outside(
    labels: npt.NDArray[np.unsignedinteger[Any]],
    organ: Organ,
    region: Region,
    tumours: tuple[int, ...],
    spacing_mm: Vector3,
    *,
    knows_host: bool,
) -> int:
    if not knows_host and organ.mask is None:
        return 0  # nothing says where the organ would be
    if not tumours or not np.isin(labels, tumours).any():
        return 0
    either = np.isin(labels, region.labels)
    around = mask_box(either if organ.mask is None else either | organ.mask)
    if around is None:
        return 0
    inside = labels[around]
    outside = np.isin(inside, tumours) & ~_joined_to_host(inside, region)
    if organ.mask is not None and outside.any():
        outside &= ~_is_near(organ.mask[around], spacing_mm)
    inside[outside] = 0
    return int(outside.sum())


def _joined_to_host(labels: Labels, region: Region) -> Mask:
    """Pieces of the second stage's organ, tumours included, that hold a good part of its own tissue."""
    numbers, sizes = _pieces(np.isin(labels, region.labels))
    own = np.bincount(numbers[labels == region.host], minlength=len(sizes))
    own[0] = 0
    joined: Mask = ((own >= PIECE_SHARE * own.max()) & (own > 0))[numbers]
    return joined


def _is_near(mask: Mask, spacing_mm: Vector3) -> Mask:
    if not mask.any():
        return mask
    import edt  # only where something lies outside

    near: Mask = edt.edt(~mask, anisotropy=spacing_mm) <= INSIDE_MM
    return near


def _pieces(mask: Mask) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Piece of each voxel, 0 outside of the mask, and voxels per piece (0 for the outside)."""
    import cc3d  # 0.06 s, which programs that find no organ can save

    numbers = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=26)
    sizes = np.bincount(numbers.ravel()).astype(np.int64)
    sizes[0] = 0
    return numbers, sizes
