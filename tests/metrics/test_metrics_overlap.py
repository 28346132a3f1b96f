"""Counts, overlaps, volumes and the rules for empty masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autoseg.core.errors import SpecError
from autoseg.metrics.empties import AGREE, SKIP, emptiness, empty_policy
from autoseg.metrics.overlap import Counts, joint_histogram, overlap_scores, ratio, region_counts, volume_scores

LABELS = arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 3))


@settings(max_examples=60)
@given(LABELS, LABELS, st.sampled_from([(1,), (3,), (1, 2), (1, 2, 3)]))
def test_counts_of_the_histogram_equal_those_of_masks(
    prediction: np.ndarray, reference: np.ndarray, region: tuple[int, ...]
) -> None:
    counts = region_counts(joint_histogram(reference, prediction, 4), region, voxels=reference.size)
    p, r = np.isin(prediction, region), np.isin(reference, region)
    assert counts == Counts(int((p & r).sum()), int((p & ~r).sum()), int((~p & r).sum()), int((~p & ~r).sum()))
    assert counts.predicted == p.sum()
    assert counts.referenced == r.sum()


def test_scores_of_known_counts() -> None:
    scores = overlap_scores(Counts(tp=6, fp=2, fn=4, tn=88), SKIP)
    assert {name: score.value for name, score in scores.items()} == pytest.approx(
        {
            "dice": 12 / 18, "iou": 6 / 12, "precision": 6 / 8, "recall": 6 / 10, "accuracy": 0.94,
            "tp": 6, "fp": 2, "fn": 4, "tn": 88,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "dice", "reason", "precision", "recall"),
    [
        (Counts(0, 0, 0, 9), None, "empty in both", None, None),
        (Counts(0, 3, 0, 6), 0.0, "empty in reference", 0.0, None),
        (Counts(0, 0, 3, 6), 0.0, "empty in prediction", None, 0.0),
    ],
)
def test_an_empty_mask_is_scored_by_a_named_rule(
    counts: Counts, dice: float | None, reason: str, precision: float | None, recall: float | None
) -> None:
    scores = overlap_scores(counts, SKIP)
    for name in ("dice", "iou"):
        assert (scores[name].value, scores[name].reason) == (dice, reason)
    assert (scores["precision"].value, scores["recall"].value) == (precision, recall)
    assert scores["accuracy"].value is not None
    undefined = [score for score in scores.values() if score.value is None]
    assert all(score.reason == reason for score in undefined)


@pytest.mark.parametrize("empty", ["both", "prediction", "reference"])
def test_policies_agree_only_where_one_mask_is_empty(empty: str) -> None:
    skip, agree = SKIP.overlap(empty), AGREE.overlap(empty)  # type: ignore[arg-type]
    assert (skip.value, agree.value) == ((None, 1.0) if empty == "both" else (0.0, 0.0))
    assert SKIP.distance(empty).value is None  # type: ignore[arg-type]
    assert AGREE.distance(empty).value == (0.0 if empty == "both" else None)  # type: ignore[arg-type]


def test_policies_by_name() -> None:
    assert empty_policy("agree") is AGREE
    with pytest.raises(SpecError, match="unknown rule for empty masks 'skipp': did you mean 'skip'"):
        empty_policy("skipp")
    assert [emptiness(*pair) for pair in ((1, 1), (0, 1), (1, 0), (0, 0))] == [
        "none", "prediction", "reference", "both",
    ]  # fmt: skip


def test_volumes_are_signed_and_in_millilitres() -> None:
    scores = volume_scores(Counts(tp=5, fp=15, fn=5, tn=0), voxel_volume_mm3=50.0)
    assert [score.value for score in scores.values()] == pytest.approx([1.0, 0.5, 0.5, 1.0])
    empty = volume_scores(Counts(0, 2, 0, 5), voxel_volume_mm3=1.0)["volume_difference_relative"]
    assert (empty.value, empty.reason) == (None, "empty in reference")


def test_a_volume_without_voxels_has_no_accuracy() -> None:
    assert ratio(0, 0, "none").reason == "no voxel to score"
