"""Seams and recall, on arrays where both are known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.minicubes import recall, seam_jumps


def test_a_field_without_seams_jumps_as_much_everywhere() -> None:
    ramp = np.add.outer(np.add.outer(np.arange(16.0), np.arange(20.0)), np.arange(24.0))[None]
    assert seam_jumps(ramp, (8, 10, 12)) == {"all": pytest.approx(1), "near": pytest.approx(1)}


def test_an_offset_of_each_core_is_a_seam() -> None:
    noise = np.random.default_rng(0).normal(size=(2, 16, 20, 24))
    before = seam_jumps(noise, (8, 10, 12))
    assert before["all"] == pytest.approx(1, abs=0.1)
    shifted = noise.copy()
    shifted[:, 8:] += 20
    shifted[..., 10:, :] += 20
    assert seam_jumps(shifted, (8, 10, 12))["near"] > 2


def test_recall_is_pooled_over_the_cases() -> None:
    wanted = [np.array([1, 1, 1, 2]), np.array([1, 3, 0, 0])]
    found = [np.array([1, 1, 0, 1]), np.array([1, 3, 0, 1])]
    assert recall(found, wanted) == {"background": 0.5, "edema": 0.75, "non_enhancing": 0.0, "enhancing": 1.0}
