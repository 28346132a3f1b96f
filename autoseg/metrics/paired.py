"""The difference of two methods on the same cases, with the interval of the paired bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autoseg.core.errors import SpecError
from autoseg.metrics.aggregate import bootstrap_means
from autoseg.specs.report import CaseScores

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """Second minus first.

    Attributes:
        mean: Of the means; None where one of them has no value.
        ci95: 95 % bootstrap interval of it; None for fewer than two cases.
    """

    mean: float | None
    ci95: tuple[float, float] | None


def paired_difference(
    first: Sequence[CaseScores], second: Sequence[CaseScores], *, regions: Sequence[str], metric: str
) -> Difference:
    """Difference of the mean over regions of the means over cases.

    Cases are drawn with replacement, and every draw takes the same cases of both methods (Efron and Tibshirani, An
    Introduction to the Bootstrap, 1993, on paired data): how hard the cases are cancels out, so that the interval is
    narrower than two separate ones suggest.

    Args:
        first: Scores of one method.
        second: Scores of the other, of the same cases in the same order.
        regions: To average over; one for a region alone.
        metric: Name in the scores.

    Raises:
        SpecError: The cases differ.
    """
    if [case.id for case in first] != [case.id for case in second]:
        raise SpecError("the methods were not scored on the same cases", "compare the cases that both have")
    one, other = (_values(cases, regions, metric) for cases in (first, second))
    means = [_mean_of_columns(_means(values)[None]) for values in (one, other)]
    difference = float(means[1][0] - means[0][0])
    if not np.isfinite(difference):
        return Difference(None, None)
    if len(first) < 2:
        return Difference(difference, None)
    drawn = _mean_of_columns(bootstrap_means(other)) - _mean_of_columns(bootstrap_means(one))
    low, high = np.percentile(drawn[np.isfinite(drawn)], (2.5, 97.5))
    return Difference(difference, (float(low), float(high)))


def _values(cases: Sequence[CaseScores], regions: Sequence[str], metric: str) -> Floats:
    """(cases, regions), NaN where there is no score."""
    rows = [[_value(case, region, metric) for region in regions] for case in cases]
    return np.array(rows, dtype=np.float64).reshape(len(cases), len(regions))


def _value(case: CaseScores, region: str, metric: str) -> float:
    score = case.regions.get(region, {}).get(metric)
    return np.nan if score is None or score.value is None else score.value


def _means(values: Floats) -> Floats:
    """Mean of the defined values per column, NaN where there is none."""
    defined = np.isfinite(values)
    counts = defined.sum(axis=0)
    sums = np.where(defined, values, 0.0).sum(axis=0)
    means: Floats = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return means


def _mean_of_columns(rows: Floats) -> Floats:
    """Mean of the defined entries of each row."""
    return _means(rows.T)
