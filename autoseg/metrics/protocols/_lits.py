"""What both readings of LiTS share: regions, scores of a pair of masks, pooling over the test set.

Facts of PatrickChrist/lits-challenge-scoring (HEAD 090307d, 2017) and Bilic et al., Medical Image Analysis 84 (2023).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from autoseg.core.labels import LabelSpace
from autoseg.metrics.case import Mask, RegionPair, Regions
from autoseg.metrics.components import Overlaps, boxes, count_overlaps, cover, number_in_file_order
from autoseg.metrics.protocols._lits_detection import Detection, Pair
from autoseg.metrics.protocols._pooled import column, pooled, quotient, total
from autoseg.metrics.protocols._protocol import Protocol
from autoseg.metrics.protocols._tissues import Region, find_regions
from autoseg.metrics.voxel_surface import voxel_surface_distances
from autoseg.specs.report import CaseScores, Score, Summary

LIVER, LESION, HEALTHY = "liver", "lesion", "liver without lesions"
LESION_NAMES: Final = ("lesion", "lesions", "tumor", "tumors", "cancer", "livertumor", "livertumors", "livercancer")
THRESHOLDS: Final = {"gt0": 0.0, "gt50": 0.5}
"""Suffix of the metric -> intersection over union that a detection must pass."""
SHAPE_METRICS: Final = ("dice", "jaccard", "voe", "rvd", "assd_mm", "rmsd_mm", "mssd_mm")
NONE_DETECTED: Final = "no lesion detected at IoU > 0.5"


class LitsProtocol(Protocol):
    """Liver = liver and lesions; lesion = lesions. The subclasses say what the two readings do differently."""

    def regions(self, labels: LabelSpace) -> Regions:
        found = find_regions(
            labels,
            {LIVER: Region((1, 2), ("liver",)), LESION: Region((2,), LESION_NAMES)},
        )
        lesion = found[LESION]
        liver = tuple(sorted({*found[LIVER], *lesion}))
        return {LIVER: liver, LESION: lesion, HEALTHY: tuple(value for value in liver if value not in lesion)}

    def score(self, pair: RegionPair) -> dict[str, Score]:
        """Both regions are scored together; this scores one as the liver."""
        return self.score_liver(pair, has_liver_label=pair.counts.predicted > 0)

    def score_case(self, pairs: Iterable[RegionPair]) -> dict[str, dict[str, Score]]:
        found = {pair.name: pair for pair in pairs}
        has_liver_label = found[HEALTHY].counts.predicted > 0
        return {
            LIVER: self.score_liver(found[LIVER], has_liver_label=has_liver_label),
            LESION: {
                **self.score_lesion(found[LESION]),
                "burden_difference": self.burden(found[LIVER], found[LESION], has_liver_label=has_liver_label),
            },
        }

    @abstractmethod
    def score_liver(self, pair: RegionPair, *, has_liver_label: bool) -> dict[str, Score]:
        """Metric -> score of the liver."""

    @abstractmethod
    def lesion_dice(self, pair: RegionPair) -> Score:
        """Dice of all lesions of a case."""

    @abstractmethod
    def burden(self, liver: RegionPair, lesion: RegionPair, *, has_liver_label: bool) -> Score:
        """Difference of the tumour burdens."""

    @abstractmethod
    def detect(self, found: Overlaps, threshold: float) -> Detection:
        """Lesions detected at an overlap."""

    @abstractmethod
    def shape_scores(self, prediction: Mask, reference: Mask, pair: RegionPair) -> dict[str, float]:
        """`SHAPE_METRICS` of two masks that both have voxels; cut out of those of `pair`."""

    def score_lesion(self, pair: RegionPair) -> dict[str, Score]:
        """Dice and voxels of all lesions, detections per threshold, mean scores of the detected lesions."""
        predicted, referenced = number_in_file_order(pair.prediction), number_in_file_order(pair.reference)
        found = count_overlaps(predicted, referenced)
        scores = {"dice": self.lesion_dice(pair), **voxel_counts(pair, prediction_counts=True)}
        at = {suffix: self.detect(found, threshold) for suffix, threshold in THRESHOLDS.items()}
        for suffix, detection in at.items():
            for name in ("tp", "fp", "fn"):
                scores[f"lesions_{name}_{suffix}"] = Score(value=float(getattr(detection, name)))
        rows = self._detected_scores(pair, at["gt50"].pairs, (predicted, referenced))
        scores["detected"] = Score(value=float(len(rows)))
        for metric in SHAPE_METRICS:
            values = [row[metric] for row in rows]
            mean = Score(value=float(np.mean(values))) if values else Score(value=None, reason=NONE_DETECTED)
            scores[f"detected_{metric}"] = mean
        return scores

    def _detected_scores(
        self, pair: RegionPair, detected: Sequence[Pair], numbers: tuple[np.ndarray, np.ndarray]
    ) -> list[dict[str, float]]:
        """Scores of each detected lesion, measured in the box around its pieces."""
        places = [boxes(image) for image in numbers]
        rows = []
        for lesion in detected:
            pieces = [
                places[side][position]
                for side, positions in enumerate((lesion.predictions, lesion.references))
                for position in positions
            ]
            box = cover([piece for piece in pieces if piece is not None])
            prediction = np.isin(numbers[0][box], [position + 1 for position in lesion.predictions])
            reference = np.isin(numbers[1][box], [position + 1 for position in lesion.references])
            rows.append(self.shape_scores(prediction, reference, pair))
        return rows

    def pool(self, cases: Sequence[CaseScores], nothing_detected: dict[str, float]) -> dict[str, dict[str, Summary]]:
        """Scores of the whole test set.

        Args:
            cases: Scores of every case.
            nothing_detected: Metric -> score of the detected lesions where there is none.
        """
        made: dict[str, dict[str, Summary]] = {LIVER: {}, LESION: {}}
        for region in made:
            dice = quotient(2 * total(cases, region, "common_voxels"), total(cases, region, "voxels"))
            made[region]["dice_global"] = pooled(dice, cases, reason="no voxel in any case")
        for suffix in THRESHOLDS:
            tp, fp, fn = (total(cases, LESION, f"lesions_{name}_{suffix}") for name in ("tp", "fp", "fn"))
            made[LESION][f"lesion_precision_{suffix}"] = pooled(quotient(tp, tp + fp) or 0.0, cases)
            made[LESION][f"lesion_recall_{suffix}"] = pooled(quotient(tp, tp + fn) or 0.0, cases)
        detected = total(cases, LESION, "detected")
        for metric in SHAPE_METRICS:
            weighted = sum(
                (case.regions[LESION][f"detected_{metric}"].value or 0.0)
                * (case.regions[LESION]["detected"].value or 0)
                for case in cases
            )
            value = weighted / detected if detected else nothing_detected.get(metric)
            made[LESION][f"detected_{metric}"] = pooled(value, cases, reason=NONE_DETECTED)
        differences = column(cases, LESION, "burden_difference")
        rmse = float(np.sqrt(np.mean(np.square(differences)))) if differences else None
        made[LESION]["burden_rmse"] = pooled(rmse, cases, reason="no liver in any case")
        return made


def voxel_counts(pair: RegionPair, *, prediction_counts: bool) -> dict[str, Score]:
    """What the global Dice needs: common voxels, and those of both masks together."""
    common = pair.counts.tp if prediction_counts else 0
    voxels = pair.counts.referenced + (pair.counts.predicted if prediction_counts else 0)
    return {"common_voxels": Score(value=float(common)), "voxels": Score(value=float(voxels))}


def overlap_and_surface(
    prediction: Mask, reference: Mask, spacing_mm: Sequence[float], *, rvd_denominator: str
) -> dict[str, float]:
    """Dice, Jaccard, VOE = 1 - Jaccard, RVD, and ASSD, RMSD, MSSD between surfaces by 18-neighbour erosion.

    Args:
        prediction: Not empty.
        reference: Same shape, not empty.
        spacing_mm: Along (z, y, x).
        rvd_denominator: `reference`: (|P| - |R|) / |R|; `prediction`: (|R| - |P|) / |P|.
    """
    predicted, referenced = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    dice = 2 * int(np.count_nonzero(prediction & reference)) / (predicted + referenced)
    jaccard = dice / (2 - dice)
    difference = predicted - referenced
    found = voxel_surface_distances(prediction, reference, spacing_mm=spacing_mm, neighbours=18)
    distances = (
        (np.nan,) * 3 if found is None else (found.average_mm(), found.root_mean_square_mm(), found.maximum_mm())
    )
    rvd = difference / referenced if rvd_denominator == "reference" else -difference / predicted
    return dict(zip(SHAPE_METRICS, (dice, jaccard, 1 - jaccard, rvd, *distances), strict=True))
