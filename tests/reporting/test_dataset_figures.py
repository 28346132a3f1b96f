"""Classes per split and the composite image of a data set."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.io.case_files import RawCase
from autoseg.io.images import write_image
from autoseg.reporting.classes import HELD_OUT, TRAIN, draw_classes
from autoseg.reporting.composite import BOX_COLOUR, composite_of, draw_composite
from autoseg.specs.fingerprint import CaseFingerprint, Fingerprint, IntensityStatistics
from autoseg.specs.splits import Fold, Splits

FLAT = IntensityStatistics(mean=0, median=0, std=1, minimum=0, maximum=1, percentile_00_5=0, percentile_99_5=1)


def case_at(folder, name, corner, *, shape=(10, 12, 14), spacing=(2.0, 1.0, 1.0), direction=None, edge=4):
    """A bright cube in nothing, as one file per channel."""
    image = np.zeros(shape, np.float32)
    image[tuple(slice(first, first + edge) for first in corner)] = 5.0
    grid = Geometry(shape, spacing) if direction is None else Geometry(shape, spacing, (0.0, 0.0, 0.0), direction)
    path = folder / f"{name}_0000.nii.gz"
    write_image(path, image, grid)
    return RawCase(name, (path,), None)


def test_the_box_holds_every_case(tmp_path):
    cases = [case_at(tmp_path, "a", (1, 2, 3)), case_at(tmp_path, "b", (5, 4, 3))]
    found = composite_of(cases, ("MR",), workers=1)
    assert found.shape_voxels == (10, 12, 14)
    assert found.box_voxels == ((1, 2, 3), (9, 8, 7))
    assert found.kept == pytest.approx(8 * 6 * 4 / (10 * 12 * 14))
    axial = np.zeros((12, 14))
    axial[2:6, 3:7] += 0.4 / 2
    axial[4:8, 3:7] += 0.4 / 2
    np.testing.assert_allclose(found.mean[0], axial, atol=1e-6)
    np.testing.assert_allclose(found.maximum[0], np.where(axial > 0, 0.4, 0), atol=1e-6)
    draw_composite(found, tmp_path / "c.png", title="t")


def test_orientation_does_not_matter(tmp_path):
    upright = composite_of([case_at(tmp_path, "a", (1, 2, 3))], ("MR",), workers=1)
    # The same cube in a file whose axes run the other way.
    turned = case_at(tmp_path, "b", (5, 2, 7), direction=((-1.0, 0, 0), (0, 1.0, 0), (0, 0, -1.0)))
    found = composite_of([turned], ("MR",), workers=1)
    assert found.box_voxels == upright.box_voxels
    for one, other in zip(found.mean, upright.mean, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_other_grids_are_centred_in_millimetres(tmp_path):
    fine = case_at(tmp_path, "a", (6, 4, 4), shape=(20, 16, 16), spacing=(1.0, 1.0, 1.0), edge=8)
    coarse = case_at(tmp_path, "b", (3, 2, 2), shape=(10, 8, 8), spacing=(2.0, 2.0, 2.0))
    found = composite_of([fine, coarse, fine], ("MR",), workers=1)
    assert found.spacing_mm == (1.0, 1.0, 1.0)
    assert found.shape_voxels == (20, 16, 16)
    assert found.box_voxels == ((6, 4, 4), (14, 12, 12))
    assert found.maximum[0][8, 8] == pytest.approx(0.4)
    assert found.maximum[0][1, 1] == 0.0


def test_the_box_is_drawn(tmp_path, share_of):
    found = composite_of([case_at(tmp_path, "a", (1, 2, 3))], ("MR",), workers=1)
    draw_composite(found, tmp_path / "c.png", title="t")
    assert share_of(tmp_path / "c.png", BOX_COLOUR) > 0.001


def test_a_case_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a_0000.nii.gz").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"a_0000\.nii\.gz cannot be read"):
        composite_of([RawCase("a", (tmp_path / "a_0000.nii.gz",), None)], ("MR",), workers=1)


@pytest.mark.parametrize("classes", [2, 6])
def test_classes_are_drawn_for_both_sides(tmp_path, share_of, classes):
    cases = tuple(
        CaseFingerprint(
            case_id=f"case_{index}",
            content="",
            shape_voxels=(40, 50, 60),
            cropped_shape_voxels=(40, 50, 60),
            spacing_mm=(2.0, 1.0, 1.0),
            orientation="SPL",
            label_voxels={str(value): 1000 * (value + 1 + index) for value in range(classes)},
        )
        for index in range(4)
    )
    known = Fingerprint(dataset="Dataset001_X", cases=cases, intensities=(FLAT,), median_relative_size_after_cropping=1)
    names = [case.case_id for case in cases]
    splits = Splits(origin="test", folds=(Fold(train=tuple(names[:2]), val=tuple(names[2:])),))
    labels = {"background": 0, **{f"organ {value}": value for value in range(1, classes)}}
    draw_classes(labels, known, splits, tmp_path / "classes.png")
    for colour in (TRAIN, HELD_OUT):
        assert share_of(tmp_path / "classes.png", colour) > 0.01
