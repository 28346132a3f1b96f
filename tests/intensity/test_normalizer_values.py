"""What each normaliser computes."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.exposure import equalize_adapthist, equalize_hist

from autoseg.core.errors import DatasetError, RegistryError, SpecError
from autoseg.intensity import modality_of, normalizers, steps_of, title_of
from autoseg.specs.document import Component
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


def test_hu_window_clips_and_scales() -> None:
    channel = np.array([[[-1000, -100, 150, 400, 3000]]], np.float32)
    scaled = normalizers.build("hu_window", statistics=None)(channel.copy(), None)
    np.testing.assert_allclose(scaled.ravel(), [0, 0, 0.5, 1, 1])
    options = {"low_hu": -50, "high_hu": 200, "to_0_1": False}
    clipped = normalizers.build("hu_window", options, statistics=None)(channel.copy(), None)
    np.testing.assert_array_equal(clipped.ravel(), [-50, -50, 150, 200, 200])


def test_hu_window_must_be_a_window() -> None:
    with pytest.raises(RegistryError, match="low_hu 400 must be below high_hu 400"):
        normalizers.options("hu_window", {"low_hu": 400})


def foreground(low: float, high: float) -> IntensityStatistics:
    middle = (low + high) / 2
    return IntensityStatistics(
        mean=middle, median=middle, std=1, minimum=low, maximum=high, percentile_00_5=low, percentile_99_5=high
    )


def test_hu_window_that_shows_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match=r"-100..400 HU does not show the foreground, 1050..1200"):
        normalizers.build("hu_window", statistics=foreground(1050, 1200))  # stored with an offset of 1024
    normalizers.build("hu_window", statistics=foreground(0, 0))  # no foreground at all: nothing to compare with


def test_equalisation_is_scikit_images() -> None:
    channel = np.random.default_rng(0).gamma(2, 30, (5, 12, 11)).astype(np.float32)
    found = normalizers.build("hist_equalize", statistics=None)(channel.copy(), None)
    np.testing.assert_allclose(found, equalize_hist(channel), atol=1e-6)
    by_slice = normalizers.build("hist_equalize", {"scope": "slice", "bins": 32}, statistics=None)(channel.copy(), None)
    np.testing.assert_allclose(by_slice, [equalize_hist(plane, 32) for plane in channel], atol=1e-6)
    local = normalizers.build("hist_equalize", {"scope": "clahe"}, statistics=None)(channel.copy(), None)
    expected = [equalize_adapthist((plane - plane.min()) / (plane.max() - plane.min())) for plane in channel]
    np.testing.assert_allclose(local, expected, atol=1e-5)


def test_equalised_values_are_evenly_frequent() -> None:
    channel = np.random.default_rng(0).normal(50, 20, (20, 30, 30)).astype(np.float32)
    found = normalizers.build("hist_equalize", {"bins": 4096}, statistics=None)(channel, None)
    counts, _ = np.histogram(found, 10, (0, 1))
    assert counts.max() / counts.min() < 1.1


@pytest.mark.parametrize("scope", ["volume", "slice", "clahe"])
def test_equalisation_inside_a_mask_leaves_the_outside(scope: str) -> None:
    channel = np.random.default_rng(0).normal(50, 20, (4, 12, 12)).astype(np.float32)
    mask = np.zeros(channel.shape, bool)
    mask[1:3, 2:9, 3:] = True
    before = channel.copy()
    found = normalizers.build("hist_equalize", {"scope": scope}, statistics=None)(channel, mask)
    np.testing.assert_array_equal(found[~mask], before[~mask])
    assert found[mask].min() >= 0
    assert 0.9 < found[mask].max() <= 1
    assert (found[mask] != before[mask]).all()


@pytest.mark.parametrize("scope", ["slice", "clahe"])
def test_equalisation_of_empty_slices_is_finite(scope: str) -> None:
    channel = np.zeros((3, 16, 16), np.float32)
    channel[1] = np.arange(256).reshape(16, 16)
    found = normalizers.build("hist_equalize", {"scope": scope}, statistics=None)(channel, None)
    assert np.isfinite(found).all()
    assert np.ptp(found[0]) == 0


def test_chain_is_one_step_after_the_other() -> None:
    channel = np.random.default_rng(0).normal(100, 300, (4, 10, 10)).astype(np.float32)
    window = np.clip(channel, -100, 400)
    expected = equalize_hist((window + 100) / 500)
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    found = normalizers.build("chain", statistics=None)(channel.copy(), None)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found.min(), found.max()) == (0, 1)
    one = {"steps": [{"name": "hu_window", "options": {"high_hu": 200}}]}
    alone = normalizers.build("hu_window", {"high_hu": 200}, statistics=None)(channel.copy(), None)
    np.testing.assert_array_equal(normalizers.build("chain", one, statistics=None)(channel.copy(), None), alone)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([{"name": "hu_windw"}], "unknown normalizer 'hu_windw': did you mean 'hu_window'?"),
        ([{"name": "hu_window", "options": {"low": 3}}], "option 'low' = 3: did you mean 'low_hu'?"),
        ([], "normalizer 'chain', option 'steps'"),
    ],
)
def test_a_wrong_step_is_refused_before_any_work(steps: list[object], said: str) -> None:
    with pytest.raises(RegistryError) as error:
        normalizers.options("chain", {"steps": steps})
    assert said in str(error.value)


def test_chains_are_seen_through() -> None:
    inner = Component(name="chain", options={"steps": [{"name": "zscore"}, {"name": "none"}]})
    outer = Component(name="chain", options={"steps": [{"name": "hu_window"}, inner.model_dump()]})
    assert title_of(outer) == "hu_window, zscore, none"
    assert (modality_of(outer), modality_of(inner), modality_of(Component(name="zscore"))) == ("CT", None, None)
    assert [step.name for step in steps_of(Component(name="chain"))] == ["hu_window", "hist_equalize", "rescale_to_0_1"]
