"""NIfTI-1 and -2 by nibabel: header exact, voxels in one read, RAS turned to the LPS of `Geometry`."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Any, TypeAlias

import nibabel
import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from autoseg.core.geometry import Geometry, Matrix3, Shape3, Vector3

Array: TypeAlias = npt.NDArray[Any]
Header: TypeAlias = Any  # nibabel.Nifti1Header or Nifti2Header; nibabel ships no types
ERRORS = (zlib.error, gzip.BadGzipFile, HeaderDataError, WrapStructError)

_HEADER_BYTES = 544
_NIFTI2_SIZE = 540
_GRID_FIELDS = (
    "pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units",
)  # fmt: skip
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Level 1 takes a third of the time of zlib's default and adds a tenth to the size.
_COMPRESSION = 1


def read(path: Path) -> tuple[Array, Geometry]:
    """Voxels (C, Z, Y, X) and grid.

    Raises:
        ValueError: The file is shorter than its header says, or holds colours or complex numbers.
    """
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    header = _parse(content[:_HEADER_BYTES])
    return _voxels(content, header), geometry_of(header)


def read_header(path: Path) -> Header:
    """The header alone; of compressed files only the first block is inflated."""
    with path.open("rb") as handle:
        start = handle.read(_HEADER_BYTES)
        if start[:2] == b"\x1f\x8b":
            handle.seek(0)
            with gzip.GzipFile(fileobj=handle) as stream:
                start = stream.read(_HEADER_BYTES)
    return _parse(start)


def read_geometry(path: Path) -> Geometry:
    """Grid from the header."""
    return geometry_of(read_header(path))


def geometry_of(header: Header) -> Geometry:
    """Grid of a header: the sform where its code is set, else the qform, else pixdim alone."""
    affine = _LPS @ _affine(header)
    columns = affine[:3, :3]
    spacing = np.linalg.norm(columns, axis=0)
    pixdim = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64))
    # srow holds float32 products; pixdim is the number that was meant.
    exact = np.where(np.isclose(spacing, pixdim, rtol=1e-4, atol=0), pixdim, spacing)
    with np.errstate(divide="ignore", invalid="ignore"):
        direction = np.where(spacing > 0, columns / spacing, 0.0)
    return Geometry(
        shape=_shape3(header),
        spacing_mm=_vector(exact[::-1]),
        origin_mm=_vector(affine[:3, 3][::-1]),
        direction=_matrix(direction[::-1, ::-1]),
    )


def is_scaled(header: Header) -> bool:
    """Whether slope and intercept change the voxels."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    return bool(np.isfinite([slope, inter]).all()) and slope != 0 and (slope, inter) != (1.0, 0.0)


def write(path: Path, channels: Array, geometry: Geometry, *, like: Header | None) -> None:
    """Write (C, Z, Y, X); one channel gives a 3D file, several a 4D one.

    Args:
        path: `.nii` or `.nii.gz`.
        channels: Voxels in a type that NIfTI knows.
        geometry: Grid, used where there is no `like`.
        like: Header whose grid fields are copied as they are.
    """
    header = _new_header(channels, geometry, like)
    stored = channels[0] if len(channels) == 1 else channels
    # C order (c, z, y, x) is NIfTI's order with x fastest.
    voxels = np.ascontiguousarray(stored, dtype=header.get_data_dtype()).tobytes()
    offset = int(header["vox_offset"])
    content = header.binaryblock.ljust(offset, b"\0") + voxels
    if path.name.lower().endswith(".gz"):
        # No time stamp: equal volumes give equal files.
        content = gzip.compress(content, _COMPRESSION, mtime=0)
    path.write_bytes(content)


