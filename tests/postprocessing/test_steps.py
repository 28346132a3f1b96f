"""Every post-processing step, by hand-made label maps and by laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg.core.errors import RegistryError
from autoseg.postprocessing import apply_steps, steps
from autoseg.specs.document import Component

SPACING = (2.0, 0.5, 1.0)
DEFAULTS: dict[str, dict[str, Any]] = {
    "keep_largest": {},
    "drop_small": {"volume_mm3": 3.0},
    "fill_holes": {},
    "inside_organ": {"labels": [2], "organ": [1], "connectivity": 6},
    "replace_small": {"labels": [2], "volume_mm3": 3.0, "per": "component"},
}


def scene() -> np.ndarray:
    """Label 1: 27 and 2 voxels; label 2: 8 voxels touching the large 1, and one alone."""
    labels = np.zeros((8, 9, 10), np.uint8)
    labels[1:4, 1:4, 1:4] = 1
    labels[6, 6, 6:8] = 1
    labels[1:3, 1:3, 4:6] = 2
    labels[7, 0, 0] = 2
    return labels


def test_only_these_files_are_steps() -> None:
    assert steps.names() == ("drop_small", "fill_holes", "inside_organ", "keep_largest", "replace_small")
    assert set(DEFAULTS) == set(steps.names())


def test_the_foreground_is_one_mask_unless_told_otherwise() -> None:
    labels = scene()
    together = steps.build("keep_largest")(labels, SPACING)
    assert np.bincount(together.ravel()).tolist() == [720 - 35, 27, 8]
    only_two = steps.build("keep_largest", {"labels": [2]})(labels, SPACING)
    assert np.bincount(only_two.ravel()).tolist() == [720 - 37, 29, 8]
    labels[5, 8, 9] = 2
    labels[1:3, 1:3, 4:6] = 0
    each = steps.build("keep_largest", {"grouping": "each"})(labels, SPACING)
    assert np.bincount(each.ravel()).tolist() == [720 - 29, 27, 2]  # two voxels of label 2 tie: both stay


@pytest.mark.parametrize(("connectivity", "kept"), [(6, 4), (18, 5), (26, 6)])
def test_connectivity(connectivity: int, kept: int) -> None:
    labels = np.zeros((6, 6, 6), np.int16)
    labels[1, 1, 1:5] = 1
    labels[2, 2, 4] = 1  # over an edge
    labels[2, 0, 0] = 1  # over a corner
    result = steps.build("keep_largest", {"connectivity": connectivity})(labels, SPACING)
    assert int((result == 1).sum()) == kept


def test_volumes_are_in_mm3_and_the_threshold_itself_stays() -> None:
    labels = scene()  # one voxel is 1 mm3
    result = steps.build("drop_small", {"volume_mm3": 2.0})(labels, SPACING)
    assert np.bincount(result.ravel()).tolist() == [720 - 37, 29, 8]
    finer = steps.build("drop_small", {"volume_mm3": 2.0})(labels, (1.0, 0.5, 1.0))
    assert np.bincount(finer.ravel()).tolist() == [720 - 35, 27, 8]
    assert steps.build("drop_small", {"volume_mm3": 0.3})(labels, (0.1, 1.0, 1.5)).sum() > 0
    assert (steps.build("drop_small", {"volume_mm3": 0.3})(labels, (0.1, 1.0, 1.5))[6] > 0).sum() == 2  # 0.1 * 1.5 * 2


def test_holes_are_filled_with_the_label_around_them_and_nothing_else_is_touched() -> None:
    labels = np.zeros((7, 8, 9), np.uint8)
    labels[1:6, 1:6, 1:6] = 3
    labels[3, 3, 3] = 0  # a hole
    labels[2, 2, 2] = 5  # another label inside
    labels[1, 4, 4] = 0  # a dent in the surface
    result = steps.build("fill_holes")(labels, SPACING)
    assert result[3, 3, 3] == 3
    assert result[2, 2, 2] == 5
    assert result[1, 4, 4] == 0
    assert int((result != labels).sum()) == 1


def test_a_hole_may_be_too_large_or_enclosed_by_several_labels() -> None:
    labels = np.zeros((5, 5, 6), np.uint8)
    labels[1:4, 1:4, 1:5] = 1
    labels[:, :, 3:] *= 2
    labels[2, 2, 2:4] = 0
    assert np.array_equal(steps.build("fill_holes")(labels, SPACING), labels)
    union = steps.build("fill_holes", {"labels": [2, 1], "grouping": "together"})(labels, SPACING)
    assert union[2, 2, 2:4].tolist() == [2, 2]
    limits = {1.9: 0, 2.0: 2, 2.1: 2}
    for limit, filled in limits.items():
        step = steps.build("fill_holes", {"labels": [2, 1], "grouping": "together", "largest_mm3": limit})
        assert int((step(labels, SPACING) != labels).sum()) == filled


def test_a_slice_is_filled_in_its_plane_only_where_the_image_is_one_slice() -> None:
    ring = np.ones((1, 3, 3), np.uint8)
    ring[0, 1, 1] = 0
    image = np.pad(ring, ((0, 0), (1, 1), (1, 1)))
    assert steps.build("fill_holes")(image, SPACING)[0, 2, 2] == 1
    volume = np.pad(ring, 1)
    assert steps.build("fill_holes")(volume, SPACING) is volume


def test_lesions_stay_where_they_touch_their_organ() -> None:
    labels = scene()
    labels[6, 6, 8] = 2  # on the small piece of the organ
    options: dict[str, Any] = {"labels": [2], "organ": [1]}
    anywhere = steps.build("inside_organ", options)(labels, SPACING)
    assert np.bincount(anywhere.ravel()).tolist() == [720 - 38, 29, 9]
    largest = steps.build("inside_organ", {**options, "host": "largest"})(labels, SPACING)
    assert np.bincount(largest.ravel()).tolist() == [720 - 37, 29, 8]
    relabelled = steps.build("inside_organ", {**options, "host": "largest", "to": 5})(labels, SPACING)
    assert int((relabelled == 5).sum()) == 2
    without = np.where(labels == 1, 0, labels)
    assert steps.build("inside_organ", options)(without, SPACING) is without  # nothing says where the organ is
    inner = np.zeros((5, 5, 5), np.uint8)
    inner[1:4, 1:4, 1:4] = 1
    inner[2, 2, 2] = 2  # a lesion is labelled in place of the organ
    assert steps.build("inside_organ", options)(inner, SPACING) is inner


def test_a_small_label_becomes_another_one() -> None:
    labels = scene()  # label 2: 8 voxels and one, of 1 mm3
    options: dict[str, Any] = {"labels": [2], "to": 1}
    assert steps.build("replace_small", {**options, "volume_mm3": 9.0})(labels, SPACING) is labels
    whole = steps.build("replace_small", {**options, "volume_mm3": 9.1})(labels, SPACING)
    assert np.bincount(whole.ravel()).tolist() == [720 - 38, 38]
    parts = steps.build("replace_small", {**options, "volume_mm3": 8.0, "per": "component"})(labels, SPACING)
    assert np.bincount(parts.ravel()).tolist() == [720 - 38, 30, 8]
    finer = steps.build("replace_small", {**options, "volume_mm3": 9.0, "to": 0})(labels, (1.0, 0.5, 1.0))
    assert int((finer == 2).sum()) == 0


@pytest.mark.parametrize("name", sorted(DEFAULTS))
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(["uint8", "int16", "uint16"]))
@settings(max_examples=25)
def test_laws(name: str, seed: int, kind: str) -> None:
    generator = np.random.default_rng(seed)
    labels = (generator.integers(1, 4, (4, 6, 5)) * (generator.random((4, 6, 5)) < 0.4)).astype(kind)
    before = labels.copy()
    step = steps.build(name, DEFAULTS[name])
    result = step(labels, SPACING)
    assert np.array_equal(labels, before)
    assert result.dtype == labels.dtype
    assert result.shape == labels.shape
    assert set(np.unique(result)) <= set(np.unique(labels)) | {0}
    changed = result != labels
    assert not np.any((labels[changed] != 0) if name == "fill_holes" else (result[changed] != 0))
    again = step(result, SPACING)
    assert again is result  # a second time there is nothing to do, and the input itself comes back
    flipped = step(labels[::-1, :, ::-1], SPACING)
    assert np.array_equal(flipped[::-1, :, ::-1], result)


@pytest.mark.parametrize("name", sorted(DEFAULTS))
@pytest.mark.parametrize("labels", [np.zeros((3, 4, 5), np.uint8), np.ones((3, 4, 5), np.uint8)], ids=["empty", "full"])
def test_nothing_to_do(name: str, labels: np.ndarray) -> None:
    assert steps.build(name, DEFAULTS[name])(labels, SPACING) is labels


def test_steps_follow_each_other() -> None:
    labels = np.zeros((5, 7, 7), np.uint8)
    labels[1:4, 1:4, 1:4] = 1
    labels[2, 2, 2] = 0
    labels[4, 6, 6] = 1
    chosen = (Component(name="keep_largest"), Component(name="fill_holes"))
    result = apply_steps(chosen, labels, SPACING)
    assert int(result.sum()) == 27
    assert apply_steps((), labels, SPACING) is labels


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("keep_largst", {}, "did you mean 'keep_largest'"),
        ("keep_largest", {"label": [1]}, "did you mean 'labels'"),
        ("keep_largest", {"connectivity": 8}, "6, 18 or 26"),
        ("drop_small", {}, "volume_mm3"),
        ("drop_small", {"volume_mm3": 0}, "greater than 0"),
        ("fill_holes", {"largest_mm3": -1}, "greater than 0"),
        ("inside_organ", {"labels": [1], "organ": [1, 2]}, "must not share a value"),
        ("inside_organ", {"labels": [1]}, "organ"),
        ("replace_small", {"labels": [1], "volume_mm3": 1, "to": 1}, "must not be among labels"),
    ],
)
def test_wrong_options_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RegistryError, match=message):
        apply_steps((Component(name=name, options=options),), np.zeros((2, 2, 2), np.uint8), SPACING)
