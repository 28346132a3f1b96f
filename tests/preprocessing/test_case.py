"""One case from the file's grid to the plan's and back."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from autoseg.core.geometry import Geometry, Matrix3
from autoseg.core.labels import LabelSpace
from autoseg.imageops.orient import undo_orient
from autoseg.preprocessing.case import for_case, is_normalized, preprocess_case
from autoseg.preprocessing.folder import cases_digest
from autoseg.specs.document import Component
from autoseg.specs.fingerprint import IntensityStatistics
from autoseg.specs.plan import Preprocessing

SPACE = LabelSpace.parse({"background": 0, "liver": 1, "tumour": 2})
STATISTICS = IntensityStatistics(mean=0, median=0, std=1, minimum=0, maximum=1, percentile_00_5=0, percentile_99_5=1)


def _section(**changes: Any) -> Preprocessing:
    values: dict[str, Any] = {
        "orientation": "as_stored",
        "transpose": (0, 1, 2),
        "spacing_mm": None,
        "normalization": (Component(name="none"),),
        "mask_normalization": (False,),
        "intensities": (STATISTICS,),
    }
    return Preprocessing(**(values | changes))


def _volume() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Body inside of an empty margin, with an empty hole."""
    generator = np.random.default_rng(0)
    image = np.zeros((1, 12, 14, 16), np.float32)
    image[0, 2:9, 3:13, 1:15] = generator.uniform(1, 2, (7, 10, 14))
    image[0, 4, 6, 7] = 0
    image[0, 2, 3, 1] = 0
    labels = np.zeros((12, 14, 16), np.uint8)
    labels[4:6, 5:9, 5:9], labels[5, 6, 6] = 1, 2
    return image, labels


def test_crop_keeps_the_body_and_marks_what_is_outside_of_it() -> None:
    image, labels = _volume()
    result, own, record, _ = preprocess_case(image, Geometry((12, 14, 16), (2.0, 1.0, 1.0)), labels, _section(), SPACE)
    assert own is not None
    assert record.crop_start_voxels == (2, 3, 1)
    assert record.crop_stop_voxels == (9, 13, 15)
    assert record.cropped_shape_voxels == record.shape_voxels == result.shape[1:] == (7, 10, 14)
    np.testing.assert_array_equal(result, image[:, 2:9, 3:13, 1:15])
    assert own[0, 0, 0] == -1
    assert own[2, 3, 6] == 1  # a hole counts as body, here liver
    np.testing.assert_array_equal(np.maximum(own, 0), labels[2:9, 3:13, 1:15])
    assert record.label_voxels == {"0": 7 * 10 * 14 - 33, "1": 31, "2": 1}


def test_arguments_are_left_as_they_are() -> None:
    image, labels = _volume()
    before = image.copy(), labels.copy()
    section = _section(normalization=(Component(name="zscore"),), crop_to_nonzero=False)
    preprocess_case(image, Geometry((12, 14, 16), (1.0, 1.0, 1.0)), labels, section, SPACE)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(labels, before[1])


def test_without_a_crop_the_whole_volume_stays() -> None:
    image, labels = _volume()
    geometry = Geometry((12, 14, 16), (1.0, 1.0, 1.0))
    result, own, record, _ = preprocess_case(image, geometry, labels, _section(crop_to_nonzero=False), SPACE)
    assert own is not None
    assert result.shape[1:] == record.shape_voxels == (12, 14, 16)
    assert (own[:2] == -1).all()


@pytest.mark.parametrize("labelled", [True, False])
def test_masked_normalisation_looks_at_the_body_only(labelled: bool) -> None:
    image, labels = _volume()
    section = _section(normalization=(Component(name="zscore"),), mask_normalization=(True,), crop_to_nonzero=False)
    geometry = Geometry((12, 14, 16), (1.0, 1.0, 1.0))
    result, *_ = preprocess_case(image, geometry, labels if labelled else None, section, SPACE)
    body = np.zeros((12, 14, 16), bool)
    body[2:9, 3:13, 1:15] = True
    body[2, 3, 1] = False
    assert (result[0][~body] == 0).all()
    assert abs(result[0][body].mean()) < 1e-5


def test_without_labels_the_image_is_the_same_and_there_are_no_locations() -> None:
    image, labels = _volume()
    geometry = Geometry((12, 14, 16), (1.0, 1.0, 1.0))
    section = _section(spacing_mm=(1.5, 1.5, 0.8))
    trained, _, record, locations = preprocess_case(image, geometry, labels, section, SPACE)
    predicted, own, other, none = preprocess_case(image, geometry, None, section, SPACE)
    np.testing.assert_array_equal(trained, predicted)
    assert own is None
    assert none == {}
    assert set(locations) == {"liver", "tumour"}
    assert other == record.model_copy(update={"label_voxels": {}})


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (-1, -1, -1)])
def test_any_stored_orientation_gives_the_same_canonical_case(
    order: tuple[int, int, int], signs: tuple[int, int, int]
) -> None:
    image, labels = _volume()
    section = _section(orientation="canonical", transpose=(2, 0, 1), spacing_mm=(1.0, 1.5, 0.7))
    spacing = (2.0, 1.0, 0.5)
    expected = preprocess_case(image, Geometry((12, 14, 16), spacing), labels, section, SPACE)
    # The same patient as another scanner would store it: array axis j runs along world axis order[j].
    steps = tuple(slice(None, None, sign) for sign in signs)
    stored_image = image.transpose(0, *(1 + axis for axis in order))[(slice(None), *steps)]
    stored_labels = labels.transpose(order)[steps]
    direction = np.zeros((3, 3))
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        direction[world, axis] = sign
    matrix: Matrix3 = tuple(tuple(float(value) for value in row) for row in direction)  # type: ignore[assignment]
    geometry = Geometry(stored_labels.shape, tuple(spacing[axis] for axis in order), (0.0, 0.0, 0.0), matrix)
    result = preprocess_case(stored_image, geometry, stored_labels, section, SPACE)
    np.testing.assert_array_equal(result[0], expected[0])
    np.testing.assert_array_equal(result[1], expected[1])
    np.testing.assert_array_equal(result[3]["liver"], expected[3]["liver"])


