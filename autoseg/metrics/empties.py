"""Named rules for masks without a voxel: which score they get, or why they get none. Never NaN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autoseg.core.errors import SpecError
from autoseg.core.registry import nearest
from autoseg.specs.report import Score

Emptiness = Literal["none", "prediction", "reference", "both"]


@dataclass(frozen=True)
class EmptyPolicy:
    """What overlaps and distances are worth where a mask is empty; None leaves the case out of that mean.

    Attributes:
        name: Short name for reports.
        overlap_both: Dice, IoU and surface Dice where both masks are empty.
        distance_both_mm: Distances where both are empty.
        distance_one_mm: Distances where exactly one is empty; the overlaps are 0 then.
        description: The rule in words, for reports.
    """

    name: str
    overlap_both: float | None
    distance_both_mm: float | None
    distance_one_mm: float | None
    description: str

    def overlap(self, empty: Emptiness) -> Score:
        """Score of an overlap measure; `empty` is not "none"."""
        return _score(self.overlap_both if empty == "both" else 0.0, empty)

    def distance(self, empty: Emptiness) -> Score:
        """Score of a distance; `empty` is not "none"."""
        return _score(self.distance_both_mm if empty == "both" else self.distance_one_mm, empty)


SKIP = EmptyPolicy(
    "skip",
    overlap_both=None,
    distance_both_mm=None,
    distance_one_mm=None,
    description=(
        "both empty: no overlap and no distance, the case is left out of their means; one empty: Dice, IoU and NSD 0, "
        "no distance (counted under 'undefined' in the summary)"
    ),
)
"""As nnU-Net v2's evaluation does for Dice and IoU."""
AGREE = EmptyPolicy(
    "agree",
    overlap_both=1.0,
    distance_both_mm=0.0,
    distance_one_mm=None,
    description=(
        "both empty: Dice, IoU and NSD 1, distances 0 mm; one empty: Dice, IoU and NSD 0, no distance "
        "(counted under 'undefined' in the summary)"
    ),
)
"""Finding nothing where nothing is counts as right."""
_POLICIES = {policy.name: policy for policy in (SKIP, AGREE)}


def empty_policy(name: str) -> EmptyPolicy:
    """Policy by name.

    Raises:
        SpecError: There is none of that name.
    """
    if name not in _POLICIES:
        raise SpecError(f"unknown rule for empty masks '{name}'", nearest(name, _POLICIES))
    return _POLICIES[name]


def emptiness(prediction_voxels: int, reference_voxels: int) -> Emptiness:
    """Which of two masks has no voxel."""
    if prediction_voxels and reference_voxels:
        return "none"
    if prediction_voxels:
        return "reference"
    return "prediction" if reference_voxels else "both"


def reason(empty: Emptiness) -> str:
    """`empty in both`, `empty in prediction` or `empty in reference`."""
    return f"empty in {empty}"


def _score(value: float | None, empty: Emptiness) -> Score:
    return Score(value=value, reason=reason(empty))
