"""The box of what is not zero, and padding."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg.imageops.crop import box_bounds, nonzero_box, pad_to


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), points=st.integers(1, 5), channels=st.integers(1, 3))
def test_box_is_the_smallest_that_holds_every_nonzero_voxel(seed: int, points: int, channels: int) -> None:
    generator = np.random.default_rng(seed)
    image = np.zeros((channels, *generator.integers(1, 9, 3)), np.float32)
    for _ in range(points):
        image[tuple(generator.integers(0, size) for size in image.shape)] = generator.choice([-1.0, 2.0])
    coordinates = np.argwhere(image.any(axis=0))
    start, stop = box_bounds(nonzero_box(image))
    assert start == tuple(coordinates.min(axis=0))
    assert stop == tuple(coordinates.max(axis=0) + 1)


def test_box_of_an_empty_image_is_the_whole_volume() -> None:
    assert box_bounds(nonzero_box(np.zeros((2, 3, 4, 5)))) == ((0, 0, 0), (3, 4, 5))


def test_padding_is_even_and_tells_where_the_input_lies() -> None:
    array = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    padded, where = pad_to(array, (5, 3, 6), value=-1)
    assert padded.shape == (1, 5, 3, 6)
    np.testing.assert_array_equal(padded[(slice(None), *where)], array)
    assert (padded == -1).sum() == padded.size - array.size


def test_padding_leaves_a_large_enough_array_alone() -> None:
    array = np.ones((4, 4))
    assert pad_to(array, (2, 4))[0] is array
