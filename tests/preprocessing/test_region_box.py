"""A region of a case: the same voxels as the whole case has there, and boxes that survive every frame."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.imageops.crop import common_box, mask_box
from autoseg.io.images import write_label
from autoseg.preprocessing.case import Frame, preprocess_case
from autoseg.preprocessing.extent import MOST_CASES, organ_extents_mm
from autoseg.preprocessing.masks import labels_on_plan_grid
from autoseg.specs.document import Component
from autoseg.specs.fingerprint import IntensityStatistics
from autoseg.specs.plan import Preprocessing

STATISTICS = IntensityStatistics(
    mean=0.0, median=0.0, std=1.0, minimum=-1.0, maximum=1.0, percentile_00_5=-1.0, percentile_99_5=1.0
)
SPACE = LabelSpace.parse({"background": 0, "organ": 1})
SHAPE = (9, 11, 13)

orders = st.sampled_from(list(itertools.permutations(range(3))))
signs = st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3)


def section(transpose=(0, 1, 2), spacing_mm=(1.0, 1.0, 1.0)) -> Preprocessing:
    return Preprocessing(
        orientation="canonical",
        transpose=transpose,
        spacing_mm=spacing_mm,
        normalization=(Component(name="zscore"),),
        mask_normalization=(False,),
        intensities=(STATISTICS,),
    )


def turned(order, sign, spacing_mm=(1.0, 1.0, 1.0)) -> Geometry:
    direction = np.eye(3)[:, list(order)] * np.array(sign)
    rows = tuple(tuple(float(value) for value in row) for row in direction)
    return Geometry(SHAPE, spacing_mm, (0.0, 0.0, 0.0), rows)


def box_of(corners) -> tuple[slice, slice, slice]:
    first, second, third = (slice(min(pair), max(pair) + 1) for pair in corners)
    return (first, second, third)


boxes = st.tuples(*[st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)) for size in SHAPE]).map(box_of)


@given(order=orders, sign=signs, transpose=orders, box=boxes)
@settings(max_examples=40)
def test_a_box_goes_to_the_plans_axes_and_back(order, sign, transpose, box) -> None:
    frame = Frame.of(turned(order, sign), section(transpose))
    mask = np.zeros(SHAPE, bool)
    mask[box] = True
    framed = frame.from_file(box, SHAPE)
    assert mask_box(frame.apply(mask)) == framed
    assert frame.to_file(framed, SHAPE) == box


@given(order=orders, sign=signs, transpose=orders, box=boxes, seed=st.integers(0, 9))
@settings(max_examples=15)
def test_a_region_holds_what_the_whole_case_holds_there(order, sign, transpose, box, seed) -> None:
    image = np.random.default_rng(seed).normal(size=(1, *SHAPE)).astype(np.float32) + 2
    geometry, plan = turned(order, sign), section(transpose)
    labels = (image[0] > 2.5).astype(np.uint8)
    whole, own, _, _ = preprocess_case(image, geometry, labels, plan, SPACE)
    region = Frame.of(geometry, plan).from_file(box, SHAPE)
    part, part_labels, record, _ = preprocess_case(image, geometry, labels, plan, SPACE, region=region)
    inside = tuple(slice(*ends) for ends in zip(record.crop_start_voxels, record.crop_stop_voxels, strict=True))
    np.testing.assert_allclose(part, whole[(slice(None), *inside)], rtol=1e-6)
    np.testing.assert_array_equal(part_labels, own[inside])
    assert part.flags.c_contiguous
    assert record.shape_voxels == part.shape[1:]


def test_only_the_region_is_resampled_and_masks_follow_it() -> None:
    geometry, plan = turned((0, 1, 2), (1.0, -1.0, 1.0), (2.0, 1.0, 1.0)), section((1, 0, 2), (0.5, 1.0, 0.8))
    image = np.random.default_rng(0).normal(size=(1, *SHAPE)).astype(np.float32) + 5
    box = (slice(2, 8), slice(1, 5), slice(3, 12))
    part, _, record, _ = preprocess_case(image, geometry, None, plan, SPACE, region=box)
    assert (record.crop_start_voxels, record.crop_stop_voxels) == ((2, 1, 3), (8, 5, 12))
    assert part.shape == (1, 12, 8, 11)
    mask = np.zeros(SHAPE, np.uint8)
    mask[Frame.of(geometry, plan).to_file(box, SHAPE)] = 1
    assert labels_on_plan_grid(mask, record, plan.resampling).all()


def test_a_region_is_cut_to_the_image_and_ignored_outside_of_it() -> None:
    geometry, plan = turned((0, 1, 2), (1.0, 1.0, 1.0)), section()
    image = np.zeros((1, *SHAPE), np.float32)
    image[0, 2:6, 3:9, 4:10] = 1 + np.random.default_rng(0).random((4, 6, 6))
    far = (slice(7, 9), slice(0, 2), slice(0, 2))
    assert preprocess_case(image, geometry, None, plan, SPACE, region=far)[0].shape == (1, 4, 6, 6)
    over = (slice(0, 4), slice(0, 20), slice(5, 8))
    assert preprocess_case(image, geometry, None, plan, SPACE, region=over)[0].shape == (1, 2, 6, 3)
    assert Frame.of(geometry, plan).image_box(image, plan) == (slice(2, 6), slice(3, 9), slice(4, 10))
    whole = plan.model_copy(update={"crop_to_nonzero": False})
    assert Frame.of(geometry, whole).image_box(image, whole) == tuple(slice(0, size) for size in SHAPE)


@given(one=boxes, other=boxes)
@settings(max_examples=50)
def test_the_common_box_holds_what_both_hold(one, other) -> None:
    both = np.zeros(SHAPE, int)
    both[one] += 1
    both[other] += 1
    assert common_box(one, other) == mask_box(both == 2)


def test_no_voxel_has_no_box() -> None:
    assert mask_box(np.zeros(SHAPE, bool)) is None


@pytest.mark.parametrize(("orientation", "expected"), [("as_stored", (8.0, 3.0, 2.0)), ("canonical", (3.0, 8.0, 2.0))])
def test_extents_are_measured_in_the_axes_of_the_plan(tmp_path, orientation, expected) -> None:
    geometry = turned((1, 0, 2), (1.0, -1.0, 1.0), (2.0, 1.0, 0.5))
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:6, 3:6, 4:8] = 1
    labels[0, 0, 0] = 7
    for name in ("a", "b"):
        write_label(tmp_path / f"{name}.nii.gz", labels, geometry)
    write_label(tmp_path / "empty.nii.gz", np.zeros_like(labels), geometry)
    (tmp_path / "broken.nii.gz").write_text("no image")
    masks = sorted(tmp_path.iterdir())
    found = organ_extents_mm(masks, (1, 2), orientation=orientation, workers=1)
    assert found == (expected, expected)
    assert organ_extents_mm([], (1,), orientation="canonical", workers=1) == ()
    many = organ_extents_mm([masks[0]] * 100, (1,), orientation="as_stored", workers=1)
    assert len(many) == MOST_CASES
