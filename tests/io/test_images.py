"""Reading and writing volumes: same voxels, same grid, errors with a cure."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from autoseg.core.errors import DatasetError, GeometryError
from autoseg.core.geometry import Geometry
from autoseg.io.images import (
    VOLUME_ENDINGS,
    count_non_finite,
    image_ending,
    read_header,
    read_image,
    read_label,
    write_image,
    write_label,
)

OBLIQUE = ((0.96, 0.28, 0.0), (-0.28, 0.96, 0.0), (0.0, 0.0, -1.0))
GRID = Geometry((3, 4, 5), (3.0, 0.7, 0.8), (10.0, -20.5, 30.25), OBLIQUE)
STRAIGHT = Geometry((3, 4, 5), (3.0, 0.7, 0.8), (10.0, -20.5, 30.25))


def volume(channels: int = 1, dtype: type = np.int16) -> np.ndarray:
    return np.arange(channels * 60).reshape(channels, 3, 4, 5).astype(dtype)


def grid_for(ending: str) -> Geometry:
    return STRAIGHT if ending.startswith(".gipl") else GRID


@pytest.mark.parametrize("ending", VOLUME_ENDINGS)
def test_round_trip_of_image_and_label(tmp_path: Path, ending: str) -> None:
    grid = grid_for(ending)
    path = tmp_path / f"a{ending}"
    write_image(path, volume(), grid)
    image = read_image(path)
    assert np.array_equal(image.array, volume())
    assert image.array.dtype == np.int16
    assert image.geometry.differences(grid, tolerance=1e-4) == ()
    assert read_header(path) == image.geometry
    labels = (volume()[0] % 7).astype(np.int64)
    write_label(path, labels, grid)
    read, geometry = read_label(path)
    assert np.array_equal(read, labels)
    assert read.dtype == np.uint8
    assert geometry.differences(grid, tolerance=1e-4) == ()
    assert not list(tmp_path.glob(".partial-*"))


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha", ".mhd"])
def test_channels_round_trip(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    write_image(path, volume(3, np.float64) / 7, GRID)
    image = read_image(path)
    assert image.array.shape == (3, 3, 4, 5)
    assert image.array.dtype == np.float32
    assert np.allclose(image.array, volume(3) / 7)
    assert image.geometry.shape == (3, 4, 5)


def test_detached_voxel_file_survives_the_rename(tmp_path: Path) -> None:
    write_label(tmp_path / "a.mhd", volume()[0] % 3, GRID)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mhd", "a.zraw"]
    assert read_label(tmp_path / "a.mhd")[0].max() == 2


def test_equal_labels_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_label(tmp_path / name, volume()[0], GRID)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize(
    ("values", "dtype"), [((0, 255), np.uint8), ((0, 256), np.uint16), ((-1, 5), np.int16), ((0, 60000), np.uint16)]
)
def test_written_label_type_is_the_smallest_that_holds(tmp_path: Path, values: tuple[int, int], dtype: type) -> None:
    labels = np.zeros((3, 4, 5), np.int64)
    labels.flat[:2] = values
    write_label(tmp_path / "a.nii.gz", labels, GRID)
    assert nibabel.load(tmp_path / "a.nii.gz").get_data_dtype() == dtype
    assert np.array_equal(read_label(tmp_path / "a.nii.gz")[0], labels)


@pytest.mark.parametrize("codes", [(1, 1), (0, 2), (2, 0), (4, 1)])
def test_header_of_the_input_is_copied_byte_for_byte(tmp_path: Path, codes: tuple[int, int]) -> None:
    source = nibabel.Nifti1Image(volume()[0].T, None)
    affine = np.array([[-0.7, 0.1, 0, 3], [0.1, 0.7, 0.2, 5.123456], [0, -0.2, 3, 7], [0, 0, 0, 1]])
    source.header.set_sform(affine, code=codes[0])
    source.header.set_qform(affine, code=codes[1], strip_shears=True)
    nibabel.save(source, tmp_path / "image.nii.gz")
    geometry = read_header(tmp_path / "image.nii.gz")
    write_label(tmp_path / "label.nii", volume()[0] % 3, geometry, like=tmp_path / "image.nii.gz")
    before, after = (nibabel.load(tmp_path / name).header for name in ("image.nii.gz", "label.nii"))
    for field in ("pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x",
                  "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units"):  # fmt: skip
        assert before[field].tobytes() == after[field].tobytes(), field
    assert read_label(tmp_path / "label.nii")[1] == geometry


def test_nifti2_header_is_kept(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti2Image(volume()[0].T, np.diag([1, 2, 3, 1])), tmp_path / "image.nii.gz")
    geometry = read_header(tmp_path / "image.nii.gz")
    write_label(tmp_path / "label.nii.gz", volume()[0] % 3, geometry, like=tmp_path / "image.nii.gz")
    assert isinstance(nibabel.load(tmp_path / "label.nii.gz"), nibabel.Nifti2Image)
    assert np.array_equal(read_label(tmp_path / "label.nii.gz")[0], volume()[0] % 3)


def test_a_template_of_another_format_only_lends_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "image.nrrd", volume(), GRID)
    write_label(tmp_path / "label.nii.gz", volume()[0], GRID, like=tmp_path / "image.nrrd")
    assert read_header(tmp_path / "label.nii.gz").differences(GRID, tolerance=1e-4) == ()


def test_labels_stored_as_float_are_rounded(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz", volume(dtype=np.float32) % 3 + 4e-4, GRID)
    labels, _ = read_label(tmp_path / "a.nii.gz")
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, volume()[0] % 3)


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf, 1.002])
def test_values_that_are_no_labels(tmp_path: Path, bad: float) -> None:
    array = volume(dtype=np.float32) % 3
    array[0, 1, 1, 1] = bad
    write_image(tmp_path / "a.nii.gz", array, GRID)
    with pytest.raises(DatasetError, match=r"a\.nii\.gz holds .*, which is no label: store integer labels"):
        read_label(tmp_path / "a.nii.gz")


def test_several_channels_are_no_label(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz", volume(2), GRID)
    with pytest.raises(DatasetError, match="has 2 channels: store one label map"):
        read_label(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_files(tmp_path: Path, ending: str, share: float) -> None:
    path = tmp_path / f"a{ending}"
    write_image(
        path, np.random.default_rng(0).integers(0, 999, (1, 30, 40, 50), np.int16), Geometry((30, 40, 50), (1, 1, 1))
    )
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DatasetError, match=r"cannot be read \(.+\): download or export it again"):
        read_image(path)


def test_flipped_byte_in_compressed_file(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    write_image(path, volume(), GRID)
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF  # the checksum
    path.write_bytes(bytes(content))
    with pytest.raises(DatasetError, match="cannot be read"):
        read_image(path)


@pytest.mark.parametrize("content", [b"not an image at all", gzip.compress(b"nor this" * 100, mtime=0), b"\0" * 400])
def test_files_of_another_kind(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.nii.gz").write_bytes(content)
    for read in (read_image, read_header):
        with pytest.raises(DatasetError, match=r"cannot be read \(it has no NIfTI header\)"):
            read(tmp_path / "a.nii.gz")


def test_broken_dimensions(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii", volume(), GRID)
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[40] = 9
    (tmp_path / "a.nii").write_bytes(bytes(content))
    with pytest.raises(DatasetError, match=r"its header claims \d+ dimensions"):
        read_header(tmp_path / "a.nii")


def test_colour_voxels(tmp_path: Path) -> None:
    colours = np.zeros((3, 4, 5), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(DatasetError, match="not numbers"):
        read_image(tmp_path / "a.nii")


def test_complex_volume_of_itk(tmp_path: Path) -> None:
    import SimpleITK as sitk  # noqa: N813

    image = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.complex64))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    with pytest.raises(DatasetError, match="cannot be read"):
        read_image(tmp_path / "a.nrrd")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd"])
def test_missing_file(tmp_path: Path, name: str) -> None:
    for read in (read_image, read_header):
        with pytest.raises(DatasetError, match="does not exist: check the path"):
            read(tmp_path / name)


def test_unsupported_ending(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a\.dcm is not a supported image: convert it to one of \.nii\.gz"):
        read_image(tmp_path / "a.dcm")
    assert image_ending(tmp_path / "a.dcm") is None
    assert image_ending(tmp_path / "A.NII.GZ") == ".nii.gz"


def test_shape_mismatches(tmp_path: Path) -> None:
    other = Geometry((3, 4, 6), (1, 1, 1))
    with pytest.raises(GeometryError, match="is not its grid's"):
        write_label(tmp_path / "a.nii.gz", volume()[0], other)
    write_label(tmp_path / "a.nii.gz", volume()[0], GRID)
    with pytest.raises(GeometryError, match=r"the header of .* is for shape \(3, 4, 5\)"):
        write_label(tmp_path / "b.nii.gz", np.zeros((3, 4, 6), np.uint8), other, like=tmp_path / "a.nii.gz")
    (tmp_path / "a.nii.gz").write_bytes(b"")
    with pytest.raises(DatasetError, match="cannot be read"):
        write_label(tmp_path / "b.nii.gz", np.zeros((3, 4, 6), np.uint8), other, like=tmp_path / "a.nii.gz")


def test_labels_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="write integers"):
        write_label(tmp_path / "a.nii.gz", volume(dtype=np.float32)[0], GRID)
    with pytest.raises(DatasetError, match=r"values from 0 to 70000 are no labels"):
        write_label(tmp_path / "a.nii.gz", np.full((3, 4, 5), 70000) * np.eye(3, 4, dtype=int)[..., None], GRID)
    with pytest.raises(DatasetError, match="GIPL files cannot hold a direction"):
        write_label(tmp_path / "a.gipl", volume()[0], GRID)


def test_count_non_finite() -> None:
    array = volume(dtype=np.float32)
    assert count_non_finite(array) == 0
    assert count_non_finite(volume()) == 0
    array.flat[:3] = np.nan, np.inf, -np.inf
    assert count_non_finite(array) == 3


def test_real_images(test_data: Path) -> None:
    paths = sorted((test_data / "Task04_Hippocampus" / "imagesTr").glob("[!.]*.nii.gz"))[:5]
    for path in paths:
        ours, theirs = read_image(path), nibabel.load(path)
        assert np.array_equal(ours.array[0], np.asarray(theirs.dataobj).T)
        assert ours.geometry.spacing_mm == tuple(float(zoom) for zoom in theirs.header.get_zooms()[::-1])