def _parse(start: bytes) -> Header:
    sizes = (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big"))
    kind: Any = nibabel.Nifti2Header if _NIFTI2_SIZE in sizes else nibabel.Nifti1Header
    if 348 not in sizes and _NIFTI2_SIZE not in sizes:
        raise ValueError("it has no NIfTI header")
    # Extensions may reach beyond the start; they say nothing about the grid and are left out.
    header = kind.from_fileobj(io.BytesIO(start[: kind.sizeof_hdr] + bytes(4)), check=False)
    if int(header["dim"][0]) not in range(1, 8):
        raise ValueError(f"its header claims {int(header['dim'][0])} dimensions")
    return header


def _shape3(header: Header) -> Shape3:
    shape = [int(size) for size in header.get_data_shape()]
    x, y, z = [*shape, 1, 1, 1][:3]
    return (z, y, x)


def _voxels(content: bytes, header: Header) -> Array:
    stored = header.get_data_dtype()
    if stored.kind not in "iuf":
        raise ValueError(f"its voxels are of the type {stored}, not numbers")
    shape = [int(size) for size in header.get_data_shape()]
    channels = int(np.prod(shape[3:], dtype=np.int64))
    count = int(np.prod(shape, dtype=np.int64))
    offset = max(int(header["vox_offset"]), int(header["sizeof_hdr"]))
    if len(content) < offset + count * stored.itemsize:
        raise ValueError(f"it is truncated: {len(content)} of {offset + count * stored.itemsize} bytes")
    flat = np.frombuffer(content, dtype=stored, count=count, offset=offset)
    return _scaled(flat.reshape((channels, *_shape3(header))), header)


def _scaled(array: Array, header: Header) -> Array:
    """Apply slope and intercept; a slope of 0 or NaN means none (NIfTI-1 standard, scl_slope)."""
    if not is_scaled(header):
        if array.dtype.kind == "f":
            return array.astype(np.float32)
        return array.astype(array.dtype.newbyteorder("="))
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if array.dtype.itemsize <= 2:
        return array.astype(np.float32) * np.float32(slope) + np.float32(inter)
    return (array.astype(np.float64) * slope + inter).astype(np.float32)


def _affine(header: Header) -> npt.NDArray[np.float64]:
    """Voxel (x, y, z) to RAS millimetres."""
    if int(header["sform_code"]) > 0:
        sform = np.asarray(header.get_sform(), dtype=np.float64)
        if np.isfinite(sform).all() and abs(np.linalg.det(sform[:3, :3])) > 0:
            return sform
    if int(header["qform_code"]) > 0:
        return np.asarray(header.get_qform(), dtype=np.float64)
    # Analyze's heirs: spacing alone, taken as LPS like ITK does.
    return np.asarray(_LPS @ np.diag([*np.asarray(header["pixdim"][1:4], dtype=np.float64), 1.0]))


def _new_header(channels: Array, geometry: Geometry, like: Header | None) -> Header:
    kind: Any = nibabel.Nifti1Header if like is None else type(like)
    header = kind()
    header.set_data_dtype(channels.dtype.newbyteorder("="))
    z, y, x = channels.shape[1:]
    header.set_data_shape((x, y, z) if len(channels) == 1 else (x, y, z, len(channels)))
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    header["magic"] = header.default_structarr()["magic"]
    header["vox_offset"] = 352 if header["sizeof_hdr"] == 348 else _HEADER_BYTES
    if like is not None:
        for field in _GRID_FIELDS:
            header[field] = like[field]
        return header
    ras = _LPS @ _lps_affine(geometry)
    header.set_xyzt_units("mm")
    header.set_sform(ras, code=1)
    direction = np.asarray(geometry.direction)
    if np.allclose(direction.T @ direction, np.eye(3), atol=1e-4):
        header.set_qform(ras, code=1)
    else:
        header["pixdim"][1:4] = geometry.spacing_mm[::-1]
    return header


def _lps_affine(geometry: Geometry) -> npt.NDArray[np.float64]:
    """Voxel (x, y, z) to LPS millimetres: the (z, y, x) matrix with rows and columns reversed."""
    affine = np.eye(4)
    affine[:3, :3] = geometry.affine()[:3, :3][::-1, ::-1]
    affine[:3, 3] = geometry.origin_mm[::-1]
    return affine


def _vector(values: npt.NDArray[np.float64]) -> Vector3:
    first, second, third = (float(value) + 0.0 for value in values)
    return (first, second, third)


def _matrix(values: npt.NDArray[np.float64]) -> Matrix3:
    return (_vector(values[0]), _vector(values[1]), _vector(values[2]))
