"""KiTS19: Dice of kidney with tumour and of tumour, each averaged over the cases, and the mean of the two.

Facts of neheller/kits19, `starter_code/evaluation.py`, and of Heller et al., Medical Image Analysis 67, 101821 (2021).
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict

from autoseg.core.labels import LabelSpace
from autoseg.metrics.case import RegionPair, Regions
from autoseg.metrics.empties import EmptyPolicy
from autoseg.metrics.protocols._kidneys import CYST, KIDNEY, KIDNEY_AND_MASS, TUMOR
from autoseg.metrics.protocols._protocol import Protocol
from autoseg.metrics.protocols._tissues import Region, find_regions
from autoseg.specs.report import Score

WANTED: Final = {
    "kidney": Region((1, 2), KIDNEY_AND_MASS, (KIDNEY, TUMOR, CYST)),
    "tumor": Region((2,), TUMOR, (TUMOR,)),
}
POLICY: Final = EmptyPolicy(
    "kits19",
    overlap_both=0.0,
    distance_both_mm=None,
    distance_one_mm=None,
    description="a mask empty: Dice 0, also where both are; it enters the means (every test case has both tissues)",
)


class Options(BaseModel):
    """There is nothing to choose."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Kits19Protocol(Protocol):
    """See the module's first line; ranked by the mean Dice."""

    def regions(self, labels: LabelSpace) -> Regions:
        return find_regions(labels, WANTED)

    def score(self, pair: RegionPair) -> dict[str, Score]:
        counts = pair.counts
        if counts.empty != "none":
            return {"dice": POLICY.overlap(counts.empty)}
        return {"dice": Score(value=2 * counts.tp / (counts.predicted + counts.referenced))}

    def definitions(self) -> dict[str, str]:
        return {
            "regions": "kidney: all that is labelled; tumor: tumour",
            "dice": "2 TP / (2 TP + FP + FN) of voxels",
            "composite": "the region `mean`: half the sum of both regions' means over the cases, which ranks",
            "empty masks": POLICY.description,
            "lesions": "not told apart: no components, no dilation, no size threshold",
        }


def build(options: Options) -> Kits19Protocol:  # noqa: ARG001 - every protocol is built from options
    """The protocol."""
    return Kits19Protocol()
