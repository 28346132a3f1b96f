"""Which lesions LiTS counts as detected, from the voxels that components share.

Facts of PatrickChrist/lits-challenge-scoring (HEAD 090307d, 2017). Both readings merge and match alike:

1. Only predictions that touch a reference take part.
2. References that one prediction spans are merged if that prediction is the largest overlap of each of them.
3. Each prediction goes to the one (merged) reference it overlaps most; predictions of one reference are merged.
4. A pair is detected if its intersection over union is strictly above the threshold.

They differ in the union and in what is counted; see `detect_official`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.metrics.components import Counts, Overlaps


@dataclass(frozen=True)
class Pair:
    """A merged reference and the predictions that were given to it, as positions in `Overlaps`.

    Attributes:
        predictions: Ascending.
        references: The first one gave the merged lesion its number.
        merged: How many references the last merge joined; the official count subtracts it.
    """

    predictions: tuple[int, ...]
    references: tuple[int, ...]
    merged: int


@dataclass(frozen=True)
class Detection:
    """Counts of one case at one threshold, and the pairs that passed it."""

    tp: int
    fp: int
    fn: int
    pairs: tuple[Pair, ...]


def detect(found: Overlaps, threshold: float) -> Detection:
    """Clean reading: every reference of a passing pair is detected, every prediction of it is right.

    Args:
        found: Components and their common voxels.
        threshold: Of the intersection over union, strict.
    """
    pairs = tuple(pair for pair in match(found) if _iou(found, pair) > threshold)
    tp = sum(len(pair.references) for pair in pairs)
    right = sum(len(pair.predictions) for pair in pairs)
    return Detection(tp, len(found.predicted) - right, len(found.referenced) - tp, pairs)


def detect_official(found: Overlaps, threshold: float) -> Detection:
    """As the scorer's code counts: FP and FN from unmerged counts, and a union that takes the wrong lesion.

    The union looks up the *prediction's* number in an image that already holds *reference* numbers. So the extent of
    the prediction is that of whatever was given to the reference of that number: another lesion's prediction, or
    nothing. A pair that fails is taken out of that image, which changes later unions, and subtracts as many detections
    as references were merged into it, though only one was counted.

    Args:
        found: Components and their common voxels.
        threshold: Of the intersection over union, strict.
    """
    pairs = sorted(match(found), key=lambda pair: pair.predictions[0])
    given = {pair.references[0]: pair for pair in pairs}
    detected = len(pairs)
    passing = []
    for pair in pairs:
        looked_up = given.get(pair.predictions[0])
        extent = () if looked_up is None else looked_up.predictions
        union = (
            found.predicted[list(extent)].sum()
            + found.referenced[list(pair.references)].sum()
            - _common(found, extent, pair.references)
        )
        if _common(found, pair.predictions, pair.references) / union > threshold:
            passing.append(pair)
        else:
            del given[pair.references[0]]
            detected -= pair.merged
    if not len(found.referenced):
        return Detection(0, len(found.predicted), 0, ())
    return Detection(detected, len(found.predicted) - detected, len(found.referenced) - detected, tuple(passing))


def match(found: Overlaps) -> list[Pair]:
    """Merge and match (steps 1 to 3)."""
    touching = np.flatnonzero(found.common.any(axis=1))
    if not len(touching):
        return []
    shared = found.common[touching]
    groups = [[number] for number in range(shared.shape[1])]
    merged = dict.fromkeys(range(shared.shape[1]), 1)
    for row in range(len(touching)):
        shared, groups = _merge_spanned(shared, groups, merged, row)
    choice = shared.argmax(axis=1)
    return [
        Pair(tuple(int(touching[row]) for row in np.flatnonzero(choice == index)), tuple(group), merged[group[0]])
        for index, group in enumerate(groups)
        if (choice == index).any()
    ]


def _merge_spanned(
    shared: Counts, groups: list[list[int]], merged: dict[int, int], row: int
) -> tuple[Counts, list[list[int]]]:
    """Join the references that this prediction spans and overlaps more than any other prediction does."""
    mine = [int(index) for index in np.flatnonzero(shared[row]) if shared[:, index].argmax() == row]
    for index in mine:
        merged[groups[index][0]] = len(mine)
    if len(mine) < 2:
        return shared, groups
    joined = shared.copy()
    joined[:, mine[0]] = shared[:, mine].sum(axis=1)
    united = sorted((number for index in mine for number in groups[index]), key=lambda n: (n != groups[mine[0]][0], n))
    kept = [index for index in range(len(groups)) if index not in mine[1:]]
    return joined[:, kept], [united if index == mine[0] else groups[index] for index in kept]


def _iou(found: Overlaps, pair: Pair) -> float:
    common = _common(found, pair.predictions, pair.references)
    both = found.predicted[list(pair.predictions)].sum() + found.referenced[list(pair.references)].sum()
    return float(common / (both - common))


def _common(found: Overlaps, predictions: tuple[int, ...], references: tuple[int, ...]) -> int:
    return int(found.common[np.ix_(predictions, references)].sum()) if predictions else 0
