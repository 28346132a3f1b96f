"""The imaged part of a volume, with its holes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_fill_holes

from autoseg.imageops.crop import nonzero_box
from autoseg.preprocessing.body import body_mask


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), channels=st.integers(1, 2), share=st.floats(0.3, 0.95))
def test_body_equals_filled_nonzero_of_the_whole_volume(seed: int, channels: int, share: float) -> None:
    generator = np.random.default_rng(seed)
    image = np.zeros((channels, 12, 12, 12), np.float32)
    image[:, 2:10, 1:11, 3:12] = generator.random((channels, 8, 10, 9)) < share
    if not image.any():
        return
    box = nonzero_box(image)
    expected = binary_fill_holes(image.any(axis=0))[box]
    np.testing.assert_array_equal(body_mask(image[(slice(None), *box)]), expected)


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_uniform_volumes(value: float) -> None:
    assert (body_mask(np.full((1, 3, 3, 3), value, np.float32)) == (value != 0)).all()


def test_the_image_is_not_changed() -> None:
    image = np.random.default_rng(0).integers(0, 2, (2, 5, 5, 5)).astype(np.float32)
    before = image.copy()
    body_mask(image)
    np.testing.assert_array_equal(image, before)
