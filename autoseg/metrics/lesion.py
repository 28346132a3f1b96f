"""Lesion-wise detection: connected components found, missed and invented."""

from __future__ import annotations

from typing import Any, Final

import cc3d
import numpy as np
import numpy.typing as npt

from autoseg.metrics.empties import reason
from autoseg.metrics.overlap import Counts
from autoseg.specs.report import Score

Mask = npt.NDArray[np.bool_]
CONNECTIVITY: Final = 26
"""Voxels that share a face, an edge or a corner belong to one lesion."""


def lesion_scores(prediction: Mask, reference: Mask, counts: Counts) -> dict[str, Score]:
    """Count lesions: a reference component with at least one predicted voxel is found (TP), else missed (FN); a
    predicted component without a reference voxel is a false alarm (FP).

    Precision is TP / (TP + FP), recall TP / (TP + FN), F1 2 TP / (2 TP + FP + FN). A reference lesion hit by several
    predicted pieces counts once; one predicted piece may find several lesions.

    Args:
        prediction: (Z, Y, X).
        reference: Same shape.
        counts: Voxel counts of the same masks.
    """
    found, missed = _touched(reference, prediction)
    _, invented = _touched(prediction, reference)
    why = reason(counts.empty) if counts.empty != "none" else ""

    def share(total: int, factor: int = 1) -> Score:
        return Score(value=factor * found / total) if total else Score(value=None, reason=why)

    return {
        "lesions_tp": Score(value=float(found)),
        "lesions_fp": Score(value=float(invented)),
        "lesions_fn": Score(value=float(missed)),
        "lesion_precision": share(found + invented),
        "lesion_recall": share(found + missed),
        "lesion_f1": share(2 * found + invented + missed, 2),
    }


def components(mask: Mask) -> tuple[npt.NDArray[Any], int]:
    """Components numbered from 1, and how many there are."""
    labels, count = cc3d.connected_components(mask, connectivity=CONNECTIVITY, return_N=True)
    return labels, int(count)


def _touched(mask: Mask, other: Mask) -> tuple[int, int]:
    """Components of `mask` that share a voxel with `other`, and those that do not."""
    if not mask.any():
        return 0, 0
    labels, count = components(mask)
    hit = np.zeros(count + 1, dtype=np.bool_)
    hit[labels[other]] = True
    touched = int(np.count_nonzero(hit[1:]))
    return touched, count - touched
