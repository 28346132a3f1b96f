"""Summaries over cases: mean, median and a bootstrap interval, all metrics in one matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.core.errors import SpecError
from autoseg.specs.report import CaseScores, Score, Summary

Floats = npt.NDArray[np.float64]

MEAN = "mean"
"""Name of the summary that averages the regions."""
RESAMPLES = 2000
SEED = 20170705
CI_DEFINITION = (
    f"percentile bootstrap of the mean: cases drawn with replacement {RESAMPLES} times with seed {SEED}, the same "
    "draws for every metric; cases without a value are left out; none for fewer than two values"
)
_BLOCK = 4_000_000


def summarise(cases: Sequence[CaseScores]) -> dict[str, dict[str, Summary]]:
    """Region -> metric -> summary over cases, and the region `mean` over the regions.

    Raises:
        SpecError: A region is called `mean`.
    """
    columns = list(
        dict.fromkeys((region, metric) for case in cases for region in case.regions for metric in case.regions[region])
    )
    if any(region == MEAN for region, _ in columns):
        raise SpecError(f"a region is called '{MEAN}'", "rename it: reports use that name for the mean of the regions")
    values = np.array([[_value(case, *column) for column in columns] for case in cases]).reshape(len(cases), -1)
    resampled = bootstrap_means(values)
    summary: dict[str, dict[str, Summary]] = {}
    for index, (region, metric) in enumerate(columns):
        reasons = [_reason(case, region, metric) for case in cases]
        made = _summary(values[:, index : index + 1], resampled[:, index : index + 1], reasons)
        summary.setdefault(region, {})[metric] = made
    for metric in dict.fromkeys(metric for _, metric in columns):
        chosen = [index for index, column in enumerate(columns) if column[1] == metric]
        reasons = [_reason(case, *columns[index]) for case in cases for index in chosen]
        summary.setdefault(MEAN, {})[metric] = _summary(values[:, chosen], resampled[:, chosen], reasons)
    return summary


def bootstrap_means(values: Floats, *, resamples: int = RESAMPLES, seed: int = SEED) -> Floats:
    """Means of cases drawn with replacement, (resamples, columns).

    Args:
        values: (cases, columns), NaN where a case has no value.
        resamples: Number of draws.
        seed: Of the draws.

    Returns:
        NaN where a draw holds no value of that column.
    """
    cases, columns = values.shape
    generator = np.random.default_rng(seed)
    defined = np.isfinite(values)
    filled = np.where(defined, values, 0.0)
    means = np.empty((resamples, columns))
    rows = max(1, _BLOCK // max(1, cases))
    for start in range(0, resamples, rows):
        stop = min(start + rows, resamples)
        # How often each case is drawn, (rows, cases): a mean of a draw is then a matrix product.
        times = generator.multinomial(cases, np.full(cases, 1 / cases), size=stop - start).astype(np.float64)
        with np.errstate(invalid="ignore"):
            means[start:stop] = (times @ filled) / (times @ defined)
    return means


def _summary(values: Floats, resampled: Floats, reasons: Sequence[str | None]) -> Summary:
    """Summary of the mean over columns; both arrays hold one column per region.

    Args:
        values: (cases, regions).
        resampled: (resamples, regions).
        reasons: Why a value is missing, None where it is not.
    """
    columns = [column[np.isfinite(column)] for column in values.T]
    filled = [column for column in columns if len(column)]
    undefined = {reason: reasons.count(reason) for reason in dict.fromkeys(reasons) if reason is not None}
    scored = int(np.isfinite(values).any(axis=1).sum())
    if not filled:
        return Summary(mean=None, median=None, ci95=None, cases=0, undefined=undefined)
    return Summary(
        mean=float(np.mean([column.mean() for column in filled])),
        median=float(np.mean([np.median(column) for column in filled])),
        ci95=_interval(resampled) if scored > 1 else None,
        cases=scored,
        undefined=undefined,
    )


def _interval(resampled: Floats) -> tuple[float, float]:
    defined = np.isfinite(resampled)
    counts = defined.sum(axis=1)
    drawn = np.where(defined, resampled, 0.0).sum(axis=1)[counts > 0] / counts[counts > 0]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def _score(case: CaseScores, region: str, metric: str) -> Score | None:
    return case.regions.get(region, {}).get(metric)


def _value(case: CaseScores, region: str, metric: str) -> Any:
    score = _score(case, region, metric)
    return np.nan if score is None or score.value is None else score.value


def _reason(case: CaseScores, region: str, metric: str) -> str | None:
    score = _score(case, region, metric)
    if score is None:
        return "not scored"
    return (score.reason or "not defined") if score.value is None else None
