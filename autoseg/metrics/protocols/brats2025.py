"""BraTS 2025 and 2026: lesions matched one to one, scores averaged over the matched ones.

Facts of BraTS/BraTS_evaluation 0.0.10 (`config_*.yaml`, `metrics_parser.py`) and the panoptica 2.1.7 it calls.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.optimize import linear_sum_assignment

from autoseg.core.labels import LabelSpace
from autoseg.metrics.case import Mask, RegionPair, Regions
from autoseg.metrics.components import Overlaps, boxes, count_overlaps, cover, number_components
from autoseg.metrics.protocols._brats2025_metastases import large_and_small
from autoseg.metrics.protocols._gliomas import CAVITY, PEDIATRIC, POST_TREATMENT, RADIOTHERAPY, SINCE_2023
from autoseg.metrics.protocols._protocol import Protocol
from autoseg.metrics.protocols._tissues import find_regions
from autoseg.metrics.voxel_surface import voxel_surface_distances
from autoseg.specs.report import Score

PENALTY_MM: Final = 373.0
THRESHOLD: Final = 1e-6
GLOBAL_TOLERANCE: Final = 0.5
"""Voxels: panoptica measures whole regions without their spacing."""
METRICS: Final = ("dice", "nsd", "hd95_mm")
WORST: Final = (0.0, 0.0, PENALTY_MM)
WANTED: Final = {
    "gli": POST_TREATMENT,
    "goat": SINCE_2023,
    "men": SINCE_2023,
    "men_rt": RADIOTHERAPY,
    "met": {**SINCE_2023, **CAVITY},
    "ped": PEDIATRIC,
}


class Options(BaseModel):
    """Which challenge of the year."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: Literal["gli", "goat", "men", "men_rt", "met", "ped"] = "gli"
    """Glioma, generalisation across tumours, meningioma, the same before radiotherapy, metastases, paediatric."""


class Brats2025Protocol(Protocol):
    """See the module's first line."""

    RANKED = ("lesionwise_dice", "lesionwise_nsd")

    def __init__(self, options: Options) -> None:
        self.variant = options.variant

    def regions(self, labels: LabelSpace) -> Regions:
        return find_regions(labels, WANTED[self.variant])

    def score(self, pair: RegionPair) -> dict[str, Score]:
        numbers = tuple(number_components(mask, neighbours=26) for mask in (pair.prediction, pair.reference))
        found = count_overlaps(numbers[0], numbers[1])
        rows = {}
        places = (boxes(numbers[0]), boxes(numbers[1]))
        for predicted, referenced in match_best(found):
            pieces = (places[0][predicted], places[1][referenced])
            box = cover([piece for piece in pieces if piece is not None])
            masks = (numbers[0][box] == predicted + 1, numbers[1][box] == referenced + 1)
            rows[referenced] = _measure(*masks, pair.spacing_mm, tolerance_mm=min(pair.spacing_mm))
        tp, fp, fn = len(rows), len(found.predicted) - len(rows), len(found.referenced) - len(rows)
        scores = {
            **{f"global_{name}": score for name, score in _global(pair).items()},
            "lesions_tp": Score(value=float(tp)),
            "lesions_fp": Score(value=float(fp)),
            "lesions_fn": Score(value=float(fn)),
            "lesion_f1": _share(2 * tp, 2 * tp + fp + fn),
        }
        if self.variant == "met":
            voxel_mm3 = pair.voxel_volume_mm3
            return scores | large_and_small([v * voxel_mm3 for v in found.referenced.tolist()], rows, fp)
        return scores | _lesion_means(list(rows.values()), fp + fn)

    def definitions(self) -> dict[str, str]:
        words = {
            "global_dice, global_nsd, global_hd95_mm": (
                "of the whole region, in voxels: panoptica gives no spacing there, and the tolerance is 0.5 voxels"
            ),
            "hd95_mm": (
                "95th percentile of both directed distance lists joined, surface voxels by 6-neighbour erosion, mm"
            ),
            "nsd": "mean of the shares of both surfaces' voxels within the smallest spacing of the image",
            "lesions": "26-connected components of both masks; no dilation",
            "matching": f"one to one, largest sum of Dice; a match needs a Dice above {THRESHOLD:g}",
            "lesionwise_*": "mean over matched lesions; no match: Dice and NSD 0, HD95 373; both empty: none",
            "lesions_tp, lesions_fp, lesions_fn": "matched, predicted and not matched, reference and not matched",
            "lesion_f1": "2 TP / (2 TP + FP + FN) of lesions; none where both are empty",
            "empty masks": "one empty: Dice and NSD 0, HD95 373, which enter the means; both: none, left out",
        }
        if self.variant == "met":
            words["lesionwise_*"] = (
                "mean over reference lesions of at least 27 mm3 and every FP; FN and FP have Dice and NSD 0, HD95 373; "
                "none where there is no such reference lesion"
            )
            words["large_*, small_*"] = "reference lesions from 27 mm3 and below; found if matched at Dice >= 0.2"
        return words


def match_best(found: Overlaps) -> list[tuple[int, int]]:
    """Pairs (prediction, reference) with the largest sum of Dice, each of them above the threshold."""
    if not found.common.any():
        return []
    dice = 2 * found.common / (found.predicted[:, None] + found.referenced[None])
    # A pair below the threshold costs a little more than nothing in common, as in panoptica.
    cost = np.where(dice >= THRESHOLD, 1 - dice, 1 + THRESHOLD)
    rows, columns = linear_sum_assignment(cost.T)
    return [(int(p), int(r)) for r, p in zip(rows, columns, strict=True) if cost[p, r] < 1]


def _measure(
    prediction: Mask, reference: Mask, spacing_mm: tuple[float, float, float], *, tolerance_mm: float
) -> dict[str, float]:
    """Dice, NSD and HD95 of two masks that both have voxels."""
    both = int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference))
    found = voxel_surface_distances(prediction, reference, spacing_mm=spacing_mm, neighbours=6)
    dice = 2 * int(np.count_nonzero(prediction & reference)) / both
    if found is None:
        return dict(zip(METRICS, (dice, *WORST[1:]), strict=True))
    nsd = found.mean_share_within(tolerance_mm)
    return dict(zip(METRICS, (dice, nsd, found.hausdorff_joined_mm(95)), strict=True))


def _global(pair: RegionPair) -> dict[str, Score]:
    empty = pair.counts.empty
    if empty == "none":
        measured = _measure(pair.prediction, pair.reference, (1.0, 1.0, 1.0), tolerance_mm=GLOBAL_TOLERANCE)
        return {name: Score(value=value) for name, value in measured.items()}
    values = (None, None, None) if empty == "both" else WORST
    return {name: Score(value=v, reason=f"empty in {empty}") for name, v in zip(METRICS, values, strict=True)}


def _lesion_means(rows: list[dict[str, float]], wrong: int) -> dict[str, Score]:
    if rows:
        return {f"lesionwise_{name}": Score(value=float(np.mean([row[name] for row in rows]))) for name in METRICS}
    values = WORST if wrong else (None, None, None)
    reason = "no lesion matched" if wrong else "empty in both"
    return {f"lesionwise_{name}": Score(value=v, reason=reason) for name, v in zip(METRICS, values, strict=True)}


def _share(numerator: int, denominator: int) -> Score:
    if not denominator:
        return Score(value=None, reason="empty in both")
    return Score(value=numerator / denominator)


def build(options: Options) -> Brats2025Protocol:
    """The protocol with its options."""
    return Brats2025Protocol(options)
