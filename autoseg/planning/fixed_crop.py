"""One crop box for all cases: around the union of their non-zero regions, of the size that the method gives.

Source: Buchwald et al., Brain Tumor Segmentation on the Basis of a U-Net Architecture, who cut all BraTS volumes to one
box. Images are laid middle on middle, so that volumes of one grid have one box in voxels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autoseg.core.errors import SpecError
from autoseg.planning.frame import Frame, numbers
from autoseg.planning.spacing import FloatArray, canonical_order
from autoseg.specs.fingerprint import CaseFingerprint, Fingerprint
from autoseg.specs.method import PlanChoices
from autoseg.specs.plan import Decision, FixedCrop

MOST_CUT = 0.1
"""Share of the union that may be lost along an axis; a box that cuts more was meant for other images."""
CANONICAL = "SPL"


def fix_crop(frame: Frame, fingerprint: Fingerprint, choices: PlanChoices) -> tuple[Frame, FixedCrop | None]:
    """The box, and the frame with the median case that it leaves and the decision; both unchanged where none is wanted.

    Raises:
        SpecError: The fingerprint does not say where the non-zero regions lie, or the box cuts too much of them.
    """
    wanted = choices.fixed_size_voxels
    if wanted is None:
        return frame, None
    order = list(frame.transpose)
    size = np.asarray(wanted)[order]
    lower, upper = _union_mm(fingerprint, canonical=choices.orientation == "canonical")
    lower, upper = lower[order], upper[order]
    span = (upper - lower) / frame.spacing_mm
    cut = 1 - size / span
    if cut.max() > MOST_CUT:
        axis = "zyx"[order[int(cut.argmax())]]
        raise SpecError(
            f"plan.fixed_size_voxels = {list(wanted)} would cut {cut.max():.0%} off along {axis}: what is not zero in "
            f"some case spans {numbers(np.round(span))} voxels",
            "give a larger size, or a method without a fixed crop",
        )
    middle = (lower + upper) / 2
    whole = np.median([_whole_voxels(case, frame, choices) for case in fingerprint.cases], axis=0)
    kept = np.minimum(size, whole)
    decision = Decision(
        topic="fixed crop",
        value=f"{numbers(size)} voxels, {numbers(middle)} mm from the middle of the image",
        reason=f"what is not zero in some of {len(fingerprint.cases)} cases spans {numbers(np.round(span))} voxels; "
        "the size is the method's",
    )
    first, second, third = (int(edge) for edge in size)
    z, y, x = (float(value) for value in middle)
    crop = FixedCrop(size_voxels=(first, second, third), centre_mm=(z, y, x))
    slices = min(frame.native_slices, first)
    decisions = (*frame.decisions, decision)
    return replace(frame, median_shape_voxels=kept, native_slices=slices, decisions=decisions), crop


def _union_mm(fingerprint: Fingerprint, *, canonical: bool) -> tuple[FloatArray, FloatArray]:
    """Lower and upper border of what is not zero in some case, from the middle of the image, before the transpose."""
    borders = [_box_mm(case, canonical=canonical) for case in fingerprint.cases]
    return np.min([lower for lower, _ in borders], axis=0), np.max([upper for _, upper in borders], axis=0)


def _box_mm(case: CaseFingerprint, *, canonical: bool) -> tuple[FloatArray, FloatArray]:
    if case.cropped_start_voxels is None:
        raise SpecError(
            f"the fingerprint does not say where {case.case_id} is not zero, which plan.fixed_size_voxels needs",
            "run autoseg fingerprint again",
        )
    spacing, start = np.asarray(case.spacing_mm), np.asarray(case.cropped_start_voxels)
    middle = np.asarray(case.shape_voxels) / 2
    lower, upper = (start - middle) * spacing, (start + case.cropped_shape_voxels - middle) * spacing
    if not canonical:
        return lower, upper
    axes = list(canonical_order(case.orientation))
    lower, upper = lower[axes], upper[axes]
    turned = np.array([case.orientation[axis] != letter for axis, letter in zip(axes, CANONICAL, strict=True)])
    return np.where(turned, -upper, lower), np.where(turned, -lower, upper)


def _whole_voxels(case: CaseFingerprint, frame: Frame, choices: PlanChoices) -> FloatArray:
    """Shape of the whole case on the target grid, after the transpose."""
    axes = canonical_order(case.orientation) if choices.orientation == "canonical" else (0, 1, 2)
    order = [axes[position] for position in frame.transpose]
    extent = np.asarray(case.shape_voxels)[order] * np.asarray(case.spacing_mm)[order]
    return np.asarray(np.round(extent / frame.spacing_mm), np.float64)
