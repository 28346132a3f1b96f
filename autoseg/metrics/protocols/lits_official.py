"""LiTS as its public scorer computes it, quirks included: what the leaderboard shows.

Facts of PatrickChrist/lits-challenge-scoring (HEAD 090307d, 2017-09-03); one that we cannot follow: detection of a case
without reference lesions stops that scorer with an error; here all its predicted lesions are false positives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict

from autoseg.metrics.aggregate import summarise
from autoseg.metrics.case import Mask, RegionPair
from autoseg.metrics.components import Overlaps
from autoseg.metrics.protocols._lits import (
    LESION,
    LIVER,
    SHAPE_METRICS,
    LitsProtocol,
    overlap_and_surface,
    voxel_counts,
)
from autoseg.metrics.protocols._lits_detection import Detection, detect_official
from autoseg.metrics.protocols._pooled import column, pooled
from autoseg.specs.report import CaseScores, Score, Summary

LARGE: Final = 9001.0
"""The scorer's stand-in for infinity."""
NOTHING: Final = dict(zip(SHAPE_METRICS, (0.0, 0.0, 1.0, LARGE, LARGE, LARGE, LARGE), strict=True))
NO_LIVER: Final = "no voxel of the liver label predicted: scored 9001"


class Options(BaseModel):
    """There is nothing to choose."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LitsOfficialProtocol(LitsProtocol):
    """See the module's first line."""

    def score_liver(self, pair: RegionPair, *, has_liver_label: bool) -> dict[str, Score]:
        counts = voxel_counts(pair, prediction_counts=has_liver_label)
        if not (has_liver_label and pair.counts.referenced):
            reason = "empty in reference: scored 9001" if has_liver_label else NO_LIVER
            return {**{metric: Score(value=value, reason=reason) for metric, value in NOTHING.items()}, **counts}
        scores = self.shape_scores(pair.prediction, pair.reference, pair)
        return {**{metric: Score(value=value) for metric, value in scores.items()}, **counts}

    def shape_scores(self, prediction: Mask, reference: Mask, pair: RegionPair) -> dict[str, float]:
        return overlap_and_surface(prediction, reference, pair.spacing_mm, rvd_denominator="prediction")

    def lesion_dice(self, pair: RegionPair) -> Score:
        both = pair.counts.predicted + pair.counts.referenced
        if not both:
            return Score(value=1.0, reason="empty in both: scored 1")
        return Score(value=2 * pair.counts.tp / both)

    def burden(self, liver: RegionPair, lesion: RegionPair, *, has_liver_label: bool) -> Score:
        if not liver.counts.referenced:
            return Score(value=None, reason="no liver in reference")
        reference = lesion.counts.referenced / liver.counts.referenced
        if not has_liver_label:
            return Score(value=reference - LARGE, reason=NO_LIVER)
        return Score(value=reference - lesion.counts.predicted / liver.counts.predicted)

    def detect(self, found: Overlaps, threshold: float) -> Detection:
        return detect_official(found, threshold)

    def summary(self, cases: Sequence[CaseScores]) -> dict[str, dict[str, Summary]]:
        made = summarise(cases)
        for region, metrics in self.pool(cases, NOTHING).items():
            made[region] |= metrics
        differences = column(cases, LESION, "burden_difference")
        largest = max(differences) if differences else None
        made[LESION]["burden_max_error"] = pooled(largest, cases, reason="no liver in any case")
        penalised = sum(bool(case.regions[LIVER]["assd_mm"].reason) for case in cases)
        made[LIVER]["cases_scored_9001"] = pooled(float(penalised), cases)
        return made

    def definitions(self) -> dict[str, str]:
        return {
            "regions": "liver: liver and lesions (label >= 1); lesion: label 2",
            "dice": "2 |P & R| / (|P| + |R|) per case (dice_per_case); lesion, both empty: 1",
            "dice_global": "2 sum |P & R| / sum (|P| + |R|) over all cases (summary); a liver counted absent adds |R|",
            "common_voxels, voxels": "|P & R| and |P| + |R| of a case, for the global Dice",
            "jaccard, voe": "Dice / (2 - Dice), and 1 minus it",
            "rvd": "(|R| - |P|) / |P|, signed: the scorer swaps the two, the reverse of the textbook's",
            "assd_mm, rmsd_mm, mssd_mm": (
                "mean, root mean square and maximum over both directed distance lists joined; surface = object minus "
                "its 18-neighbour erosion, outside of the image is background; voxel centres times the spacing"
            ),
            "liver absent": (
                "no voxel of the liver label itself (an all-lesion map counts): Dice 0, Jaccard 0, VOE 1, and RVD, "
                "ASSD, RMSD, MSSD 9001, which enter the means; cases_scored_9001 says how many"
            ),
            "components": "6-connected, numbered in the order of their first voxel, z fastest",
            "lesions_*_gt0, lesions_*_gt50": (
                "per case; references spanned by their largest prediction merged, predictions of one reference merged, "
                "detected if IoU > 0 (0.5), strictly; FP = predictions - detected and FN = references - detected with "
                "unmerged counts; the union takes the prediction's number for a reference's; a failing pair of k "
                "merged references subtracts k, so that TP can be negative; no dilation, no size threshold"
            ),
            "lesion_precision_*, lesion_recall_*": "summary: TP / (TP + FP), TP / (TP + FN) of the sums, 0 for 0 / 0",
            "empty reference": "TP 0, FN 0, every predicted lesion FP (the scorer stops with an error there)",
            "detected": "pairs of merged lesions that pass IoU > 0.5",
            "detected_*": (
                "mean over lesions detected at IoU > 0.5, pooled over the set in the summary; none in the whole set: "
                "Dice 0, Jaccard 0, VOE 1, the others 9001"
            ),
            "burden_difference": "|lesion| / |liver| of the reference - of the prediction; no liver label: minus 9001",
            "burden_rmse, burden_max_error": "root mean square, and largest *signed* difference (summary)",
        }


def build(options: Options) -> LitsOfficialProtocol:  # noqa: ARG001 - every protocol is built from options
    """The protocol."""
    return LitsOfficialProtocol()
