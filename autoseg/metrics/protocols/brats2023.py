"""BraTS 2023: lesion-wise Dice and HD95; predicted pieces stay separate and each invented one costs the penalty.

Facts of rachitsaluja/BraTS-2023-Metrics, `metrics.py`.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from autoseg.core.labels import LabelSpace
from autoseg.metrics.case import RegionPair, Regions
from autoseg.metrics.components import number_components, number_dilated
from autoseg.metrics.protocols._brats_lesionwise import definitions, region_scores
from autoseg.metrics.protocols._gliomas import SINCE_2023
from autoseg.metrics.protocols._lesionwise import LesionRules, common_frames
from autoseg.metrics.protocols._protocol import Protocol
from autoseg.metrics.protocols._tissues import find_regions
from autoseg.specs.report import Score

PENALTY_MM: Final = 374.0
_WIDE: Final = LesionRules(dilations=3, threshold=50, penalty_mm=PENALTY_MM)
RULES: Final = {
    "gli": _WIDE,
    "ssa": _WIDE,
    "ped": _WIDE,
    "men": LesionRules(dilations=1, threshold=50, penalty_mm=PENALTY_MM),
    "met": LesionRules(dilations=1, threshold=2, penalty_mm=PENALTY_MM),
}


class Options(BaseModel):
    """Which challenge of the year."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: Literal["gli", "ssa", "ped", "men", "met"] = "gli"
    """Glioma, Sub-Saharan Africa, paediatric, meningioma, metastases."""


class Brats2023Protocol(Protocol):
    """See the module's first line."""

    RANKED = ("lesionwise_dice", "lesionwise_hd95_mm")

    def __init__(self, options: Options) -> None:
        self.rules = RULES[options.variant]

    def regions(self, labels: LabelSpace) -> Regions:
        return find_regions(labels, SINCE_2023)

    def score(self, pair: RegionPair) -> dict[str, Score]:
        frame = common_frames([pair], margin=self.rules.dilations)[pair.name]
        predicted = number_components(frame.prediction, neighbours=26)
        reference = number_dilated(frame.reference, times=self.rules.dilations)
        return region_scores((predicted, reference), frame, self.rules, pair.counts)

    def definitions(self) -> dict[str, str]:
        return definitions(
            dict.fromkeys(SINCE_2023, self.rules),
            components=(
                "prediction: 26-connected components; reference: pieces that meet once dilated are one lesion, its "
                "voxels stay those of the reference"
            ),
            penalty=f"{PENALTY_MM:g} mm",
        )


def build(options: Options) -> Brats2023Protocol:
    """The protocol with its options."""
    return Brats2023Protocol(options)
