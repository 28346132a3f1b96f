"""Linear interpolation of label indicators and their argmax, for all labels at once."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.signedinteger]
Indices = npt.NDArray[np.intp]
Weights = npt.NDArray[np.float64]

# Output voxels per slab: bounds the memory of the corners and votes at label boundaries.
_SLAB_VOXELS = 2_000_000


def interpolate_labels(labels: Labels, matrices: Sequence[Weights], nearest: Sequence[Indices]) -> Labels:
    """The label with the largest linearly interpolated indicator at every output voxel.

    An output voxel depends on the 8 corners around it. Where all agree there is nothing to compute; elsewhere, a few
    per cent, the corners vote with their weights. The cost therefore does not grow with the number of labels.

    Args:
        labels: (Z, Y, X).
        matrices: Per axis (size_out, size_in) with one or two non-zero weights per row.
        nearest: Per axis the nearest input index of each output index; decides ties.
    """
    shape = tuple(matrix.shape[0] for matrix in matrices)
    lower, upper, weights = zip(*(_taps(matrix) for matrix in matrices), strict=True)
    result = np.empty(shape, labels.dtype)
    depth = max(1, _SLAB_VOXELS // max(1, shape[1] * shape[2]))
    for start in range(0, shape[0], depth):
        rows = slice(start, min(start + depth, shape[0]))
        low = (lower[0][rows], lower[1], lower[2])
        high = (upper[0][rows], upper[1], upper[2])
        result[rows], unsettled = _agreement(labels, low, high)
        where = np.nonzero(unsettled)
        if where[0].size:
            share = (weights[0][:, rows], weights[1], weights[2])
            closest = (nearest[0][rows], nearest[1], nearest[2])
            result[rows][where] = _vote(labels, where, low=low, high=high, share=share, nearest=closest)
    return result


def _taps(matrix: Weights) -> tuple[Indices, Indices, Weights]:
    """First and last used column of each row, and the weights (2, size_out) of both."""
    used = matrix != 0
    lower = used.argmax(axis=1)
    upper = matrix.shape[1] - 1 - used[:, ::-1].argmax(axis=1)
    rows = np.arange(matrix.shape[0])
    return lower, upper, np.stack([matrix[rows, lower], np.where(lower == upper, 0.0, matrix[rows, upper])])


def _agreement(labels: Labels, low: Sequence[Indices], high: Sequence[Indices]) -> tuple[Labels, npt.NDArray[np.bool_]]:
    """Smallest corner label per output voxel, and where the largest differs."""
    smallest = largest = labels
    for axis in range(3):
        if np.array_equal(low[axis], high[axis]):
            smallest, largest = smallest.take(low[axis], axis=axis), largest.take(low[axis], axis=axis)
            continue
        smallest = np.minimum(smallest.take(low[axis], axis=axis), smallest.take(high[axis], axis=axis))
        largest = np.maximum(largest.take(low[axis], axis=axis), largest.take(high[axis], axis=axis))
    return smallest, smallest != largest


def _vote(
    labels: Labels,
    where: tuple[Indices, ...],
    *,
    low: Sequence[Indices],
    high: Sequence[Indices],
    share: Sequence[Weights],
    nearest: Sequence[Indices],
) -> Labels:
    """Labels at the voxels `where` by the corners' weighted votes."""
    sides = [(low[axis][where[axis]], high[axis][where[axis]]) for axis in range(3)]
    corners = [(z, y, x) for z in (0, 1) for y in (0, 1) for x in (0, 1)]
    values = [labels[sides[0][z], sides[1][y], sides[2][x]] for z, y, x in corners]
    # Products and sums in scipy's order, so that what is an exact tie there is one here.
    weights = [share[0][z][where[0]] * share[1][y][where[1]] * share[2][x][where[2]] for z, y, x in corners]
    closest = labels[nearest[0][where[0]], nearest[1][where[1]], nearest[2][where[2]]]
    smallest, largest = functools.reduce(np.minimum, values), functools.reduce(np.maximum, values)
    winner = _better_of_two(smallest, largest, closest, values, weights)
    # At most voxels of a boundary just two labels meet; elsewhere every corner is a candidate.
    several = np.flatnonzero(functools.reduce(np.logical_or, [(v != smallest) & (v != largest) for v in values]))
    if several.size:
        winner[several] = _best_of_all(
            closest[several], [value[several] for value in values], [weight[several] for weight in weights]
        )
    return winner


def _better_of_two(
    smaller: Labels, larger: Labels, closest: Labels, values: Sequence[Labels], weights: Sequence[Weights]
) -> Labels:
    first, second = _votes_for(smaller, values, weights), _votes_for(larger, values, weights)
    return np.where(first == second, closest, np.where(first > second, smaller, larger))


def _best_of_all(closest: Labels, values: Sequence[Labels], weights: Sequence[Weights]) -> Labels:
    winner, best = closest, _votes_for(closest, values, weights)
    settled_by_nearest = np.ones(winner.shape, bool)
    for value in values:
        votes = _votes_for(value, values, weights)
        better = votes > best
        smaller = (votes == best) & ~settled_by_nearest & (value < winner)
        settled_by_nearest &= ~better
        winner = np.where(better | smaller, value, winner)
        best = np.maximum(best, votes)
    return winner


def _votes_for(value: Labels, values: Sequence[Labels], weights: Sequence[Weights]) -> Weights:
    total = np.zeros(value.shape)
    for other, weight in zip(values, weights, strict=True):
        total += weight * (other == value)
    return total
