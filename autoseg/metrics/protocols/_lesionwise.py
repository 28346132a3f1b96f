"""Lesion-wise Dice and HD95 as BraTS scores them since 2023: matching of lesions by dilation.

Facts of rachitsaluja/BraTS-2023-Metrics and rachitsaluja/BraTS-2024-Metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autoseg.metrics.case import Mask, RegionPair
from autoseg.metrics.components import Ids, boxes, cover, grow
from autoseg.metrics.morphology import dilate
from autoseg.metrics.surface import surface_distances
from autoseg.metrics.voxel_surface import voxel_surface_distances
from autoseg.specs.report import Score


@dataclass(frozen=True)
class LesionRules:
    """What a challenge chose.

    Attributes:
        dilations: How often a reference lesion is dilated (18 neighbours) to meet predicted pieces.
        threshold: Reference lesions of at most this volume (mm3) are left out of sums and counts.
        penalty_mm: HD95 of a lesion missed or invented, and of a region that only one of the masks has.
        nsd_mm: Tolerances of the surface Dice.
        false_positives_count: Whether invented lesions enter the denominator (and the sum of HD95).
    """

    dilations: int
    threshold: float
    penalty_mm: float
    nsd_mm: tuple[float, ...] = ()
    false_positives_count: bool = True


@dataclass(frozen=True)
class Frame:
    """Two masks in one box with room for the dilation, and what distances need.

    Attributes:
        prediction: (Z, Y, X).
        reference: Same shape.
        spacing_mm: Along (z, y, x).
        planar: The image is one slice.
    """

    prediction: Mask
    reference: Mask
    spacing_mm: tuple[float, float, float]
    planar: bool


def common_frames(pairs: Sequence[RegionPair], *, margin: int) -> dict[str, Frame]:
    """Put the masks of all regions into one box: pieces of different regions can be compared there.

    Args:
        pairs: Regions of one case.
        margin: Voxels around the masks, unless the image ends before.
    """
    ends = [[start + size for start, size in zip(p.origin, p.reference.shape, strict=True)] for p in pairs]
    low = [max(0, min(pair.origin[axis] for pair in pairs) - margin) for axis in range(3)]
    high = [min(pairs[0].shape[axis], max(end[axis] for end in ends) + margin) for axis in range(3)]
    shape = tuple(stop - start for start, stop in zip(low, high, strict=True))
    frames = {}
    for pair in pairs:
        inside = tuple(
            slice(start - first, start - first + size)
            for start, first, size in zip(pair.origin, low, pair.reference.shape, strict=True)
        )
        masks = []
        for mask in (pair.prediction, pair.reference):
            placed = np.zeros(shape, dtype=np.bool_)
            placed[inside] = mask
            masks.append(placed)
        frames[pair.name] = Frame(masks[0], masks[1], pair.spacing_mm, pair.planar)
    return frames


def lesion_scores(prediction: Ids, reference: Ids, frame: Frame, rules: LesionRules) -> dict[str, Score]:
    """Lesion-wise scores and counts of one region.

    Args:
        prediction: Numbered predicted lesions (Z, Y, X).
        reference: Numbered reference lesions, in the box of `frame`.
        frame: Spacing.
        rules: Of the challenge.
    """
    voxel_mm3 = float(np.prod(frame.spacing_mm))
    places = (boxes(prediction), boxes(reference))
    assigned: set[int] = set()
    kept, found = [], 0
    for number, place in enumerate(places[1], start=1):
        if place is None:
            continue
        around = grow(place, margin=rules.dilations, shape=reference.shape)
        lesion = reference[around] == number
        touched = np.unique(prediction[around][dilate(lesion, neighbours=18, times=rules.dilations)])
        pieces = [int(piece) for piece in touched if piece]
        assigned.update(pieces)
        if np.count_nonzero(lesion) * voxel_mm3 <= rules.threshold:
            continue
        found += bool(pieces)
        box = cover([place, *(box for piece in pieces if (box := places[0][piece - 1]) is not None)])
        kept.append(mask_scores(np.isin(prediction[box], pieces), reference[box] == number, frame, rules))
    invented = sum(place is not None for place in places[0]) - len(assigned)
    return {
        **_averages(kept, invented, rules),
        "lesions_tp": Score(value=float(found)),
        "lesions_fp": Score(value=float(invented)),
        "lesions_fn": Score(value=float(len(kept) - found)),
    }


def mask_scores(prediction: Mask, reference: Mask, frame: Frame, rules: LesionRules) -> dict[str, float]:
    """Dice, HD95 (DeepMind's) and NSD of two masks: 1 and 0 mm where both are empty, 0 and the penalty where one is."""
    voxels = int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference))
    names = [nsd_name(tolerance) for tolerance in rules.nsd_mm]
    if not voxels:
        return {"dice": 1.0, "hd95_mm": 0.0, **dict.fromkeys(names, 1.0)}
    if not (prediction.any() and reference.any()):
        return {"dice": 0.0, "hd95_mm": rules.penalty_mm, **dict.fromkeys(names, 0.0)}
    measured = surface_distances(prediction, reference, spacing_mm=frame.spacing_mm, planar=frame.planar)
    scores = {
        "dice": 2 * int(np.count_nonzero(prediction & reference)) / voxels,
        "hd95_mm": rules.penalty_mm if measured is None else measured.hausdorff_mm(95),
    }
    if names:
        found = voxel_surface_distances(prediction, reference, spacing_mm=frame.spacing_mm, neighbours=6)
        shares = (0.0 if found is None else found.mean_share_within(tolerance) for tolerance in rules.nsd_mm)
        scores |= dict(zip(names, shares, strict=True))
    return scores


def nsd_name(tolerance_mm: float) -> str:
    """`nsd_0.5mm`."""
    return f"nsd_{tolerance_mm:g}mm"


def _averages(kept: Sequence[dict[str, float]], invented: int, rules: LesionRules) -> dict[str, Score]:
    """Sums over lesions divided by lesions and false positives; 0 / 0 counts as perfect."""
    wrong = invented if rules.false_positives_count else 0
    number = len(kept) + wrong
    perfect = {"dice": 1.0, "hd95_mm": 0.0, **{nsd_name(tolerance): 1.0 for tolerance in rules.nsd_mm}}
    scores = {}
    for metric, best in perfect.items():
        extra = wrong * rules.penalty_mm if metric == "hd95_mm" else 0.0
        mean = (sum(row[metric] for row in kept) + extra) / number if number else best
        scores[f"lesionwise_{metric}"] = Score(value=mean, reason="" if number else "no lesion counts: scored perfect")
    return scores


def volumes(numbers: Ids) -> npt.NDArray[np.int64]:
    """Voxels of every number, that of the background included."""
    return np.bincount(numbers.ravel())
