"""Foreground intensities: a small exact summary per case, pooled so that every case weighs the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autoseg.specs.fingerprint import IntensityStatistics

LARGEST_SUMMARY = 65_536
"""Distinct values kept per case and channel; beyond that, equally filled bins of the sorted ones (rank error 1e-5)."""


@dataclass(frozen=True)
class IntensitySummary:
    """Foreground intensities of one channel of one case.

    Attributes:
        values: Sorted, float32.
        counts: Voxels per value, int64.
        moments: Mean, mean square, smallest and largest value over all voxels, float64; zeros without foreground.
    """

    values: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int64]
    moments: npt.NDArray[np.float64]


def summarize(intensities: npt.NDArray[np.float32]) -> IntensitySummary:
    """Condense the foreground voxels of a channel, in any order."""
    if not intensities.size:
        return IntensitySummary(np.empty(0, np.float32), np.empty(0, np.int64), np.zeros(4))
    ordered = np.sort(intensities)
    exact = ordered.astype(np.float64)
    moments = np.array([exact.mean(), np.square(exact).mean(), exact[0], exact[-1]])
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    if len(starts) > LARGEST_SUMMARY:
        starts = np.linspace(0, len(ordered), LARGEST_SUMMARY, endpoint=False, dtype=np.int64)
    counts = np.diff(np.append(starts, len(ordered)))
    return IntensitySummary(ordered[starts + counts // 2], counts.astype(np.int64), moments)


def pool(cases: Sequence[IntensitySummary]) -> IntensityStatistics:
    """Statistics over all cases with foreground, each with the same total weight.

    nnU-Net v2 draws the same number of foreground voxels of every case with replacement (1e8 in all) and takes the
    statistics of the draws; these are the values that its draws scatter around. All are 0 without any foreground.
    """
    filled = [case for case in cases if case.counts.size]
    if not filled:
        return IntensityStatistics(mean=0, median=0, std=0, minimum=0, maximum=0, percentile_00_5=0, percentile_99_5=0)
    values = np.concatenate([case.values for case in filled])
    weights = np.concatenate([case.counts / case.counts.sum() for case in filled])
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    low, median, high = (
        float(values[order[min(np.searchsorted(reached, share * reached[-1]), len(order) - 1)]])
        for share in (0.005, 0.5, 0.995)
    )
    moments = np.array([case.moments for case in filled])
    mean, square = moments[:, :2].mean(axis=0)
    return IntensityStatistics(
        mean=float(mean),
        median=median,
        std=float(np.sqrt(max(square - mean**2, 0.0))),
        minimum=float(moments[:, 2].min()),
        maximum=float(moments[:, 3].max()),
        percentile_00_5=low,
        percentile_99_5=high,
    )
