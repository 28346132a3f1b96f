"""KiTS23: Dice and surface Dice of three nested classes, with tolerances from the agreement between annotators.

Facts of neheller/kits23, `configuration/labels.py` and `evaluation/metrics.py`.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict

from autoseg.core.labels import LabelSpace
from autoseg.metrics.case import RegionPair, Regions
from autoseg.metrics.empties import AGREE
from autoseg.metrics.protocols._dice_nsd import dice_and_nsd
from autoseg.metrics.protocols._kidneys import CYST, KIDNEY, KIDNEY_AND_MASS, MASS, TUMOR
from autoseg.metrics.protocols._protocol import Protocol
from autoseg.metrics.protocols._tissues import Region, find_regions
from autoseg.specs.report import Score

WANTED: Final = {
    "kidney_and_mass": Region((1, 2, 3), KIDNEY_AND_MASS, (KIDNEY, TUMOR, CYST)),
    "mass": Region((2, 3), MASS, (TUMOR, CYST)),
    "tumor": Region((2,), TUMOR, (TUMOR,)),
}
TOLERANCES_MM: Final = {
    "kidney_and_mass": 1.0330772532390826,
    "mass": 1.1328796488598762,
    "tumor": 1.1498198361434828,
}


class Options(BaseModel):
    """There is nothing to choose."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Kits23Protocol(Protocol):
    """See the module's first line."""

    RANKED = ("dice", "nsd")

    def regions(self, labels: LabelSpace) -> Regions:
        return find_regions(labels, WANTED)

    def score(self, pair: RegionPair) -> dict[str, Score]:
        return dice_and_nsd(pair, tolerance_mm=TOLERANCES_MM[pair.name], empties=AGREE)

    def definitions(self) -> dict[str, str]:
        tolerances = ", ".join(f"{name} {value:.4f} mm" for name, value in TOLERANCES_MM.items())
        return {
            "regions": "kidney_and_mass: kidney, tumour and cyst; mass: tumour and cyst; tumor: tumour",
            "dice": "2 TP / (2 TP + FP + FN) of voxels",
            "nsd": (
                "share of both surfaces' area within the tolerance of the other (DeepMind surface-distance), "
                f"tolerances {tolerances}"
            ),
            "empty masks": "both empty: 1 and 1; one empty: 0 and 0; both enter the means",
            "spacing": "of the reference; the challenge takes the prediction's, so a wrong header changes its score",
            "lesions": "not told apart: no components, no dilation, no size threshold",
            "ranking": "mean over cases and regions of each metric, then the mean of the two ranks",
        }


def build(options: Options) -> Kits23Protocol:  # noqa: ARG001 - every protocol is built from options
    """The protocol."""
    return Kits23Protocol()
