"""Dice alone, for choosing among many variants of the same masks: no surfaces, no reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.core.errors import DatasetError, GeometryError
from autoseg.core.labels import LabelSpace
from autoseg.metrics.overlap import joint_histogram, region_counts

Labels = npt.NDArray[Any]
RegionDice = Mapping[str, float | None]
"""Region -> Dice, or None where it is empty in prediction and reference."""


def region_dice(prediction: Labels, reference: Labels, labels: LabelSpace) -> dict[str, float | None]:
    """Dice 2 TP / (2 TP + FP + FN) of every class or region; voxels that the reference ignores do not count.

    Args:
        prediction: Integers (Z, Y, X).
        reference: Same shape.
        labels: What the values mean.

    Raises:
        GeometryError: The shapes differ.
        DatasetError: A value that is not among the labels.
    """
    if prediction.shape != reference.shape:
        raise GeometryError(
            f"the prediction has the shape {prediction.shape}, the reference {reference.shape}",
            "predict on the grid of the reference",
        )
    size = max((0, *labels.foreground_values, labels.ignore or 0)) + 1
    for name, found in (("prediction", prediction), ("reference", reference)):
        if found.size and not 0 <= int(found.min()) <= int(found.max()) < size:
            raise DatasetError(
                f"the {name} holds values from {int(found.min())} to {int(found.max())}, labels end at {size - 1}",
                "use the labels of dataset.json",
            )
    histogram = joint_histogram(reference, prediction, size)
    if labels.ignore is not None:
        histogram[labels.ignore] = 0
    counts = {
        name: region_counts(histogram, values, voxels=int(histogram.sum()))
        for name, values in zip(labels.names, labels.values, strict=True)
    }
    return {
        name: 2 * count.tp / (2 * count.tp + count.fp + count.fn) if count.tp + count.fp + count.fn else None
        for name, count in counts.items()
    }


def mean_per_region(cases: Sequence[RegionDice]) -> dict[str, float | None]:
    """Region -> mean over the cases where it is defined; None where it never is."""
    names = {name: None for case in cases for name in case}
    means: dict[str, float | None] = {}
    for name in names:
        defined = [value for case in cases if (value := case.get(name)) is not None]
        means[name] = float(np.mean(defined)) if defined else None
    return means


def mean_of_regions(means: RegionDice) -> float | None:
    """Mean over the regions that have a value; None where none has."""
    defined = [value for value in means.values() if value is not None]
    return float(np.mean(defined)) if defined else None
