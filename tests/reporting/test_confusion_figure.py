"""The confusion matrix as a picture."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.reporting.confusion import draw_confusion, row_shares, share_text
from autoseg.specs.report import Confusion

SMALL = Confusion(labels=("background", "liver", "tumour"), voxels=((990, 10, 0), (25, 75, 0), (0, 0, 0)))


def test_rows_are_shares_of_the_true_label():
    shares = row_shares(SMALL)
    np.testing.assert_allclose(shares[:2], [[0.99, 0.01, 0], [0.25, 0.75, 0]])
    assert np.isnan(shares[2]).all(), "no voxel to divide by"


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0"), (0.0001, "<.001"), (0.0123, ".012"), (0.5, ".500"), (0.99999, ">.999"), (1, "1"), (np.nan, "none")],
)
def test_rare_confusions_are_not_rounded_away(share, text):
    assert share_text(share) == text


def draw(picture, voxels):
    names = tuple(f"organ {index}" for index in range(len(voxels)))
    draw_confusion(Confusion(labels=names, voxels=tuple(map(tuple, voxels.tolist()))), picture, title="t")


@pytest.mark.parametrize(("count", "least"), [(2, 0.05), (20, 0.01)])
def test_a_perfect_prediction_is_a_dark_diagonal(tmp_path, share_of, count, least):
    perfect = 1000 * np.eye(count, dtype=int)
    draw(tmp_path / "perfect.png", perfect)
    dark = share_of(tmp_path / "perfect.png", "#08306b")
    assert dark > least
    draw(tmp_path / "guess.png", np.full_like(perfect, 1000))
    assert share_of(tmp_path / "guess.png", "#08306b") < dark / 5
