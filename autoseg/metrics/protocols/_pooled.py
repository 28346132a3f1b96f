"""Summaries that are not means over cases: sums over the test set first, one quotient at the end."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.specs.report import CaseScores, Summary


def total(cases: Sequence[CaseScores], region: str, metric: str) -> float:
    """Sum over cases; cases without a value add nothing."""
    return sum(column(cases, region, metric))


def column(cases: Sequence[CaseScores], region: str, metric: str) -> list[float]:
    """The values of the cases that have one."""
    scores = (case.regions[region][metric] for case in cases)
    return [score.value for score in scores if score.value is not None]


def pooled(value: float | None, cases: Sequence[CaseScores], *, reason: str = "") -> Summary:
    """Summary of a value that exists only for the whole test set: no median, no interval.

    Args:
        value: The value.
        cases: Of the test set.
        reason: Why there is no value.
    """
    undefined = {reason: len(cases)} if value is None else {}
    return Summary(mean=value, median=None, ci95=None, cases=0 if value is None else len(cases), undefined=undefined)


def quotient(numerator: float, denominator: float) -> float | None:
    """None for a denominator of 0."""
    return numerator / denominator if denominator else None
