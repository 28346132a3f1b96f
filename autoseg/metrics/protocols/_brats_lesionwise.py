"""What BraTS 2023 and 2024 share: lesion-wise scores beside those of the whole region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoseg.metrics.case import RegionPair
from autoseg.metrics.components import Ids
from autoseg.metrics.overlap import Counts
from autoseg.metrics.protocols._lesionwise import Frame, LesionRules, lesion_scores, mask_scores, nsd_name
from autoseg.specs.report import Score

HD95 = "larger of both directed 95th percentiles, elements weighted by area (DeepMind surface-distance), mm"


def region_scores(numbers: tuple[Ids, Ids], frame: Frame, rules: LesionRules, counts: Counts) -> dict[str, Score]:
    """Whole-region ("legacy") scores and lesion-wise ones.

    Args:
        numbers: Lesions of prediction and reference; a voxel without number counts as background.
        frame: Spacing.
        rules: Of the challenge.
        counts: Voxels of the region.
    """
    prediction, reference = (image > 0 for image in numbers)
    whole = mask_scores(prediction, reference, frame, rules)
    reason = f"empty in {counts.empty}" if counts.empty != "none" else ""
    sensitivity = counts.tp / counts.referenced if counts.referenced else float(not counts.predicted)
    return {
        **{metric: Score(value=value, reason=reason) for metric, value in whole.items()},
        **lesion_scores(*numbers, frame, rules),
        "sensitivity": Score(value=sensitivity, reason="" if counts.referenced else reason),
        "specificity": Score(value=counts.tn / (counts.tn + counts.fp) if counts.tn + counts.fp else 0.0),
    }


def definitions(rules: Mapping[str, LesionRules], *, components: str, penalty: str) -> dict[str, str]:
    """Definitions in words.

    Args:
        rules: Region -> rules.
        components: How predicted and reference lesions are told apart.
        penalty: HD95 of a missed or invented lesion.
    """
    first = next(iter(rules.values()))
    by_region = "; ".join(f"{name} {rule.dilations}, {rule.threshold:g}" for name, rule in rules.items())
    wrong = "FP" if first.false_positives_count else "nothing: FP are counted, but in no mean"
    words = {
        "dice": "2 TP / (2 TP + FP + FN) of voxels of the region ('legacy')",
        "hd95_mm": f"{HD95}, of the whole region ('legacy')",
        "lesions": components,
        "assignment": (
            "a predicted lesion that touches the dilated reference lesion belongs to it whole, and may belong to "
            "several; those that touch none are FP, whatever their size; without any, the reference lesion is FN"
        ),
        "dilations by 18 neighbours, size threshold": (
            f"{by_region}; reference lesions of at most so many mm3 are left out of sums and counts, but what touches "
            "them is no FP"
        ),
        "lesionwise_dice": f"sum of Dice over reference lesions / (their number + {wrong}); FN have 0; 0 / 0 is 1",
        "lesionwise_hd95_mm": (
            f"(sum of HD95 ({HD95}) + penalty per FP) / the same number; FN have the penalty; 0 / 0 is 0"
        ),
        "penalty": penalty,
        "lesions_tp, lesions_fp, lesions_fn": "lesions above the size threshold; FP of any size",
        "empty masks": "both empty: Dice 1, HD95 0; one empty: Dice 0, HD95 penalty; both enter the means",
        "sensitivity, specificity": "of voxels of the region; empty in both: sensitivity 1",
    }
    for tolerance in first.nsd_mm:
        words[f"{nsd_name(tolerance)}, lesionwise_{nsd_name(tolerance)}"] = (
            f"mean of the shares of both surfaces' voxels (6-neighbour erosion) within {tolerance:g} mm; FP count as 0"
        )
    return words


def image_diagonal_mm(pairs: Sequence[RegionPair]) -> float:
    """Length of the image's diagonal."""
    first = pairs[0]
    lengths = (size * spacing for size, spacing in zip(first.shape, first.spacing_mm, strict=True))
    return float(sum(length**2 for length in lengths) ** 0.5)
