"""Medical Segmentation Decathlon: Dice and surface Dice of every label, one tolerance per task.

Definition and tasks: Antonelli et al., Nature Communications 13, 4128 (2022). The tolerances below are those commonly
quoted; the paper's table is the authority: check before publishing numbers.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from autoseg.metrics.case import RegionPair
from autoseg.metrics.empties import SKIP
from autoseg.metrics.protocols._dice_nsd import dice_and_nsd
from autoseg.metrics.protocols._protocol import Protocol
from autoseg.specs.report import Score

TOLERANCES_MM: Final = {
    "brain": 5.0,
    "heart": 4.0,
    "hippocampus": 1.0,
    "liver": 7.0,
    "lung": 2.0,
    "prostate": 4.0,
    "pancreas": 5.0,
    "colon": 4.0,
    "hepatic_vessel": 3.0,
    "spleen": 3.0,
}
Task = Literal[
    "brain", "heart", "hippocampus", "liver", "lung", "prostate", "pancreas", "colon", "hepatic_vessel", "spleen"
]


class Options(BaseModel):
    """Which tolerance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: Task | None = None
    """Task whose tolerance applies."""
    tolerance_mm: float = Field(default=1.0, ge=0)
    """Tolerance where no task is named."""


class MsdProtocol(Protocol):
    """See the module's first line."""

    RANKED = ("dice", "nsd")

    def __init__(self, options: Options) -> None:
        self.variant = options.variant
        self.tolerance_mm = options.tolerance_mm if options.variant is None else TOLERANCES_MM[options.variant]

    def score(self, pair: RegionPair) -> dict[str, Score]:
        return dice_and_nsd(pair, tolerance_mm=self.tolerance_mm, empties=SKIP)

    def definitions(self) -> dict[str, str]:
        source = f"task {self.variant}" if self.variant else "no task named: not the challenge's, see msd:TASK"
        return {
            "dice": "2 TP / (2 TP + FP + FN) of voxels",
            "nsd": (
                f"share of both surfaces' area within {self.tolerance_mm:g} mm ({source}) of the other "
                "(DeepMind surface-distance)"
            ),
            "empty masks": "one empty: 0 and 0; both: none, left out of the means",
            "lesions": "not told apart: no components, no dilation, no size threshold",
        }


def build(options: Options) -> MsdProtocol:
    """The protocol with its options."""
    return MsdProtocol(options)
