"""The fingerprint in the plan's frame: grids of all cases, median case, transpose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.core.errors import SpecError
from autoseg.planning.spacing import (
    CaseGrids,
    FloatArray,
    canonical_order,
    resampled_shapes,
    target_spacing,
    transpose_order,
)
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.method import PlanChoices
from autoseg.specs.plan import Decision

CANONICAL_CODE = "SPL"


@dataclass(frozen=True)
class Frame:
    """Everything about the grid that all configurations share; arrays are in the plan's (transposed) axis order.

    Attributes:
        transpose: Plan axis i is axis `transpose[i]` of the oriented case.
        spacing_mm: Target spacing of the full resolution, (3,).
        median_shape_voxels: Median over cases of the resampled shape; halves are kept, (3,).
        native_slices: Median number of slices along axis 0 without resampling.
        orientations: Anatomical code of every case before the transpose.
        cases: Their number.
        decisions: How all this came about.
    """

    transpose: tuple[int, int, int]
    spacing_mm: FloatArray
    median_shape_voxels: FloatArray
    native_slices: int
    orientations: tuple[str, ...]
    cases: int
    decisions: tuple[Decision, ...]

    @property
    def dataset_voxels(self) -> float:
        """Median case times number of cases."""
        return float(np.prod(self.median_shape_voxels) * self.cases)

    @property
    def is_planar(self) -> bool:
        """Whether cases are single images, for which there is no 3D configuration."""
        return bool(self.median_shape_voxels[0] == 1)


def make_frame(fingerprint: Fingerprint, choices: PlanChoices) -> Frame:
    """Orientation, target spacing, transpose and median shape.

    Raises:
        SpecError: When the fingerprint has no cases, or the overridden spacing is not three positive numbers.
    """
    if not fingerprint.cases:
        raise SpecError("the fingerprint has no usable case", "see its 'quarantined' for the reasons")
    grids, orientations = _oriented_grids(fingerprint, choices)
    target = target_spacing(grids)
    spacing, reason = target.spacing_mm, target.reason
    override = choices.overrides.get("3d_fullres", {}).get("spacing_mm")
    if override is not None:
        spacing = np.asarray(checked_spacing("3d_fullres", override))
        reason = "set by the method, before the transpose"
    transpose = transpose_order(spacing)
    order = list(transpose)
    median = np.median(resampled_shapes(grids, spacing), axis=0)[order]
    native = np.median(grids.shapes_voxels, axis=0)[order]
    decisions = (
        _orientation_decision(fingerprint, choices),
        Decision(topic="spacing", value=f"{numbers(spacing[order])} mm", reason=reason),
        Decision(
            topic="axis order",
            value=", ".join(str(axis) for axis in transpose),
            reason="the axis with the largest spacing comes first",
        ),
        Decision(
            topic="median case",
            value=f"{numbers(median)} voxels",
            reason=f"median over {len(fingerprint.cases)} cases, cropped to the non-zero box and resampled",
        ),
    )
    slices = round(float(native[0]))
    return Frame(transpose, spacing[order], median, slices, orientations, len(fingerprint.cases), decisions)


def checked_spacing(name: str, values: tuple[float, ...]) -> tuple[float, float, float]:
    """Three positive numbers.

    Raises:
        SpecError: When they are not.
    """
    if len(values) != 3 or min(values) <= 0:
        raise SpecError(f"{name}.spacing_mm = {values}", "give three positive numbers in (z, y, x) order")
    return values[0], values[1], values[2]


def numbers(values: object) -> str:
    """`96 x 160 x 160`."""
    return " x ".join(f"{value:.4g}" for value in np.asarray(values, dtype=np.float64))


def _oriented_grids(fingerprint: Fingerprint, choices: PlanChoices) -> tuple[CaseGrids, tuple[str, ...]]:
    cases = fingerprint.cases
    canonical = choices.orientation == "canonical"
    orders = [canonical_order(case.orientation) if canonical else (0, 1, 2) for case in cases]
    grids = CaseGrids(
        np.take_along_axis(np.array([case.spacing_mm for case in cases]), np.array(orders), axis=1),
        np.take_along_axis(np.array([case.cropped_shape_voxels for case in cases]), np.array(orders), axis=1),
    )
    return grids, tuple(CANONICAL_CODE if canonical else case.orientation for case in cases)


def _orientation_decision(fingerprint: Fingerprint, choices: PlanChoices) -> Decision:
    codes = sorted({case.orientation for case in fingerprint.cases})
    found = f"the files are stored as {', '.join(codes)}"
    if choices.orientation == "canonical":
        return Decision(topic="orientation", value=f"canonical ({CANONICAL_CODE})", reason=found)
    return Decision(topic="orientation", value="as stored", reason=f"the method keeps the files' axes; {found}")
