"""What can be segmented: files, arrays with their spacing, and SimpleITK images, all as (C, Z, Y, X) with a grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.io.images import image_ending
from autoseg.io.raw import RawCase, read_case

Array = npt.NDArray[Any]
SPATIAL_AXES = 3


def as_image(source: Any, *, channels: Sequence[str]) -> tuple[Array, Geometry, str]:
    """Float32 (C, Z, Y, X), its grid, and a name for messages.

    Args:
        source: A path, a sequence of paths (one per channel), a pair of an array (Z, Y, X) or (C, Z, Y, X) and its
            spacing (z, y, x) in mm, or a SimpleITK image.
        channels: Names of the expected channels.

    Raises:
        DatasetError: Unreadable files, an array of another rank, or a source of another kind.
    """
    if isinstance(source, str | Path):
        return _from_files((Path(source),), channels)
    if hasattr(source, "GetDirection"):
        return _from_simpleitk(source)
    if isinstance(source, Sequence) and source and all(isinstance(item, str | Path) for item in source):
        return _from_files(tuple(Path(item) for item in source), channels)
    if isinstance(source, Sequence) and len(source) == 2 and hasattr(source[0], "__array__"):
        array, spacing_mm = source
        return _from_array(np.asarray(array), spacing_mm)
    raise DatasetError(
        f"a {type(source).__name__} is not an image", "give a path, (array, spacing_mm) or a SimpleITK image"
    )


def _from_files(paths: tuple[Path, ...], channels: Sequence[str]) -> tuple[Array, Geometry, str]:
    case_id = paths[0].name.removesuffix(image_ending(paths[0]) or "")
    array, geometry, _ = read_case(RawCase(case_id, paths), channels=tuple(channels))
    return array, geometry, case_id


def _from_array(array: Array, spacing_mm: Sequence[float]) -> tuple[Array, Geometry, str]:
    volume = array[None] if array.ndim == SPATIAL_AXES else array
    if volume.ndim != SPATIAL_AXES + 1 or len(spacing_mm) != SPATIAL_AXES:
        raise DatasetError(
            f"an array of shape {array.shape} with the spacing {tuple(spacing_mm)} is not a volume",
            "give (Z, Y, X) or (C, Z, Y, X), and the spacing as (z, y, x) in mm",
        )
    z, y, x = volume.shape[1:]
    spacing = (float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2]))
    return volume.astype(np.float32, copy=False), Geometry((z, y, x), spacing), "array"


def _from_simpleitk(image: Any) -> tuple[Array, Geometry, str]:
    from autoseg.io import itk  # imported late: SimpleITK is slow to load

    array, geometry = itk.from_image(image)
    return array.astype(np.float32, copy=False), geometry, "image"