def test_the_record_leads_back_to_the_file() -> None:
    image, labels = _volume()
    direction = ((0.0, -1.0, 0.0), (0.0, 0.0, 1.0), (-1.0, 0.0, 0.0))
    geometry = Geometry((12, 14, 16), (2.0, 1.0, 0.5), (1.0, 2.0, 3.0), direction)
    section = _section(orientation="canonical", transpose=(1, 2, 0))
    result, _, record, _ = preprocess_case(image, geometry, labels, section, SPACE)
    whole = np.zeros(record.transposed_shape_voxels, np.float32)
    box = tuple(slice(*edge) for edge in zip(record.crop_start_voxels, record.crop_stop_voxels, strict=True))
    whole[box] = result[0]
    back = undo_orient(whole.transpose(np.argsort(record.transpose)), record.orient_axes, record.orient_flips)
    np.testing.assert_array_equal(back, image[0])
    assert record.original.geometry() == geometry


def test_native_axes_keep_their_spacing() -> None:
    image, labels = _volume()
    geometry = Geometry((12, 14, 16), (2.0, 1.0, 0.5))
    section = _section(transpose=(0, 1, 2), spacing_mm=(1.0, 0.5, 0.5), native_axes=(0,))
    result, own, record, _ = preprocess_case(image, geometry, labels, section, SPACE)
    assert record.spacing_mm == (2.0, 0.5, 0.5)
    assert result.shape[1:] == own.shape == (7, 20, 14)  # type: ignore[union-attr]


def test_equal_work_is_recognised() -> None:
    geometry = Geometry((12, 14, 16), (2.0, 1.0, 0.5))
    planar = _section(transpose=(1, 0, 2), spacing_mm=(9.0, 2.0, 0.5), native_axes=(0,))
    solid = _section(transpose=(1, 0, 2), spacing_mm=(1.0, 2.0, 0.5))
    assert cases_digest(planar) != cases_digest(solid)
    assert for_case(planar, geometry) == for_case(solid, geometry)
    assert for_case(_section(spacing_mm=(1.0, 2.0, 0.5)), geometry) != for_case(solid, geometry)


def test_many_labels_take_a_wider_type() -> None:
    image, labels = _volume()
    geometry = Geometry((12, 14, 16), (1.0, 1.0, 1.0))
    for highest, kind in ((127, np.int8), (128, np.int16), (40_000, np.int32)):
        wide = labels.astype(np.int64)
        wide[5, 6, 6] = highest
        own = preprocess_case(image, geometry, wide, _section(), SPACE)[1]
        assert own is not None
        assert own.dtype == kind
        assert own.max() == highest


def test_raw_intensities_are_told_apart() -> None:
    assert not is_normalized(_section())
    assert is_normalized(_section(normalization=(Component(name="zscore"),)))


@pytest.mark.parametrize("native", [(), (0,)])
def test_a_target_shape_holds_for_any_spacing_and_size(native: tuple[int, ...]) -> None:
    section = _section(target_shape_voxels=(5, 9, 11), native_axes=native, crop_to_nonzero=False)
    for shape, spacing in (((12, 14, 16), (2.0, 0.7, 0.7)), ((5, 30, 8), (1.1, 3.0, 0.3))):
        image = np.random.default_rng(1).random((1, *shape), np.float32)
        labels = np.zeros(shape, np.uint8)
        labels[2:4, 3:9, 3:6] = 1
        geometry = Geometry(shape, spacing)
        result, own, record, _ = preprocess_case(image, geometry, labels, section, SPACE)
        wanted = (shape[0] if native else 5, 9, 11)
        assert result.shape[1:] == record.shape_voxels == wanted
        extents = [size * edge for size, edge in zip(record.shape_voxels, record.spacing_mm, strict=True)]
        np.testing.assert_allclose(extents, [size * edge for size, edge in zip(shape, spacing, strict=True)])
        assert own is not None
        assert own.max() == 1
        again, _, _, _ = preprocess_case(image, geometry, labels, for_case(section, geometry), SPACE)
        np.testing.assert_array_equal(result, again)


def test_sections_without_a_target_shape_keep_their_digest() -> None:
    assert "target_shape_voxels" not in _section().model_dump(mode="json")
    assert "align" not in _section().model_dump(mode="json")["resampling"]
    assert cases_digest(_section(target_shape_voxels=(5, 9, 11))) != cases_digest(_section())


def test_a_box_of_a_case_of_a_given_shape_is_its_share_of_it() -> None:
    section = _section(target_shape_voxels=(1, 7, 8), native_axes=(0,), crop_to_nonzero=False)
    image, _ = _volume()
    box = (slice(2, 9), slice(2, 12), slice(4, 12))
    geometry = Geometry((12, 14, 16), (2.0, 1.0, 1.0))
    result, _, record, _ = preprocess_case(image, geometry, None, section, SPACE, region=box)
    assert result.shape[1:] == record.shape_voxels == (7, 5, 4)
    assert record.spacing_mm == (2.0, 2.0, 2.0)
