"""Pooled foreground statistics against sampling with replacement, which they replace."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.planning.intensities import LARGEST_SUMMARY, pool, summarize


def test_pooled_statistics_are_what_sampling_scatters_around() -> None:
    rng = np.random.RandomState(0)
    cases = [rng.gamma(shape, 40, size).astype(np.float32) for shape, size in ((1, 500), (2, 9000), (5, 2000))]
    draws = np.concatenate([np.random.RandomState(1234).choice(case, 300_000) for case in cases])
    found = pool([summarize(case) for case in cases])
    assert found.mean == pytest.approx(draws.mean(), rel=5e-3)
    assert found.std == pytest.approx(draws.std(), rel=5e-3)
    expected = np.percentile(draws, (0.5, 50, 99.5))
    assert [found.percentile_00_5, found.median, found.percentile_99_5] == pytest.approx(list(expected), rel=1e-2)
    assert (found.minimum, found.maximum) == (draws.min(), draws.max())


def test_one_case_equals_numpy() -> None:
    values = np.random.RandomState(1).randint(-200, 300, 10_001).astype(np.float32)
    found = pool([summarize(values)])
    assert found.mean == pytest.approx(values.mean(dtype=np.float64))
    assert found.std == pytest.approx(values.std(dtype=np.float64))
    assert found.median == np.median(values)


def test_cases_without_foreground_count_for_nothing() -> None:
    empty, filled = summarize(np.empty(0, np.float32)), summarize(np.array([3, 5], np.float32))
    assert pool([empty, filled]) == pool([filled])
    assert pool([empty]).mean == 0


def test_large_cases_are_condensed_to_equal_bins() -> None:
    values = np.random.RandomState(2).standard_normal(300_000).astype(np.float32)
    summary = summarize(values)
    assert len(summary.values) == LARGEST_SUMMARY
    assert summary.counts.sum() == values.size
    found = pool([summary])
    assert found.percentile_99_5 == pytest.approx(np.percentile(values, 99.5), rel=1e-3)
    assert found.std == pytest.approx(values.std(dtype=np.float64))
