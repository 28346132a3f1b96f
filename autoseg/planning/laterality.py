"""Left-right pairs of labels by position: which two mirror each other in nearly all cases."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autoseg.specs.fingerprint import CaseFingerprint, LabelPlace

Array = npt.NDArray[Any]
Vector = Sequence[float]
MOST_SAMPLES = 64
"""Voxels looked at along an axis: a centre of gravity needs no more."""
LEAST_CASES = 3
NEARLY_ALL = 0.9
"""Share of the cases that must agree."""
LEAST_VOLUME_RATIO = 0.6
"""Smaller over larger volume, median: a liver is no mirrored spleen. Kidneys reach 0.9, lungs 0.85."""
LEAST_SPREAD_RATIO = 0.7
"""The same for the extents along each axis."""
MOST_ASIDE = 0.5
"""Distance along the other axes over that across the midline, median."""


class Pair(NamedTuple):
    """Two labels that mirror each other, and in how many of the cases that have both."""

    first: str
    second: str
    agreeing: int
    cases: int


def label_places(labels: Array, spacing_mm: Vector) -> dict[str, LabelPlace]:
    """Label value -> where it lies; nothing where there are fewer than two labels.

    Args:
        labels: (Z, Y, X), not negative.
        spacing_mm: (z, y, x).
    """
    steps = [max(1, size // MOST_SAMPLES) for size in labels.shape]
    some = labels[tuple(slice(step // 2, None, step) for step in steps)]
    where = np.nonzero(some)
    values = some[where].astype(np.intp)
    voxels = np.bincount(values)
    found = np.flatnonzero(voxels)
    if len(found) < 2:
        return {}
    centres, spreads = np.zeros((2, len(voxels), 3))
    for axis, size in enumerate(some.shape):
        # Positions in mm from the middle of the image.
        scale = steps[axis] * spacing_mm[axis]
        position = (where[axis] - (size - 1) / 2) * scale
        mean, square = (np.bincount(values, position**power) / np.maximum(voxels, 1) for power in (1, 2))
        centres[:, axis] = mean
        spreads[:, axis] = np.sqrt(np.maximum(square - mean**2, 0) + scale**2 / 12)
    return {str(int(value)): _place(centres[value], spreads[value]) for value in found}


def mirrored_pairs(cases: Sequence[CaseFingerprint], values: Mapping[str, int]) -> tuple[Pair, ...]:
    """Pairs of labels on opposite sides of the midline, alike in size, shape and position along the other axes.

    Args:
        cases: With `label_places`; orientations may differ.
        values: Name -> value of every label that is a class.
    """
    known = [case for case in cases if case.label_places and any(letter in "LR" for letter in case.orientation)]
    names = list(values)
    if len(known) < LEAST_CASES or len(names) < 2:
        return ()
    places = np.full((len(names), len(known), 7), np.nan)  # lateral, two others; the same of the spread; voxels
    for column, case in enumerate(known):
        lateral, order = _frame(case.orientation)
        for row, name in enumerate(names):
            place = case.label_places.get(str(values[name]))
            if place is not None:
                centre, spread = ([vector[axis] for axis in order] for vector in (place.centre_mm, place.spread_mm))
                voxels = case.label_voxels.get(str(values[name]), 0)
                places[row, column] = [lateral * centre[0], *centre[1:], *spread, voxels]
    found = (_judge(names, places, pair) for pair in itertools.combinations(range(len(names)), 2))
    return tuple(pair for pair in found if pair is not None)


def _judge(names: Sequence[str], places: Array, pair: tuple[int, int]) -> Pair | None:
    first, second = places[pair[0]], places[pair[1]]
    either = ~(np.isnan(first[:, 0]) & np.isnan(second[:, 0]))
    both = ~(np.isnan(first[:, 0]) | np.isnan(second[:, 0]))
    cases = int(both.sum())
    if cases < LEAST_CASES or cases < NEARLY_ALL * either.sum():
        return None
    first, second = first[both], second[both]
    side = np.sign(first[:, 0])
    opposite = (side != 0) & (side == -np.sign(second[:, 0]))
    agreeing = max(int((opposite & (side > 0)).sum()), int((opposite & (side < 0)).sum()))
    if agreeing < NEARLY_ALL * cases:
        return None
    across = np.maximum(np.abs(first[:, 0] - second[:, 0]), 1e-6)
    aside = np.linalg.norm(first[:, 1:3] - second[:, 1:3], axis=1) / across
    ratios = np.median(np.minimum(first, second)[:, 3:] / np.maximum(np.maximum(first, second)[:, 3:], 1e-6), axis=0)
    alike = ratios[3] >= LEAST_VOLUME_RATIO and bool((ratios[:3] >= LEAST_SPREAD_RATIO).all())
    if not alike or np.median(aside) > MOST_ASIDE:
        return None
    return Pair(names[pair[0]], names[pair[1]], agreeing, cases)


def _frame(orientation: str) -> tuple[int, list[int]]:
    """Sign towards the left, and the axes with left-right first, then front-back, then up-down."""
    axes = {letter: axis for axis, letter in enumerate(orientation)}
    order = [next(axes[letter] for letter in group if letter in axes) for group in ("LR", "AP", "IS")]
    return (1 if "L" in axes else -1), order


def _place(centre: Array, spread: Array) -> LabelPlace:
    z, y, x = (round(float(value), 1) for value in centre)
    dz, dy, dx = (round(float(value), 1) for value in spread)
    return LabelPlace(centre_mm=(z, y, x), spread_mm=(dz, dy, dx))
