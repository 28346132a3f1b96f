"""What reading takes, from headers: against what is read."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.io.images import read_image, write_image
from autoseg.io.raw import RawCase, read_case
from autoseg.io.stored_size import case_size, stored_volume

SHAPE = (7, 9, 11)


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "float32"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sizes_are_those_of_what_is_read(tmp_path: Path, kind: str, ending: str, channels: int) -> None:
    path = tmp_path / f"a{ending}"
    write_image(path, np.ones((channels, *SHAPE), kind), Geometry(SHAPE, (1.0, 2.0, 3.0)))
    volume, array = stored_volume(path), read_image(path).array
    assert (volume.channels, volume.voxels, volume.read_bytes) == (channels, array[0].size, array.nbytes)
    assert volume.is_float == (array.dtype.kind == "f")
    assert volume.peak_bytes >= volume.read_bytes + (0 if ending == ".nii" else volume.stored_bytes)
    assert volume.geometry.shape == SHAPE


def test_scaled_integers_become_floats(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    image = nibabel.Nifti1Image(np.ones(SHAPE, np.int16), np.eye(4))
    image.header.set_slope_inter(2.0, -1000.0)
    nibabel.save(image, path)
    volume = stored_volume(path)
    assert volume.read_bytes == read_image(path).array.nbytes == 4 * volume.voxels
    assert volume.is_float


def test_pictures_count_with_all_colours(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_image(path, np.ones((3, 1, 20, 30), np.uint8), Geometry((1, 20, 30), (1.0, 1.0, 1.0)))
    assert stored_volume(path).read_bytes >= read_image(path).array.nbytes


@pytest.mark.parametrize("kind", ["int16", "float32"])
def test_a_case_holds_its_channels_and_labels(tmp_path: Path, kind: str) -> None:
    paths = tuple(tmp_path / f"a_000{channel}.nii.gz" for channel in range(2))
    for path in paths:
        write_image(path, np.ones((1, *SHAPE), kind), Geometry(SHAPE, (1.0, 1.0, 1.0)))
    label = tmp_path / "a.nii.gz"
    write_image(label, np.ones((1, *SHAPE), "uint8"), Geometry(SHAPE, (1.0, 1.0, 1.0)))
    array, _, labels = read_case(RawCase("a", paths, label), channels=("x", "y"))
    assert labels is not None
    size = case_size(paths, label)
    assert (size.channels, size.image_bytes, size.label_bytes) == (2, array.nbytes, labels.nbytes)
    assert size.peak_bytes > case_size(paths).peak_bytes > size.image_bytes
    floats = tmp_path / "float.nii.gz"
    write_image(floats, np.ones((1, *SHAPE), "float32"), Geometry(SHAPE, (1.0, 1.0, 1.0)))
    assert case_size(paths, floats).peak_bytes > size.peak_bytes


def test_a_damaged_header_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(b"NRRD nonsense")
    with pytest.raises(DatasetError, match=r"a\.nrrd cannot be read"):
        stored_volume(path)
