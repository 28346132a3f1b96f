"""Counts of labels taken for labels, against a loop over voxels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autoseg.core.labels import LabelSpace
from autoseg.metrics.confusion import confusion_counts, confusion_values, pooled_confusion
from autoseg.metrics.overlap import region_counts

SPACE = LabelSpace(("liver", "tumour"), ((1,), (4,)), ignore=5)
MAPS = arrays(np.uint8, (3, 4, 5), elements=st.sampled_from((0, 0, 0, 1, 4)))


@given(prediction=MAPS, reference=MAPS, ignored=arrays(np.bool_, (3, 4, 5)))
def test_counts_are_those_of_a_loop(prediction, reference, ignored):
    reference = np.where(ignored, np.uint8(5), reference)
    values = confusion_values(SPACE)
    assert values == (0, 1, 4)
    expected = np.zeros((3, 3), int)
    for true, said in zip(reference.ravel(), prediction.ravel(), strict=True):
        if true != 5:
            expected[values.index(true), values.index(said)] += 1
    np.testing.assert_array_equal(confusion_counts(prediction, reference, SPACE), expected)


def test_rows_hold_what_regions_are_counted_from():
    reference = np.zeros((2, 3, 4), np.uint8)
    prediction = reference.copy()
    reference[0, :2] = 1
    prediction[0, 1:] = 4
    counts = confusion_counts(prediction, reference, SPACE)
    liver = region_counts(counts, [1], voxels=reference.size)
    assert (liver.tp, liver.fp, liver.fn) == (0, 0, 8)
    assert counts.sum() == reference.size


@pytest.mark.parametrize(
    ("space", "names"),
    [
        (SPACE, ("background", "liver", "tumour")),
        (LabelSpace(("whole", "core"), ((1, 2), (2,)), class_order=(1, 2)), ("background", "whole (1)", "core")),
    ],
)
def test_cases_are_added_up_under_their_names(space, names):
    one = np.arange(9).reshape(3, 3)
    pooled = pooled_confusion([one, one], space)
    assert pooled is not None
    assert pooled.labels == names
    assert pooled.voxels == ((0, 2, 4), (6, 8, 10), (12, 14, 16))
    assert pooled_confusion([], space) is None
