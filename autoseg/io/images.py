"""Read and write volumes and pictures of any supported format as arrays (channel, z, y, x) with their geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.core.atomic import replacing
from autoseg.core.errors import AutosegError, DatasetError, GeometryError
from autoseg.core.geometry import Geometry
from autoseg.io import nifti

Array = npt.NDArray[Any]

NIFTI_ENDINGS = (".nii.gz", ".nii")
ITK_ENDINGS = (".nrrd", ".nhdr", ".mha", ".mhd", ".gipl.gz", ".gipl")
PLANAR_ENDINGS = (".png", ".bmp", ".tif", ".tiff")
VOLUME_ENDINGS = (*NIFTI_ENDINGS, *ITK_ENDINGS)
READABLE_ENDINGS = (*VOLUME_ENDINGS, *PLANAR_ENDINGS)
_LABEL_TYPES = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32)
_INTEGER_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Image:
    """A volume in memory.

    Attributes:
        array: (C, Z, Y, X), the file's integer type or float32, intensities scaled as the header says.
        geometry: Grid of every channel.
    """

    array: Array
    geometry: Geometry


def image_ending(path: Path) -> str | None:
    """The supported ending of a file name (lower case, with its dot), or None."""
    name = path.name.lower()
    return next((ending for ending in READABLE_ENDINGS if name.endswith(ending)), None)


def is_picture(path: Path) -> bool:
    """Whether a file is a PNG, TIFF or BMP, which holds one slice and may hold several channels."""
    return image_ending(path) in PLANAR_ENDINGS


def without_previews(files: Sequence[Path]) -> tuple[Path, ...]:
    """Image files of a folder; pictures that lie beside volumes are previews, not data."""
    images = tuple(path for path in files if image_ending(path) is not None and not path.name.startswith("."))
    volumes = tuple(path for path in images if not is_picture(path))
    return volumes or images


def read_image(path: Path) -> Image:
    """Read a volume or a picture; the components of 4D files and colours are channels.

    Raises:
        DatasetError: The file is missing, damaged, of an unsupported format or has an unusable grid.
    """
    return _read(path, palette_as_numbers=False)


def _read(path: Path, *, palette_as_numbers: bool) -> Image:
    try:
        ending = _ending(path)
        if ending in NIFTI_ENDINGS:
            array, geometry = nifti.read(path)
        elif ending in PLANAR_ENDINGS:
            from autoseg.io import planar

            array, geometry = planar.read(path, palette_as_numbers=palette_as_numbers)
        else:
            from autoseg.io import itk  # its import takes longer than reading a small NIfTI file

            array, geometry = itk.read(path)
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error
    return Image(array, geometry)


def read_header(path: Path) -> Geometry:
    """Grid of a volume without reading its voxels.

    Raises:
        DatasetError: As `read_image`.
    """
    try:
        if _ending(path) in NIFTI_ENDINGS:
            return nifti.read_geometry(path)
        if is_picture(path):
            from autoseg.io import planar

            return planar.read_geometry(path)
        from autoseg.io import itk

        return itk.read_geometry(path)
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error


def read_label(path: Path) -> tuple[Array, Geometry]:
    """Read a label map as the smallest integer type that holds its values, (Z, Y, X).

    Values within 0.001 of an integer are rounded: some data sets ship labels as scaled or float files.

    Raises:
        DatasetError: As `read_image`, or several channels, or values that are not integers.
    """
    image = _read(path, palette_as_numbers=True)
    grey = is_picture(path) and bool((image.array == image.array[:1]).all())  # stored as RGB, but without colour
    if len(image.array) != 1 and not grey:
        raise DatasetError(
            f"the label file {path} has {len(image.array)} channels", "store one label map with one value per voxel"
        )
    return _as_integers(image.array[0], path), image.geometry


def write_label(path: Path, labels: Array, geometry: Geometry, *, like: Path | None = None) -> None:
    """Write a label map (Z, Y, X) atomically, as uint8, or uint16 or int16 where values need it.

    Args:
        path: Its ending chooses the format.
        labels: Integers.
        geometry: Grid of `labels`.
        like: File whose header is copied, so that affine, qform and sform agree byte for byte; used where both
            files are NIfTI.

    Raises:
        GeometryError: `labels`, `geometry` and `like` differ in shape.
        DatasetError: Values that no label type holds, or an ending that cannot be written.
    """
    if not np.issubdtype(labels.dtype, np.integer) and labels.dtype != np.bool_:
        raise DatasetError(f"labels for {path} are {labels.dtype}", "write integers")
    _write(path, _narrow(labels, path, (np.uint8, np.uint16, np.int16))[None], geometry, like)


def write_image(path: Path, array: Array, geometry: Geometry, *, like: Path | None = None) -> None:
    """Write (C, Z, Y, X) or (Z, Y, X) atomically; float64 is stored as float32.

    Raises:
        GeometryError: `array`, `geometry` and `like` differ in shape.
        DatasetError: An ending that cannot be written.
    """
    channels = array[None] if array.ndim == 3 else array
    if channels.dtype == np.float64 or channels.dtype == np.float16:
        channels = channels.astype(np.float32)
    elif channels.dtype.kind in "iu" and channels.dtype.itemsize == 8:
        channels = _narrow(channels, path, _LABEL_TYPES)
    _write(path, channels, geometry, like)


def count_non_finite(array: Array) -> int:
    """Number of NaN or infinite voxels."""
    if array.dtype.kind != "f":
        return 0
    with np.errstate(invalid="ignore", over="ignore"):
        # One pass without a mask: the sum of finite numbers is finite in float64.
        if np.isfinite(array.sum(dtype=np.float64)):
            return 0
    return int(array.size - np.count_nonzero(np.isfinite(array)))


_READ_ERRORS = (OSError, EOFError, ValueError, RuntimeError, GeometryError, *nifti.ERRORS)


def _unreadable(path: Path, error: BaseException) -> DatasetError:
    if not path.exists():
        return DatasetError(f"{path} does not exist", "check the path")
    why = error.problem if isinstance(error, AutosegError) else str(error).strip().splitlines()[-1:] or [repr(error)]
    text = why if isinstance(why, str) else why[0]
    return DatasetError(f"{path} cannot be read ({text})", "download or export it again, or remove the case")


def _ending(path: Path) -> str:
    ending = image_ending(path)
    if ending is None:
        raise DatasetError(f"{path} is not a supported image", f"convert it to one of {', '.join(READABLE_ENDINGS)}")
    return ending


def _write(path: Path, channels: Array, geometry: Geometry, like: Path | None) -> None:
    ending = _ending(path)
    if channels.shape[1:] != geometry.shape:
        raise GeometryError(f"{path}: the array's shape {channels.shape[1:]} is not its grid's {geometry.shape}")
    if ending in NIFTI_ENDINGS:
        header = None
        if like is not None and image_ending(like) in NIFTI_ENDINGS:
            header = _header_of(like, geometry)
        with replacing(path) as temporary:
            nifti.write(temporary, channels, geometry, like=header)
        return
    if ending in PLANAR_ENDINGS:
        from autoseg.io import planar

        with replacing(path) as temporary:
            planar.write(temporary, channels)
        return
    if ending.startswith(".gipl") and not np.allclose(geometry.direction, np.eye(3)):
        raise DatasetError(f"{path}: GIPL files cannot hold a direction", "choose another format, e.g. .nii.gz")
    from autoseg.io import itk

    with replacing(path) as temporary:
        itk.write(temporary, channels, geometry)
        itk.move_companion(temporary, path)


def _header_of(like: Path, geometry: Geometry) -> nifti.Header:
    try:
        header = nifti.read_header(like)
        shape = nifti.geometry_of(header).shape
    except _READ_ERRORS as error:
        raise _unreadable(like, error) from error
    if shape != geometry.shape:
        raise GeometryError(f"the header of {like} is for shape {shape}, not for {geometry.shape}")
    return header


def _as_integers(array: Array, path: Path) -> Array:
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            rounded = np.rint(array)
            wrong = ~(np.abs(array - rounded) < _INTEGER_TOLERANCE)
        if wrong.any():
            raise DatasetError(
                f"{path} holds {array[wrong][0]!s}, which is no label",
                "store integer labels; resample label maps by nearest neighbour",
            )
        array = rounded.astype(np.int64)
    return _narrow(array, path, _LABEL_TYPES)


def _narrow(array: Array, path: Path, types: tuple[type[np.integer[Any]], ...]) -> Array:
    """Cast to the first of `types` that holds all values."""
    if array.dtype == np.bool_ or array.dtype == types[0]:
        return array.astype(types[0], copy=False)
    low, high = int(array.min()), int(array.max())
    for kind in types:
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return array.astype(kind, copy=False)
    raise DatasetError(f"{path}: values from {low} to {high} are no labels", "use labels from 0 to 65535")
