"""Stored class locations: right voxels, right number, no surprise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg.core.labels import LabelSpace
from autoseg.io.case_store import ANNOTATED
from autoseg.preprocessing import locations
from autoseg.preprocessing.locations import PlaneCounts, class_locations

CLASSES = LabelSpace.parse({"background": 0, "liver": 1, "tumour": 2, "never": 9})
REGIONS = LabelSpace.parse({"background": 0, "whole": [1, 2], "core": [2]}, (1, 2))


def _labels(seed: int = 0, shape: tuple[int, int, int] = (9, 11, 13)) -> npt.NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-1, 3, shape).astype(np.int16)


def _found(labels: npt.NDArray[np.int16], space: LabelSpace) -> dict[str, npt.NDArray[np.int64]]:
    return class_locations(labels, space, PlaneCounts.of(labels))


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_a_small_class_is_stored_whole(seed: int) -> None:
    labels = _labels(seed)
    found = _found(labels, CLASSES)
    np.testing.assert_array_equal(found["liver"], np.argwhere(labels == 1))
    np.testing.assert_array_equal(found["tumour"], np.argwhere(labels == 2))
    assert found["never"].shape == (0, 3)


def test_a_region_is_the_union_of_its_labels() -> None:
    labels = _labels()
    found = _found(labels, REGIONS)
    np.testing.assert_array_equal(found["whole"], np.argwhere(labels > 0))
    np.testing.assert_array_equal(found["core"], np.argwhere(labels == 2))


def test_ignored_voxels_are_no_place_to_learn() -> None:
    space = LabelSpace.parse({"background": 0, "liver": 1, "ignore": 2})
    labels = _labels()
    np.testing.assert_array_equal(_found(labels, space)[ANNOTATED], np.argwhere(labels != 2))
    assert ANNOTATED not in _found(labels, CLASSES)


@pytest.mark.parametrize(("samples", "share", "expected"), [(100, 0.01, 100), (100, 0.5, 500), (5000, 0.01, 1000)])
def test_how_many_are_drawn(monkeypatch: pytest.MonkeyPatch, samples: int, share: float, expected: int) -> None:
    monkeypatch.setattr(locations, "SAMPLES", samples)
    monkeypatch.setattr(locations, "SHARE", share)
    labels = np.zeros((20, 10, 10), np.int16)
    labels[5:15] = 1
    found = _found(labels, CLASSES)["liver"]
    assert len(found) == expected
    assert len(np.unique(found, axis=0)) == expected
    assert (labels[tuple(found.T)] == 1).all()


def test_draws_are_even_and_depend_on_the_class_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "SAMPLES", 2000)
    labels = np.ones((20, 20, 20), np.int16)
    first, second = _found(labels, CLASSES)["liver"], _found(labels, CLASSES)["liver"]
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first.mean(axis=0), 9.5, atol=0.5)
    labels[:] = 2
    assert not np.array_equal(_found(labels, CLASSES)["tumour"], first)


def test_totals_leave_out_what_is_outside() -> None:
    labels = np.array([[[-1, 0, 0, 5]]], np.int8)
    assert PlaneCounts.of(labels).totals() == {"0": 2, "5": 1}
