"""The same box of every case, whatever is zero in it; the way back to the file's grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.inference.export import labels_on_native_grid
from autoseg.preprocessing.case import Frame, for_case, preprocess_case
from autoseg.preprocessing.folder import cases_digest
from autoseg.specs.document import Component
from autoseg.specs.fingerprint import IntensityStatistics
from autoseg.specs.plan import FixedCrop, Preprocessing

SPACE = LabelSpace.parse({"background": 0, "tumour": 1})
STATISTICS = IntensityStatistics(mean=0, median=0, std=1, minimum=0, maximum=1, percentile_00_5=0, percentile_99_5=1)
SHAPE = (9, 20, 24)


def section(size: tuple[int, int, int], centre: tuple[float, float, float] = (0, 0, 0), **changes: object):
    values: dict[str, object] = {
        "orientation": "as_stored",
        "transpose": (0, 1, 2),
        "spacing_mm": (1.0, 1.0, 1.0),
        "normalization": (Component(name="none"),),
        "mask_normalization": (False,),
        "intensities": (STATISTICS,),
        "fixed_crop": FixedCrop(size_voxels=size, centre_mm=centre),
    }
    return Preprocessing(**(values | changes))


def case() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    image = np.zeros((1, *SHAPE), np.float32)
    image[0, 1:8, 5:15, 6:20] = generator.uniform(1, 2, (7, 10, 14))
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:6, 7:10, 9:13] = 1
    return image, labels


def test_the_box_is_the_plans_and_short_axes_stay_whole() -> None:
    image, labels = case()
    geometry = Geometry(SHAPE, (1.0, 1.0, 1.0))
    result, own, record, _ = preprocess_case(image, geometry, labels, section((12, 16, 16), (0.0, 1.0, -2.0)), SPACE)
    assert (record.crop_start_voxels, record.crop_stop_voxels) == ((0, 3, 2), (9, 19, 18))
    np.testing.assert_array_equal(result, image[:, :, 3:19, 2:18])
    assert own is not None
    assert int((own == 1).sum()) == int(labels.sum())
    frame = Frame.of(geometry, section((12, 16, 16)))
    assert frame.image_box(image, section((12, 16, 16)))[1] == slice(2, 18)


@pytest.mark.parametrize("direction", [-1.0, 1.0])
@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1)])
def test_it_is_undone_on_export(direction: float, transpose: tuple[int, int, int]) -> None:
    image, labels = case()
    axes = ((0.0, 0.0, 1.0), (0.0, direction, 0.0), (1.0, 0.0, 0.0))
    geometry = Geometry(SHAPE, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), axes)
    sizes, centre = (12, 14, 18), (0.0, -direction, 1.0)
    size = tuple(sizes[axis] for axis in transpose)
    middle = tuple(centre[axis] for axis in transpose)
    chosen = section(size, middle, orientation="canonical", transpose=transpose)
    _, own, record, _ = preprocess_case(image, geometry, labels, chosen, SPACE)
    assert own is not None
    logits = torch.stack([torch.from_numpy(own != 1), torch.from_numpy(own == 1)]).float()
    np.testing.assert_array_equal(labels_on_native_grid(logits, record, SPACE, chosen.resampling), labels)


@pytest.mark.parametrize("spacing", [0.5, 0.7, 0.9999, 1.0, 1.3, 2.0])
def test_no_stored_case_is_larger_than_the_box(spacing: float) -> None:
    shape = (40, 40, 40)
    image = np.ones((1, *shape), np.float32)
    geometry = Geometry(shape, (spacing,) * 3)
    _, _, record, _ = preprocess_case(image, geometry, None, section((11, 16, 19)), SPACE)
    for stored, wanted in zip(record.shape_voxels, (11, 16, 19), strict=True):
        assert wanted - 1 <= stored <= wanted


def test_other_boxes_are_other_cases() -> None:
    geometry = Geometry(SHAPE, (1.0, 1.0, 1.0))
    digests = {cases_digest(section(size)) for size in ((12, 16, 16), (12, 16, 17))}
    assert len(digests | {cases_digest(section((1, 1, 1), fixed_crop=None))}) == 3
    assert for_case(section((12, 16, 16)), geometry) != for_case(section((12, 16, 17)), geometry)
