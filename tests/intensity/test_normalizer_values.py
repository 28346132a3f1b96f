"""What each normaliser computes."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.core.errors import DatasetError, SpecError
from autoseg.intensity import normalizers
from autoseg.specs.fingerprint import IntensityStatistics


def test_zscore_standardises_each_case() -> None:
    channel = np.random.default_rng(0).normal(3e5, 2e3, (20, 20, 20)).astype(np.float32)
    expected = (channel.astype(float) - channel.mean(dtype=float)) / channel.std(dtype=float)
    result = normalizers.build("zscore", statistics=None)(channel, None)
    np.testing.assert_allclose(result, expected, atol=2e-4)
    assert abs(result.std(dtype=float) - 1) < 1e-6


def test_masked_zscore_leaves_the_outside_alone() -> None:
    channel = np.random.default_rng(0).normal(50, 5, (10, 10, 10)).astype(np.float32)
    mask = np.zeros(channel.shape, bool)
    mask[2:8] = True
    channel[~mask] = 0
    result = normalizers.build("zscore", statistics=None)(channel, mask)
    assert (result[~mask] == 0).all()
    assert abs(result[mask].mean()) < 1e-5
    assert abs(result[mask].std() - 1) < 1e-5


def test_ct_clip_uses_the_data_sets_window() -> None:
    statistics = IntensityStatistics(
        mean=100, median=100, std=50, minimum=-900, maximum=900, percentile_00_5=-50, percentile_99_5=250
    )
    channel = np.array([[[-1000, -50, 100, 250, 3000]]], np.float32)
    result = normalizers.build("ct_clip", statistics=statistics)(channel, None)
    np.testing.assert_allclose(result.ravel(), [-3, -3, 0, 3, 3])


def test_ct_clip_without_statistics_is_refused() -> None:
    with pytest.raises(SpecError, match="ct_clip needs the data set's foreground intensities"):
        normalizers.build("ct_clip", statistics=None)


def test_rescale_reaches_both_ends() -> None:
    result = normalizers.build("rescale_to_0_1", statistics=None)(np.array([[[-5, 0, 15]]], np.float32), None)
    np.testing.assert_allclose(result.ravel(), [0, 0.25, 1])


def test_rgb_divides_by_255() -> None:
    result = normalizers.build("rgb_to_0_1", statistics=None)(np.array([[[0, 51, 255]]], np.float32), None)
    np.testing.assert_allclose(result.ravel(), [0, 0.2, 1])


@pytest.mark.parametrize("value", [-1, 256])
def test_rgb_refuses_what_is_not_8_bit(value: float) -> None:
    with pytest.raises(DatasetError, match="are not 8-bit"):
        normalizers.build("rgb_to_0_1", statistics=None)(np.full((1, 1, 2), value, np.float32), None)


def test_none_changes_nothing() -> None:
    channel = np.array([[[-3, 1e5]]], np.float32)
    np.testing.assert_array_equal(normalizers.build("none", statistics=None)(channel.copy(), None), channel)
