"""Matrix resampling equals scikit-image's; labels equal the per-class argmax."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import zoom
from skimage.transform import resize

from autoseg.core.geometry import Shape3
from autoseg.imageops.resample import (
    axis_matrix,
    nearest_along_separate_axis,
    resample_image,
    resample_labels,
    resampled_shape,
    separate_axis,
)
from autoseg.specs.plan import Resampling

RULE = Resampling()
ISOTROPIC = (1.0, 1.0, 1.0)
SHAPES = st.tuples(*[st.integers(2, 24)] * 3)


def _resize(volume: npt.NDArray[Any], shape: tuple[int, ...], order: int) -> npt.NDArray[np.float64]:
    return np.asarray(resize(volume.astype(float), shape, order, mode="edge", anti_aliasing=False, clip=True))


def _per_class_argmax(
    labels: npt.NDArray[np.int16], shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_]]:
    """Label with the largest indicator and whether it won clearly."""
    values = np.unique(labels)
    scores = np.stack([_resize(labels == value, shape, 1) for value in values])
    ranked = np.sort(scores, axis=0)
    clear = ranked[-1] - (ranked[-2] if len(values) > 1 else 0) > 1e-9
    return values[scores.argmax(axis=0)], clear


@settings(max_examples=40)
@given(shape=SHAPES, target=SHAPES, seed=st.integers(0, 99))
def test_image_equals_scikit_image(shape: Shape3, target: Shape3, seed: int) -> None:
    volume = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    ours = resample_image(volume[None], target, spacing_in_mm=ISOTROPIC, spacing_out_mm=ISOTROPIC, rule=RULE)[0]
    np.testing.assert_allclose(ours, _resize(volume, target, 3), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("sizes", [(300, 61), (150, 333), (7, 200)])
def test_long_axes_equal_scikit_image_across_blocks(order: int, sizes: tuple[int, int]) -> None:
    volume = np.random.default_rng(order).standard_normal((5, sizes[0], 4)).astype(np.float32)
    target = (5, sizes[1], 6)
    rule = Resampling(image_order=order)
    ours = resample_image(volume[None], target, spacing_in_mm=ISOTROPIC, spacing_out_mm=ISOTROPIC, rule=rule)[0]
    np.testing.assert_allclose(ours, _resize(volume, target, order), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("depth", [4, 9, 15])
def test_a_separate_axis_is_nearest_and_its_slices_are_clipped_alone(axis: int, depth: int) -> None:
    volume = np.random.default_rng(axis).standard_normal((9, 9, 9)).astype(np.float32)
    target = [13, 13, 13]
    target[axis] = depth
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = 5.0
    ours = resample_image(
        volume[None], (target[0], target[1], target[2]), spacing_in_mm=(spacing[0], spacing[1], spacing[2]),
        spacing_out_mm=ISOTROPIC, rule=RULE,
    )[0]  # fmt: skip
    slices = [_resize(volume.take(index, axis=axis), (13, 13), 3) for index in range(9)]
    expected = np.stack(slices, axis=axis).take(nearest_along_separate_axis(9, depth), axis=axis)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


def test_nearest_slices_have_the_nearest_centres() -> None:
    np.testing.assert_array_equal(nearest_along_separate_axis(3, 6), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(nearest_along_separate_axis(4, 2), [1, 3])


@settings(max_examples=40)
@given(shape=SHAPES, target=SHAPES, seed=st.integers(0, 99), classes=st.integers(1, 5))
def test_labels_equal_the_argmax_of_every_indicator(shape: Shape3, target: Shape3, seed: int, classes: int) -> None:
    labels = np.random.default_rng(seed).integers(-1, classes, shape).astype(np.int16)
    ours = resample_labels(labels, target, spacing_in_mm=ISOTROPIC, spacing_out_mm=ISOTROPIC, rule=RULE)
    expected, clear = _per_class_argmax(labels, target)
    assert ours.dtype == labels.dtype
    np.testing.assert_array_equal(ours[clear], expected[clear])


def test_labels_do_not_depend_on_the_slab(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.random.default_rng(3).integers(0, 4, (12, 9, 8)).astype(np.int16)
    keywords = {"spacing_in_mm": ISOTROPIC, "spacing_out_mm": ISOTROPIC, "rule": RULE}
    whole = resample_labels(labels, (17, 13, 5), **keywords)  # type: ignore[arg-type]
    monkeypatch.setattr("autoseg.imageops._label_votes._SLAB_VOXELS", 150)
    np.testing.assert_array_equal(resample_labels(labels, (17, 13, 5), **keywords), whole)  # type: ignore[arg-type]


def test_a_tie_goes_to_the_nearest_label() -> None:
    labels = np.array([[[1, 2]]], np.int16)
    ours = resample_labels(labels, (1, 1, 3), spacing_in_mm=ISOTROPIC, spacing_out_mm=ISOTROPIC, rule=RULE)
    np.testing.assert_array_equal(ours[0, 0, [0, 2]], [1, 2])
    # The middle of three lies between both; scipy's nearest is the later one.
    assert ours[0, 0, 1] == int(_resize(labels, (1, 1, 3), 0)[0, 0, 1])


def test_a_tie_that_the_nearest_label_lost_goes_to_the_smallest() -> None:
    labels = np.array([[[3, 1], [1, 1]], [[2, 2], [2, 3]]], np.int16)
    ours = resample_labels(labels, (1, 1, 1), spacing_in_mm=ISOTROPIC, spacing_out_mm=ISOTROPIC, rule=RULE)
    assert ours.item() == 1


def test_labels_of_a_separate_axis_come_from_the_nearest_slice() -> None:
    labels = np.random.default_rng(0).integers(0, 3, (4, 6, 6)).astype(np.int16)
    ours = resample_labels(labels, (8, 6, 6), spacing_in_mm=(4, 1, 1), spacing_out_mm=(2, 1, 1), rule=RULE)
    np.testing.assert_array_equal(ours, labels.repeat(2, axis=0))


def test_label_order_zero_is_nearest() -> None:
    labels = np.random.default_rng(0).integers(0, 3, (4, 6, 6)).astype(np.int16)
    rule = Resampling(label_order=0)
    ours = resample_labels(labels, (7, 3, 9), spacing_in_mm=ISOTROPIC, spacing_out_mm=ISOTROPIC, rule=rule)
    np.testing.assert_array_equal(ours, _resize(labels, (7, 3, 9), 0))


def test_nothing_is_copied_where_no_size_changes() -> None:
    image, labels = np.ones((2, 3, 4, 5), np.float32), np.ones((3, 4, 5), np.int16)
    keywords = {"spacing_in_mm": ISOTROPIC, "spacing_out_mm": ISOTROPIC, "rule": RULE}
    assert resample_image(image, (3, 4, 5), **keywords) is image  # type: ignore[arg-type]
    assert resample_labels(labels, (3, 4, 5), **keywords) is labels  # type: ignore[arg-type]


@given(size_in=st.integers(1, 60), size_out=st.integers(1, 60), order=st.sampled_from([0, 1, 3]))
@settings(max_examples=60)
def test_every_row_of_a_matrix_sums_to_one(size_in: int, size_out: int, order: int) -> None:
    matrix = axis_matrix(size_in, size_out, order)
    assert matrix.shape == (size_out, size_in)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((5.0, 1.0, 1.0), (1.0, 1.0, 1.0), 0),
        ((1.0, 1.0, 1.0), (1.0, 1.0, 4.0), 2),
        ((3.0, 1.0, 1.0), (1.0, 1.0, 1.0), None),
        ((1.25, 0.24, 1.25), (9.0, 1.0, 1.0), None),
        ((1.0, 9.0, 1.0), (9.0, 1.0, 1.0), 1),
    ],
)
def test_separate_axis(
    before: tuple[float, float, float], after: tuple[float, float, float], expected: int | None
) -> None:
    assert separate_axis(before, after, 3.0) == expected


def test_shape_covers_the_same_extent() -> None:
    assert resampled_shape((119, 512, 512), (1.6, 0.743, 0.743), (1.0, 1.0, 1.0)) == (190, 380, 380)
    assert resampled_shape((1, 5, 5), (0.1, 1.0, 1.0), (9.0, 2.0, 2.0)) == (1, 2, 2)


CORNERS = Resampling(image_order=1, label_order=0, separate_z_ratio=1e6, align="corners")


@settings(max_examples=40)
@given(shape=SHAPES, target=SHAPES, seed=st.integers(0, 99))
def test_aligned_corners_equal_scipys_zoom(shape: Shape3, target: Shape3, seed: int) -> None:
    volume = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    labels = (volume > 0.5).astype(np.int16) + (volume > 1)
    factors = [after / before for before, after in zip(shape, target, strict=True)]
    same: dict[str, Any] = {"spacing_in_mm": ISOTROPIC, "spacing_out_mm": ISOTROPIC, "rule": CORNERS}
    ours = resample_image(volume[None], target, **same)[0]
    np.testing.assert_allclose(ours, zoom(volume.astype(float), factors, order=1, mode="nearest"), atol=1e-5)
    moved = resample_labels(labels, target, **same)
    np.testing.assert_array_equal(moved, zoom(labels, factors, order=0, mode="nearest"))
