"""Lesion counts on drawn examples."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.metrics.lesion import components, lesion_scores
from autoseg.metrics.overlap import Counts, joint_histogram, region_counts


def score(prediction: np.ndarray, reference: np.ndarray) -> dict[str, float | None]:
    return {
        name: score.value for name, score in lesion_scores(prediction, reference, count(prediction, reference)).items()
    }


def count(prediction: np.ndarray, reference: np.ndarray) -> Counts:
    histogram = joint_histogram(reference.view(np.uint8), prediction.view(np.uint8), 2)
    return region_counts(histogram, (1,), voxels=reference.size)


def row(text: str) -> np.ndarray:
    """A 1 x 1 x N mask from '.#'."""
    return np.array([[[letter == "#" for letter in text]]])


@pytest.mark.parametrize(
    ("prediction", "reference", "tp", "fp", "fn"),
    [
        ("##..#..#", "##..#...", 2, 1, 0),
        ("........", "##..#...", 0, 0, 2),
        ("##..#...", "........", 0, 2, 0),
        ("........", "........", 0, 0, 0),
        ("#####...", "##.##...", 2, 0, 0),  # one piece finds two lesions
        ("#.#.....", "###..##.", 1, 0, 1),  # two pieces find one lesion
    ],
)
def test_lesions_found_missed_and_invented(prediction: str, reference: str, tp: int, fp: int, fn: int) -> None:
    scores = score(row(prediction), row(reference))
    assert (scores["lesions_tp"], scores["lesions_fp"], scores["lesions_fn"]) == (tp, fp, fn)
    assert scores["lesion_precision"] == (tp / (tp + fp) if tp + fp else None)
    assert scores["lesion_recall"] == (tp / (tp + fn) if tp + fn else None)
    assert scores["lesion_f1"] == (2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None)


def test_undefined_shares_say_why() -> None:
    nothing = row("....")
    scores = lesion_scores(nothing, row("#..#"), count(nothing, row("#..#")))
    assert (scores["lesion_precision"].value, scores["lesion_precision"].reason) == (None, "empty in prediction")
    assert lesion_scores(nothing, nothing, count(nothing, nothing))["lesion_f1"].reason == "empty in both"


def test_voxels_that_share_a_corner_are_one_lesion() -> None:
    mask = np.zeros((2, 2, 4), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[0, 0, 3] = True
    labels, number = components(mask)
    assert number == 2
    assert labels[0, 0, 0] == labels[1, 1, 1] != labels[0, 0, 3]
