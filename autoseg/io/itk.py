"""NRRD, MetaImage and GIPL by SimpleITK; the only module that sees its x-first order. Import it late: it is slow."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.core.geometry import Geometry, Matrix3, Vector3

Array = npt.NDArray[Any]
sitk: Any = importlib.import_module("SimpleITK")  # it ships signatures without types
_COMPANIONS = (".zraw", ".raw", ".raw.gz")


def read(path: Path) -> tuple[Array, Geometry]:
    """Voxels (C, Z, Y, X) and grid."""
    return from_image(sitk.ReadImage(str(path)))


def from_image(image: Any) -> tuple[Array, Geometry]:
    """Voxels (C, Z, Y, X) and grid of a SimpleITK image.

    Raises:
        ValueError: It is not a volume of numbers.
    """
    array: Array = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        array = np.moveaxis(array, -1, 0)
    elif image.GetDimension() < 4:
        array = array[None]
    if array.ndim == 3:  # (C, Y, X): a single slice
        array = array[:, None]
    if array.ndim != 4 or array.dtype.kind not in "iuf":
        raise ValueError(f"{array.ndim - 1} dimensions of {array.dtype} are not a volume")
    array = np.ascontiguousarray(array, dtype=np.float32 if array.dtype.kind == "f" else None)
    return array, _geometry(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def read_geometry(path: Path) -> Geometry:
    """Grid from the header."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return _geometry(reader.GetSize(), reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection())


def write(path: Path, channels: Array, geometry: Geometry) -> None:
    """Write (C, Z, Y, X), compressed; several channels become the components of one voxel."""
    if len(channels) == 1:
        image = sitk.GetImageFromArray(channels[0])
    else:
        image = sitk.GetImageFromArray(np.moveaxis(channels, 0, -1), isVector=True)
    image.SetSpacing(geometry.spacing_mm[::-1])
    image.SetOrigin(geometry.origin_mm[::-1])
    direction = np.asarray(geometry.direction)[::-1, ::-1]
    image.SetDirection([float(value) for value in direction.ravel()])
    sitk.WriteImage(image, str(path), True)


def move_companion(temporary: Path, path: Path) -> None:
    """Move the voxel file that lies beside a detached header (`.mhd`, `.nhdr`); the header follows after it."""
    for ending in _COMPANIONS:
        companion = temporary.with_suffix(ending)
        if companion.is_file():
            companion.replace(path.with_suffix(ending))


def _geometry(
    size: tuple[int, ...], spacing: tuple[float, ...], origin: tuple[float, ...], direction: tuple[float, ...]
) -> Geometry:
    """From SimpleITK's x-first fields of any dimension; the fourth axis is channels and has no place in space."""
    dimension = len(size)
    matrix = np.eye(3)
    kept = min(dimension, 3)
    matrix[:kept, :kept] = np.asarray(direction).reshape(dimension, dimension)[:kept, :kept]
    x, y, z = (*size, 1, 1)[:3]
    return Geometry(
        shape=(z, y, x),
        spacing_mm=_reversed((*spacing, 1.0)[:3]),
        origin_mm=_reversed((*origin, 0.0)[:3]),
        direction=_matrix(matrix[::-1, ::-1]),
    )


def _reversed(values: tuple[float, ...]) -> Vector3:
    x, y, z = (float(value) + 0.0 for value in values)
    return (z, y, x)


def _matrix(values: npt.NDArray[np.float64]) -> Matrix3:
    first, second, third = (_reversed(tuple(row[::-1])) for row in values)
    return (first, second, third)
