"""BraTS 2017 to 2020: Dice and HD95 of whole tumour, core and enhancing tumour, with a number for every empty case.

Facts of the re-implementation in nnU-Net v1 (`Task082_BraTS_2020.py`); HD95 is MedPy's. The variant `2021`, for 2021
and 2022, has the penalty of their scoring container (374 mm and Dice 0 for a case that CaPTk cannot score,
brats-dream-challenge-infra `Docker/score.py`); that a region empty on one side is such a case is our reading.
"""

from __future__ import annotations

import math
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from autoseg.core.labels import LabelSpace
from autoseg.metrics.case import RegionPair, Regions
from autoseg.metrics.empties import EmptyPolicy
from autoseg.metrics.overlap import ratio
from autoseg.metrics.protocols._gliomas import UNTIL_2022
from autoseg.metrics.protocols._protocol import Protocol
from autoseg.metrics.protocols._tissues import find_regions
from autoseg.metrics.voxel_surface import voxel_surface_distances
from autoseg.specs.report import Score

SHAPE: Final = (155, 240, 240)
PENALTY_MM: Final = math.hypot(*SHAPE)
"""Diagonal of the challenge's images at 1 mm: 373.1287."""
PENALTIES_MM: Final = {"2020": PENALTY_MM, "2021": 374.0}
"""By variant, for a region that is empty on one side."""


class Options(BaseModel):
    """Which years."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: Literal["2020", "2021"] = "2020"
    """`2020` for 2017 to 2020, `2021` for 2021 and 2022."""


class Brats2020Protocol(Protocol):
    """See the module's first line."""

    RANKED = ("dice", "hd95_mm")

    def __init__(self, options: Options) -> None:
        self.penalty_mm = PENALTIES_MM[options.variant]
        self.policy = EmptyPolicy(
            f"brats{options.variant}",
            overlap_both=1.0,
            distance_both_mm=0.0,
            distance_one_mm=self.penalty_mm,
            description=(
                f"both empty: Dice 1, HD95 0; one empty: Dice 0, HD95 {self.penalty_mm:.5f}; both enter the means"
            ),
        )

    def regions(self, labels: LabelSpace) -> Regions:
        return find_regions(labels, UNTIL_2022)

    def score(self, pair: RegionPair) -> dict[str, Score]:
        counts = pair.counts
        if counts.empty == "none":
            dice = Score(value=2 * counts.tp / (counts.predicted + counts.referenced))
            found = voxel_surface_distances(pair.prediction, pair.reference, spacing_mm=(1, 1, 1), neighbours=6)
            hd95 = Score(value=self.penalty_mm if found is None else found.hausdorff_joined_mm(95))
        else:
            dice, hd95 = self.policy.overlap(counts.empty), self.policy.distance(counts.empty)
        return {
            "dice": dice,
            "hd95_mm": hd95,
            "sensitivity": ratio(counts.tp, counts.referenced, counts.empty),
            "specificity": ratio(counts.tn, counts.tn + counts.fp, "none"),
        }

    def definitions(self) -> dict[str, str]:
        return {
            "regions": "WT: all tumour; TC: without edema; ET: enhancing",
            "dice": "2 TP / (2 TP + FP + FN) of voxels",
            "hd95_mm": (
                "95th percentile of both directed distance lists joined (MedPy hd95), surface voxels by 6-neighbour "
                "erosion, spacing taken as 1 mm"
            ),
            "sensitivity": "TP / (TP + FN) of voxels; none where the reference is empty",
            "specificity": "TN / (TN + FP) of voxels of the whole image",
            "empty masks": self.policy.description,
            "lesions": "not told apart: no components, no dilation, no size threshold",
        }


def build(options: Options) -> Brats2020Protocol:
    """The protocol."""
    return Brats2020Protocol(options)
