"""Every normaliser, found by the registry, keeps the same promises."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import BaseModel, ValidationError

from autoseg.intensity import Normalizer, normalizers
from autoseg.specs.fingerprint import IntensityStatistics

STATISTICS = IntensityStatistics(
    mean=99.36, median=100, std=35.88, minimum=-800, maximum=900, percentile_00_5=-11, percentile_99_5=200
)


def _build(name: str) -> Normalizer:
    built: Normalizer = normalizers.build(name, statistics=STATISTICS)
    return built


def _channel(seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0, 255, (6, 7, 8)).astype(np.float32)


@pytest.mark.parametrize("name", normalizers.names())
class TestEveryNormalizer:
    def test_shape_type_and_values_are_sound(self, name: str) -> None:
        result = _build(name)(_channel(), None)
        assert result.shape == (6, 7, 8)
        assert result.dtype == np.float32
        assert np.isfinite(result).all()

    def test_a_constant_channel_stays_finite(self, name: str) -> None:
        for value in (0, 7):
            assert np.isfinite(_build(name)(np.full((3, 3, 3), value, np.float32), None)).all()

    def test_an_empty_mask_is_survived(self, name: str) -> None:
        assert np.isfinite(_build(name)(_channel(), np.zeros((6, 7, 8), bool))).all()

    def test_result_does_not_depend_on_earlier_cases(self, name: str) -> None:
        normalize = _build(name)
        first = normalize(_channel(), None).copy()
        normalize(_channel(1), None)
        np.testing.assert_array_equal(normalize(_channel(), None), first)

    def test_memory_layout_does_not_matter(self, name: str) -> None:
        turned = np.ascontiguousarray(_channel().transpose(2, 0, 1)).transpose(1, 2, 0)
        np.testing.assert_allclose(_build(name)(turned, None), _build(name)(_channel(), None), rtol=1e-5, atol=1e-5)

    def test_brighter_stays_brighter(self, name: str) -> None:
        channel = _channel()
        order = np.argsort(channel, axis=None)
        assert (np.diff(_build(name)(channel.copy(), None).ravel()[order]) >= 0).all()

    def test_options_are_frozen_and_closed(self, name: str) -> None:
        options = normalizers.options(name)
        assert isinstance(options, BaseModel)
        assert options.model_config.get("frozen")
        with pytest.raises(ValidationError, match="nonsense"):
            type(options).model_validate({"nonsense": 1})
