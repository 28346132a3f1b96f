"""Files taken over unchanged where they can be, rewritten where they must."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel
import numpy as np
import pytest

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.datasets.files import folders_below, natural, take_image, take_label, volumes
from autoseg.io.images import read_image, write_image, write_label

GRID = Geometry((4, 5, 6), (2.0, 0.7, 0.7), (1.0, 2.0, 3.0))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.nii.gz"
    write_image(path, np.arange(120, dtype=np.int16).reshape(GRID.shape), GRID)
    return path


def test_fitting_images_are_linked(image: Path, tmp_path: Path) -> None:
    take_image(image, tmp_path / "raw" / "case_0000.nii.gz")
    assert os.path.samefile(image, tmp_path / "raw" / "case_0000.nii.gz")  # noqa: PTH121 - Path.samefile is the same


def test_eight_byte_voxels_are_narrowed(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.ones((6, 5, 4), np.float64), np.diag([2, 2, 3, 1])), tmp_path / "wide.nii.gz")
    take_image(tmp_path / "wide.nii.gz", tmp_path / "out.nii.gz")
    written = nibabel.load(tmp_path / "out.nii.gz")
    assert written.get_data_dtype() == np.float32
    assert np.array_equal(written.affine, np.diag([2, 2, 3, 1]))


def test_other_endings_are_rewritten(image: Path, tmp_path: Path) -> None:
    original = read_image(image)
    write_image(tmp_path / "image.mha", original.array, GRID)
    take_image(tmp_path / "image.mha", tmp_path / "out.nii.gz")
    assert np.array_equal(read_image(tmp_path / "out.nii.gz").array, original.array)
    write_image(tmp_path / "two.mha", np.zeros((2, 4, 5, 6), np.int16), GRID)
    with pytest.raises(DatasetError, match=r"two\.mha has 2 channels: it should have one"):
        take_image(tmp_path / "two.mha", tmp_path / "out.nii.gz")


def test_labels_take_the_images_header_and_new_values(image: Path, tmp_path: Path) -> None:
    labels = np.zeros(GRID.shape, np.int16)
    labels[1, 1, 1], labels[2, 2, 2] = 4, 1
    write_label(tmp_path / "label.nii", labels, Geometry(GRID.shape, (1.0, 1.0, 1.0)))
    take_label(tmp_path / "label.nii", tmp_path / "out.nii.gz", image=image, values={0: 0, 1: 2, 4: 3})
    written = read_image(tmp_path / "out.nii.gz")
    assert written.array.dtype == np.uint8
    assert (written.array[0, 1, 1, 1], written.array[0, 2, 2, 2], written.array.sum()) == (3, 2, 5)
    assert written.geometry == read_image(image).geometry
    with pytest.raises(DatasetError, match=r"label\.nii holds the label 4, known are 0, 1"):
        take_label(tmp_path / "label.nii", tmp_path / "out.nii.gz", image=image, values={0: 0, 1: 1})
    write_label(tmp_path / "label.nii", labels[:3], Geometry((3, 5, 6), (1.0, 1.0, 1.0)))
    with pytest.raises(DatasetError, match=r"has the shape \(3, 5, 6\), its image \(4, 5, 6\)"):
        take_label(tmp_path / "label.nii", tmp_path / "out.nii.gz", image=image)


def test_labels_of_images_that_are_not_nifti(image: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "image.nrrd", read_image(image).array, GRID)
    write_label(tmp_path / "label.nrrd", np.ones(GRID.shape, np.uint8), GRID)
    take_label(tmp_path / "label.nrrd", tmp_path / "out.nii.gz", image=tmp_path / "image.nrrd")
    assert read_image(tmp_path / "out.nii.gz").array.min() == 1


def test_volumes_by_stem_in_natural_order(tmp_path: Path) -> None:
    for name in ("c_10.nii", "c_9.nii.gz", "._c_1.nii", "readme.txt", "d_1.nii"):
        (tmp_path / name).touch()
    assert list(volumes(tmp_path, r"c_\d+")) == ["c_9", "c_10"]
    assert volumes(tmp_path / "gone") == {}
    (tmp_path / "c_9.nii").touch()
    with pytest.raises(DatasetError, match=r"c_9\.nii\.gz and c_9\.nii are the same volume"):
        volumes(tmp_path)


def test_folders_near_ones_first(tmp_path: Path) -> None:
    (tmp_path / "b" / "c" / "d").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    assert [path.name for path in folders_below(tmp_path, depth=2)][1:] == ["a", "b", "c"]
    assert list(folders_below(tmp_path / "gone", depth=2)) == []
    assert sorted(["x10", "x9", "x"], key=natural) == ["x", "x9", "x10"]
