"""NIfTI read by nibabel equals NIfTI read by SimpleITK: the two geometry conventions agree."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from autoseg.io import itk, nifti

SIGNED_PERMUTATIONS = [
    np.eye(3)[list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((-1, 1), repeat=3)
]


def compare(image: nibabel.Nifti1Image, tolerance: float = 1e-4) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.nii"
        nibabel.save(image, path)
        (array, geometry), (other_array, other) = nifti.read(path), itk.read(path)
        assert np.allclose(array, other_array, rtol=1e-6)
        assert geometry.differences(other, tolerance=tolerance) == ()
        assert nifti.read_geometry(path) == geometry
        assert itk.read_geometry(path) == other


def make(affine: np.ndarray, *, shape: tuple[int, ...] = (2, 3, 4), dtype: type = np.int16) -> nibabel.Nifti1Image:
    return nibabel.Nifti1Image(np.arange(np.prod(shape)).reshape(shape).astype(dtype), affine)


@pytest.mark.parametrize("axes", SIGNED_PERMUTATIONS)
def test_every_orientation(axes: np.ndarray) -> None:
    affine = np.eye(4)
    affine[:3, :3] = axes @ np.diag([0.7, 1.5, 3.0])
    affine[:3, 3] = (-12.5, 40.0, 7.25)
    compare(make(affine))


@settings(max_examples=60)
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    axes=st.sampled_from(SIGNED_PERMUTATIONS),
    spacing=st.tuples(*[st.floats(0.1, 9)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    codes=st.sampled_from([(1, 1), (1, 0), (0, 1), (2, 1), (0, 0)]),
)
def test_oblique_grids(
    angles: tuple[float, ...],
    axes: np.ndarray,
    spacing: tuple[float, ...],
    origin: tuple[float, ...],
    codes: tuple[int, int],
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ axes @ np.diag(spacing)
    affine[:3, 3] = origin
    image = make(affine)
    image.set_sform(affine, code=codes[0])
    image.set_qform(affine, code=codes[1])
    compare(image, tolerance=2e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("scale", [None, (1.0, -1024.0), (0.01, 3.0), (0.0, 0.0), (np.nan, np.nan)])
def test_types_and_scaling(dtype: type, scale: tuple[float, float] | None, tmp_path: Path) -> None:
    image = make(np.diag([1, 2, 3, 1]), dtype=dtype)
    path = tmp_path / "a.nii"
    nibabel.save(image, path)
    if scale is not None:
        content = bytearray(path.read_bytes())
        content[112:120] = np.array(scale, np.float32).tobytes()
        path.write_bytes(bytes(content))
    array, _ = nifti.read(path)
    expected = np.asarray(nibabel.load(path).dataobj).T[None]
    assert np.allclose(array, expected, rtol=1e-6)
    assert array.dtype.isnative
    assert array.flags.writeable


def test_big_endian(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 2, 3, 1]), header), tmp_path / "a.nii")
    array, geometry = nifti.read(tmp_path / "a.nii")
    assert np.array_equal(array[0], voxels.T)
    assert geometry.spacing_mm == (3.0, 2.0, 1.0)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 3, 4, 1), (2, 3, 4, 5), (2, 3, 4, 1, 5)])
def test_dimensions(shape: tuple[int, ...], tmp_path: Path) -> None:
    nibabel.save(make(np.diag([1, 2, 3, 1]), shape=shape), tmp_path / "a.nii")
    array, geometry = nifti.read(tmp_path / "a.nii")
    x, y, z, *rest = (*shape, 1, 1)[:5] if len(shape) < 4 else shape
    assert geometry.shape == (z, y, x)
    assert array.shape == (int(np.prod(rest)), z, y, x)
    assert np.array_equal(
        array[-1], np.asarray(nibabel.load(tmp_path / "a.nii").dataobj).reshape(x, y, z, -1)[..., -1].T
    )


def test_sheared_sform_is_read_where_itk_refuses(tmp_path: Path) -> None:
    affine = np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]])
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.uint8), affine)
    image.set_qform(None, code=0)
    nibabel.save(image, tmp_path / "a.nii")
    geometry = nifti.read_geometry(tmp_path / "a.nii")
    direction = np.asarray(geometry.direction)
    assert abs(direction.T @ direction - np.eye(3)).max() > 0.1


def test_degenerate_sform_falls_back_to_the_qform(tmp_path: Path) -> None:
    image = make(np.diag([1, 2, 3, 1]))
    image.set_qform(np.diag([1, 2, 3, 1]), code=1)
    image.header["sform_code"] = 1
    nibabel.save(image, tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[280:328] = bytes(48)
    (tmp_path / "a.nii").write_bytes(bytes(content))
    assert nifti.read_geometry(tmp_path / "a.nii").spacing_mm == (3.0, 2.0, 1.0)


def test_spacing_is_the_number_that_was_meant(tmp_path: Path) -> None:
    affine = np.diag([0.7431640625, 0.7431640625, 1.6, 1])
    affine[:3, :3] = Rotation.from_euler("x", 11, degrees=True).as_matrix() @ affine[:3, :3]
    nibabel.save(make(affine), tmp_path / "a.nii")
    assert nifti.read_geometry(tmp_path / "a.nii").spacing_mm == (float(np.float32(1.6)), 0.7431640625, 0.7431640625)


@pytest.mark.parametrize("codes", [(1, 1), (2, 1), (1, 2), (4, 1), (0, 1)])
def test_disagreeing_sform_and_qform(codes: tuple[int, int]) -> None:
    image = make(np.eye(4))
    image.set_sform(np.diag([1, 2, 3, 1]), code=codes[0])
    image.set_qform(np.diag([-1, -2, 3, 1]), code=codes[1])
    compare(image)
