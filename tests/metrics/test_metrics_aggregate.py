"""Summaries: means, medians, intervals and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.core.errors import SpecError
from autoseg.metrics.aggregate import bootstrap_means, summarise
from autoseg.specs.report import CaseScores, Score

UNDEFINED = Score(value=None, reason="empty in both")


def case(case_id: str, **regions: float | None) -> CaseScores:
    scores = {name: UNDEFINED if value is None else Score(value=value) for name, value in regions.items()}
    return CaseScores(id=case_id, regions={name: {"dice": score} for name, score in scores.items()})


def test_means_leave_undefined_scores_out_and_count_them() -> None:
    summary = summarise([case("a", liver=0.9, tumour=0.5), case("b", liver=0.7, tumour=None), case("c", liver=0.5)])
    liver, tumour, mean = summary["liver"]["dice"], summary["tumour"]["dice"], summary["mean"]["dice"]
    assert (liver.mean, liver.median, liver.cases) == (pytest.approx(0.7), 0.7, 3)
    assert (tumour.mean, tumour.cases) == (0.5, 1)
    assert tumour.undefined == {"empty in both": 1, "not scored": 1}
    assert tumour.ci95 is None  # one value has no spread
    assert (mean.mean, mean.cases) == (pytest.approx(0.6), 3)  # of the regions' means, not of all values
    assert mean.undefined == {"empty in both": 1, "not scored": 1}


def test_nothing_defined_gives_no_numbers() -> None:
    summary = summarise([case("a", liver=None), case("b", liver=None)])["liver"]["dice"]
    assert (summary.mean, summary.median, summary.ci95, summary.cases) == (None, None, None, 0)
    assert summary.undefined == {"empty in both": 2}


def test_the_interval_is_that_of_the_normal_distribution_for_many_cases() -> None:
    values = np.random.default_rng(3).normal(0.8, 0.1, 400)
    summary = summarise([case(str(index), liver=float(value)) for index, value in enumerate(values)])["liver"]["dice"]
    assert summary.ci95 is not None
    half = 1.96 * values.std() / 20
    assert summary.ci95 == pytest.approx((values.mean() - half, values.mean() + half), abs=1.5e-3)


def test_the_same_cases_give_the_same_interval_and_another_seed_another() -> None:
    values = np.array([[0.1, np.nan], [0.5, 1.0], [0.9, 3.0]])
    assert np.array_equal(bootstrap_means(values), bootstrap_means(values), equal_nan=True)
    assert not np.array_equal(bootstrap_means(values, seed=1), bootstrap_means(values, seed=2), equal_nan=True)


def test_bootstrap_means_are_means_of_drawn_cases() -> None:
    means = bootstrap_means(np.array([[1.0, np.nan], [2.0, 4.0]]), resamples=500)
    assert set(np.unique(means[:, 0])) == {1.0, 1.5, 2.0}
    assert set(np.unique(means[~np.isnan(means[:, 1]), 1])) == {4.0}
    assert np.isnan(means[means[:, 0] == 1.0, 1]).all()  # only the first case drawn: no value


def test_a_region_may_not_be_called_mean() -> None:
    with pytest.raises(SpecError, match="a region is called 'mean'"):
        summarise([case("a", mean=0.5)])
