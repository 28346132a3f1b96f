"""Spacing, transpose and topology rules, as laws and at their edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.core.errors import BudgetError
from autoseg.planning.spacing import CaseGrids, canonical_order, resampled_shapes, target_spacing, transpose_order
from autoseg.planning.topology import (
    MINIMUM_EDGE,
    cut,
    features_per_stage,
    initial_patch,
    pad_to_multiple,
    pool,
    shrink,
    smaller_patch,
)

SPACINGS = st.lists(st.floats(0.3, 8.0), min_size=3, max_size=3)
SHAPES = st.lists(st.integers(4, 600), min_size=3, max_size=3)


def grids(spacings: list[list[float]], shapes: list[list[int]]) -> CaseGrids:
    return CaseGrids(np.array(spacings, dtype=float), np.array(shapes))


def test_median_spacing_where_axes_are_alike() -> None:
    target = target_spacing(grids([[1, 1, 1], [2, 1, 1], [3, 1, 1]], [[100, 200, 200]] * 3))
    assert target.spacing_mm.tolist() == [2, 1, 1]


def test_much_coarser_axis_takes_the_tenth_percentile() -> None:
    spacings = [[5.0, 1, 1]] + [[10.0, 1, 1]] * 10
    target = target_spacing(grids(spacings, [[10, 200, 200]] * 11))
    assert target.spacing_mm.tolist() == [10.0, 1, 1]
    target = target_spacing(grids([[5.0, 1, 1]] * 2 + [[10.0, 1, 1]] * 9, [[10, 200, 200]] * 11))
    assert target.spacing_mm.tolist() == [5.0, 1, 1]
    assert "10th percentile" in target.reason


def test_coarser_axis_with_many_slices_keeps_its_median() -> None:
    spacings = [[1.0, 1, 1]] * 5 + [[10.0, 1, 1]] * 6
    assert target_spacing(grids(spacings, [[100, 200, 200]] * 11)).spacing_mm[0] == 10


def test_tenth_percentile_is_not_finer_than_the_other_axes() -> None:
    target = target_spacing(grids([[0.2, 1, 1]] * 5 + [[10.0, 1, 1]] * 6, [[10, 200, 200]] * 11))
    assert target.spacing_mm[0] == pytest.approx(1 + 1e-5, abs=1e-12)


@pytest.mark.parametrize(
    ("spacing", "order"),
    [([1, 1, 1], (0, 1, 2)), ([1, 5, 1], (1, 0, 2)), ([1, 1, 5], (2, 0, 1)), ([2, 5, 5], (1, 0, 2))],
)
def test_coarsest_axis_first(spacing: list[float], order: tuple[int, int, int]) -> None:
    assert transpose_order(np.array(spacing, dtype=float)) == order


def test_resampled_shape_rounds_halves_to_even() -> None:
    assert resampled_shapes(grids([[0.5, 1, 1]], [[5, 7, 9]]), np.ones(3)).tolist() == [[2, 7, 9]]
    assert resampled_shapes(grids([[0.5, 1, 1]], [[7, 7, 9]]), np.ones(3)).tolist() == [[4, 7, 9]]


@pytest.mark.parametrize(
    ("code", "order"), [("SPL", (0, 1, 2)), ("SAR", (0, 1, 2)), ("LPS", (2, 1, 0)), ("AIR", (1, 0, 2))]
)
def test_canonical_order_of_stored_axes(code: str, order: tuple[int, int, int]) -> None:
    assert canonical_order(code) == order


@given(SPACINGS, SHAPES)
def test_pooled_patch_is_a_multiple_of_the_strides_and_covers_the_start(spacing: list[float], shape: list[int]) -> None:
    start = initial_patch(spacing, shape)
    pooling = pool(spacing, start)
    divisors = [math.prod(column) for column in zip(*pooling.strides, strict=True)]
    assert list(pooling.divisors) == divisors
    for edge, divisor, first in zip(pooling.patch_size_voxels, divisors, start, strict=True):
        assert edge % divisor == 0
        assert first <= edge < first + divisor
        assert divisor == 1 or edge // divisor >= MINIMUM_EDGE
    assert len(pooling.kernels) == pooling.stages
    assert pooling.strides[0] == (1, 1, 1)
    assert pooling.kernels[-1] == (3, 3, 3)


@given(SPACINGS, st.lists(st.integers(32, 600), min_size=3, max_size=3))
def test_shrinking_comes_to_an_end(spacing: list[float], shape: list[int]) -> None:
    # A single step may grow the volume, where a shorter axis lets another one be pooled and padded.
    pooling = pool(spacing, initial_patch(spacing, shape))
    seen = set()
    while math.prod(pooling.patch_size_voxels) > 4096:
        assert pooling.patch_size_voxels not in seen
        seen.add(pooling.patch_size_voxels)
        pooling = shrink(spacing, pooling, shape)
    assert min(pooling.patch_size_voxels) >= 1


def test_a_flat_axis_does_not_vanish() -> None:
    pooling = pool([1, 1, 1], [1, 64, 64])
    assert shrink([1, 1, 1], pooling, [2, 512, 512]).patch_size_voxels[0] == 1


def test_nothing_left_to_shrink() -> None:
    with pytest.raises(BudgetError, match="no patch fits"):
        shrink([1, 1, 1], pool([1, 1, 1], [1, 1, 1]), [1, 1, 1])


@given(SPACINGS, SHAPES)
def test_kernels_stay_three_once_they_are(spacing: list[float], shape: list[int]) -> None:
    kernels = np.array(pool(spacing, shape).kernels)
    assert (np.diff(kernels, axis=0) >= 0).all()


def test_a_lone_axis_is_pooled_from_twelve_voxels() -> None:
    assert pool([1, 1, 1], [11, 4, 4]).stages == 1
    assert pool([1, 1, 1], [12, 4, 4]).strides[1:] == ((2, 1, 1),)


def test_clipped_first_patch_has_the_volume_of_a_cube() -> None:
    assert initial_patch((1, 1, 1), (1000, 1000, 1000)) == (256, 256, 256)
    assert initial_patch((1, 1), (4000, 4000)) == (2048, 2048)
    assert initial_patch((1, 1, 1), (100, 40.5, 1000)) == (100, 40.5, 256)


def test_padding_and_widths() -> None:
    assert pad_to_multiple((40.5, 41, 48), (8, 1, 16)) == (48, 41, 48)
    assert features_per_stage(32, 320, 6) == (32, 64, 128, 256, 320, 320)
    assert cut((1, 3), 4) == (1, 3, 3, 3)
    assert cut((1, 3, 4), 2) == (1, 3)


@given(
    st.lists(st.tuples(st.sampled_from([1, 2, 4, 8, 16]), st.integers(1, 12)), min_size=2, max_size=3),
    st.floats(0.01, 1.0),
)
def test_part_of_a_patch(axes: list[tuple[int, int]], share: float) -> None:
    divisors = tuple(divisor for divisor, _ in axes)
    patch = tuple(divisor * blocks for divisor, blocks in axes)
    most = share * math.prod(patch)
    part = smaller_patch(patch, divisors, most_voxels=most)
    assert all(edge % divisor == 0 for edge, divisor in zip(part, divisors, strict=True))
    assert all(
        min(2 * divisor, edge) <= smaller <= edge for smaller, edge, divisor in zip(part, patch, divisors, strict=True)
    )
    if math.prod(part) > most:  # nothing more to take
        assert all(edge < 3 * divisor for edge, divisor in zip(part, divisors, strict=True))


def test_parts_keep_the_proportions() -> None:
    assert smaller_patch((112, 112, 144), (16, 16, 16), most_voxels=0.35 * 112 * 112 * 144) == (80, 80, 96)
    assert smaller_patch((64, 64), (16, 16), most_voxels=64 * 64) == (64, 64)
