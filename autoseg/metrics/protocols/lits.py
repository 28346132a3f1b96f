"""LiTS as it is meant: the challenge's scores with textbook signs, true unions, and no number for infinity."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from autoseg.metrics.aggregate import summarise
from autoseg.metrics.case import Mask, RegionPair
from autoseg.metrics.components import Overlaps
from autoseg.metrics.empties import reason
from autoseg.metrics.protocols._lits import LESION, SHAPE_METRICS, LitsProtocol, overlap_and_surface, voxel_counts
from autoseg.metrics.protocols._lits_detection import Detection, detect
from autoseg.metrics.protocols._pooled import column, pooled
from autoseg.specs.report import CaseScores, Score, Summary

OVERLAPS = {"dice": 0.0, "jaccard": 0.0, "voe": 1.0}


class Options(BaseModel):
    """There is nothing to choose."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LitsProtocolClean(LitsProtocol):
    """See the module's first line."""

    def score_liver(self, pair: RegionPair, *, has_liver_label: bool) -> dict[str, Score]:  # noqa: ARG002 - a quirk
        counts = voxel_counts(pair, prediction_counts=True)
        empty = pair.counts.empty
        if empty == "none":
            scores = self.shape_scores(pair.prediction, pair.reference, pair)
            return {**{metric: Score(value=value) for metric, value in scores.items()}, **counts}
        values = {} if empty == "both" else OVERLAPS
        return {**{name: Score(value=values.get(name), reason=reason(empty)) for name in SHAPE_METRICS}, **counts}

    def shape_scores(self, prediction: Mask, reference: Mask, pair: RegionPair) -> dict[str, float]:
        return overlap_and_surface(prediction, reference, pair.spacing_mm, rvd_denominator="reference")

    def lesion_dice(self, pair: RegionPair) -> Score:
        both = pair.counts.predicted + pair.counts.referenced
        if not both:
            return Score(value=1.0, reason=reason("both"))
        return Score(value=2 * pair.counts.tp / both)

    def burden(self, liver: RegionPair, lesion: RegionPair, *, has_liver_label: bool) -> Score:  # noqa: ARG002
        if not (liver.counts.referenced and liver.counts.predicted):
            return Score(value=None, reason="no liver in prediction or reference")
        predicted = lesion.counts.predicted / liver.counts.predicted
        return Score(value=predicted - lesion.counts.referenced / liver.counts.referenced)

    def detect(self, found: Overlaps, threshold: float) -> Detection:
        return detect(found, threshold)

    def summary(self, cases: Sequence[CaseScores]) -> dict[str, dict[str, Summary]]:
        made = summarise(cases)
        for region, metrics in self.pool(cases, {}).items():
            made[region] |= metrics
        differences = column(cases, LESION, "burden_difference")
        largest = max(map(abs, differences)) if differences else None
        made[LESION]["burden_max_error"] = pooled(largest, cases, reason="no liver in any case")
        return made

    def definitions(self) -> dict[str, str]:
        return {
            "regions": "liver: liver and lesions; lesion: lesions",
            "dice": "2 |P & R| / (|P| + |R|) per case; lesion, both empty: 1; one empty: 0",
            "dice_global": "2 sum |P & R| / sum (|P| + |R|) over all cases (summary)",
            "common_voxels, voxels": "|P & R| and |P| + |R| of a case, for the global Dice",
            "jaccard, voe": "Dice / (2 - Dice), and 1 minus it",
            "rvd": "(|P| - |R|) / |R|, signed",
            "assd_mm, rmsd_mm, mssd_mm": (
                "mean, root mean square and maximum over both directed distance lists joined; surface = object minus "
                "its 18-neighbour erosion, outside of the image is background; voxel centres times the spacing"
            ),
            "liver empty": "in one: Dice 0, Jaccard 0, VOE 1, the others none; in both: none; left out of those means",
            "components": "6-connected; no dilation, no size threshold",
            "lesions_*_gt0, lesions_*_gt50": (
                "per case; references spanned by their largest prediction merged, predictions of one reference merged, "
                "detected if IoU > 0 (0.5), strictly; TP = references of detected pairs, FN = the other references, "
                "FP = predictions outside detected pairs"
            ),
            "lesion_precision_*, lesion_recall_*": "summary: TP / (TP + FP), TP / (TP + FN) of the sums, 0 for 0 / 0",
            "detected": "pairs of merged lesions that pass IoU > 0.5",
            "detected_*": "mean over lesions detected at IoU > 0.5, pooled over the set in the summary; none: no value",
            "burden_difference": "|lesion| / |liver| of the prediction - of the reference; none where a liver is empty",
            "burden_rmse, burden_max_error": "root mean square, and largest absolute difference (summary)",
        }


def build(options: Options) -> LitsProtocolClean:  # noqa: ARG001 - every protocol is built from options
    """The protocol."""
    return LitsProtocolClean()
