"""Which label is taken for which: voxels by reference and prediction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.core.labels import BACKGROUND, LabelSpace, value_names
from autoseg.metrics.case import occupied_box
from autoseg.metrics.overlap import joint_histogram
from autoseg.specs.report import Confusion


def confusion_values(labels: LabelSpace) -> tuple[int, ...]:
    """Label values that rows and columns stand for: background, then every foreground value."""
    return (0, *labels.foreground_values)


def confusion_counts(
    prediction: npt.NDArray[Any], reference: npt.NDArray[Any], labels: LabelSpace
) -> npt.NDArray[np.int64]:
    """Voxels per pair of labels, [reference, prediction] in the order of `confusion_values`; ignored ones left out.

    Args:
        prediction: Integers (Z, Y, X), every one of them a label, as `evaluate_case` demands.
        reference: Same shape.
        labels: What the values mean.
    """
    values = list(confusion_values(labels))
    size = max((*values, labels.ignore or 0)) + 1
    # Most voxels are background in both: they are not looked at one by one.
    box = occupied_box(prediction, reference)
    counts = joint_histogram(reference[box], prediction[box], size)[np.ix_(values, values)]
    counts[0, 0] += reference.size - reference[box].size
    return counts


def pooled_confusion(cases: Iterable[npt.NDArray[np.int64]], labels: LabelSpace) -> Confusion | None:
    """Counts of several cases added up and named; None without a case.

    Args:
        cases: From `confusion_counts`.
        labels: What the values mean.
    """
    counts = list(cases)
    if not counts:
        return None
    named = value_names({BACKGROUND: 0, **dict(zip(labels.names, labels.values, strict=True))})
    rows = np.sum(counts, axis=0).tolist()
    names = tuple(named[value] for value in confusion_values(labels))
    return Confusion(labels=names, voxels=tuple(tuple(row) for row in rows))
