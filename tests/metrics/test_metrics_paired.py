"""Differences of two methods on the same cases."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.core.errors import SpecError
from autoseg.metrics.aggregate import summarise
from autoseg.metrics.paired import paired_difference
from autoseg.specs.report import CaseScores, Score


def scored(liver, tumour=None):
    """Cases with these Dice values; None is undefined."""
    columns = {"liver": liver, **({} if tumour is None else {"tumour": tumour})}
    return [
        CaseScores(
            id=f"case{index}",
            regions={
                name: {"dice": Score(value=values[index], reason="" if values[index] is not None else "empty")}
                for name, values in columns.items()
            },
        )
        for index in range(len(liver))
    ]


def test_pairing_narrows_the_interval():
    rng = np.random.default_rng(0)
    hardness = rng.uniform(0.2, 0.9, 40)
    first, second = scored(hardness.tolist()), scored((hardness + 0.05 + rng.normal(0, 0.01, 40)).tolist())
    found = paired_difference(first, second, regions=("liver",), metric="dice")
    assert found.mean == pytest.approx(0.05, abs=0.01)
    low, high = found.ci95
    assert 0.03 < low < found.mean < high < 0.07
    alone = summarise(first)["liver"]["dice"].ci95
    assert high - low < (alone[1] - alone[0]) / 5


def test_the_mean_over_regions_is_that_of_the_summary():
    first = scored([0.5, 0.7, 0.9], [None, 0.2, 0.4])
    second = scored([0.6, 0.7, 0.8], [0.0, None, 0.9])
    found = paired_difference(first, second, regions=("liver", "tumour"), metric="dice")
    means = [summarise(cases)["mean"]["dice"].mean for cases in (first, second)]
    assert found.mean == pytest.approx(means[1] - means[0])


def test_equal_methods_do_not_differ():
    cases = scored([0.5, 0.7, 0.9])
    found = paired_difference(cases, cases, regions=("liver",), metric="dice")
    assert (found.mean, found.ci95) == (0.0, (0.0, 0.0))


def test_what_is_not_defined_has_no_difference():
    assert paired_difference(scored([None]), scored([0.5]), regions=("liver",), metric="dice").mean is None
    single = paired_difference(scored([0.25]), scored([0.5]), regions=("liver",), metric="dice")
    assert (single.mean, single.ci95) == (0.25, None)


def test_other_cases_are_refused():
    with pytest.raises(SpecError, match="not scored on the same cases: compare the cases that both have"):
        paired_difference(scored([0.1]), scored([0.1, 0.2]), regions=("liver",), metric="dice")
