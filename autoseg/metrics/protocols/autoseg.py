"""Our own protocol: overlap, volume, surface and lesion scores of every label or region of the data set."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from autoseg.metrics.aggregate import CI_DEFINITION
from autoseg.metrics.case import RegionPair
from autoseg.metrics.empties import EmptyPolicy, empty_policy
from autoseg.metrics.lesion import CONNECTIVITY, lesion_scores
from autoseg.metrics.overlap import overlap_scores, volume_scores
from autoseg.metrics.protocols._protocol import Protocol
from autoseg.metrics.surface import surface_distances
from autoseg.specs.report import Score

NO_SURFACE = "no surface outside ignored voxels"


class Options(BaseModel):
    """What to measure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance_mm: float = Field(default=1.0, ge=0)
    """Distance within which two surfaces agree (NSD)."""
    surface: bool = True
    """Measure surface distances."""
    lesions: bool = True
    """Count connected components."""
    empty: str = "skip"
    """Rule for empty masks: `skip` or `agree`."""


class AutosegProtocol(Protocol):
    """See the module's first line."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.policy: EmptyPolicy = empty_policy(options.empty)

    def score(self, pair: RegionPair) -> dict[str, Score]:
        scores = overlap_scores(pair.counts, self.policy)
        scores |= volume_scores(pair.counts, voxel_volume_mm3=pair.voxel_volume_mm3)
        if self.options.surface:
            scores |= self._surface_scores(pair)
        if self.options.lesions:
            scores |= lesion_scores(pair.prediction, pair.reference, pair.counts)
        return scores

    def _surface_scores(self, pair: RegionPair) -> dict[str, Score]:
        empty = pair.counts.empty
        if empty != "none":
            distance = self.policy.distance(empty)
            return {"hd95_mm": distance, "assd_mm": distance, "nsd": self.policy.overlap(empty)}
        distances = surface_distances(
            pair.prediction,
            pair.reference,
            spacing_mm=pair.spacing_mm,
            ignored=pair.ignored,
            planar=pair.planar,
        )
        if distances is None:
            nothing = Score(value=None, reason=NO_SURFACE)
            return {"hd95_mm": nothing, "assd_mm": nothing, "nsd": nothing}
        return {
            "hd95_mm": Score(value=distances.hausdorff_mm(95)),
            "assd_mm": Score(value=distances.average_mm()),
            "nsd": Score(value=distances.dice_within(self.options.tolerance_mm)),
        }

    def definitions(self) -> dict[str, str]:
        words = {
            "dice": "2 TP / (2 TP + FP + FN) of voxels",
            "iou": "TP / (TP + FP + FN) of voxels",
            "precision": "TP / (TP + FP) of voxels; none where the prediction is empty",
            "recall": "TP / (TP + FN) of voxels; none where the reference is empty",
            "accuracy": "(TP + TN) / all voxels",
            "tp, fp, fn, tn": "voxels",
            "volume_prediction_ml, volume_reference_ml": "volume in ml, with the spacing of the reference",
            "volume_difference_ml": "prediction - reference in ml",
            "volume_difference_relative": "(prediction - reference) / reference; none where the reference is empty",
        }
        if self.options.surface:
            words |= _surface_definitions(self.options.tolerance_mm)
        if self.options.lesions:
            words |= _lesion_definitions()
        return words | {
            "empty masks": f"rule '{self.policy.name}': {self.policy.description}",
            "ignored voxels": "left out of every count; surface elements that touch one are not measured from",
            "mean region": "mean over the regions of their means (medians) over cases",
            "ci95": CI_DEFINITION,
        }


def _surface_definitions(tolerance_mm: float) -> dict[str, str]:
    return {
        "hd95_mm": (
            "larger of the two directed 95th percentiles of surface distances in mm, elements weighted by area "
            "(DeepMind surface-distance); none where a mask is empty"
        ),
        "assd_mm": "mean distance in mm over both surfaces' elements, weighted by area; none where a mask is empty",
        "nsd": f"share of both surfaces' area within {tolerance_mm:g} mm of the other (surface Dice at tolerance)",
    }


def _lesion_definitions() -> dict[str, str]:
    return {
        "lesions_tp": f"reference components ({CONNECTIVITY}-connected) with at least one predicted voxel",
        "lesions_fp": "predicted components without a reference voxel",
        "lesions_fn": "reference components without a predicted voxel",
        "lesion_precision": "TP / (TP + FP) of lesions; none where there are none",
        "lesion_recall": "TP / (TP + FN) of lesions; none where the reference is empty",
        "lesion_f1": "2 TP / (2 TP + FP + FN) of lesions; none where both are empty",
    }


def build(options: Options) -> AutosegProtocol:
    """The protocol with its options."""
    return AutosegProtocol(options)
