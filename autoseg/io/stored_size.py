"""How much memory reading a case takes, from the headers of its files alone."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.core.geometry import Geometry
from autoseg.io import nifti
from autoseg.io.images import NIFTI_ENDINGS, image_ending, is_picture, read_header

FLOAT_BYTES = 4
LABEL_CHECK_BYTES = 17
"""Per voxel of a label file that holds floats: rounded, compared, widened to 64 bits and narrowed again."""


@dataclass(frozen=True)
class StoredVolume:
    """An image file.

    Attributes:
        geometry: Its grid.
        file_bytes: Size of the file where it is compressed, else 0.
        stored_bytes: Size of its voxels as they are in the file.
        read_bytes: Size of the array that is made of them.
        peak_bytes: Most that is held while that array is made.
        is_float: Whether the array holds floats.
        channels: Of the array.
    """

    geometry: Geometry
    file_bytes: int
    stored_bytes: int
    read_bytes: int
    peak_bytes: int
    is_float: bool
    channels: int

    @property
    def voxels(self) -> int:
        """Of one channel."""
        return int(np.prod(self.geometry.shape, dtype=np.int64))


@dataclass(frozen=True)
class CaseSize:
    """Memory of reading a case (`autoseg.io.raw.read_case`).

    Attributes:
        geometry: Grid of the case.
        channels: Of the image.
        image_bytes: Of the image (C, Z, Y, X), float32.
        label_bytes: Of the labels, 0 without.
        peak_bytes: Most that is held while both are read.
    """

    geometry: Geometry
    channels: int
    image_bytes: int
    label_bytes: int
    peak_bytes: int


def case_size(images: Sequence[Path], label: Path | None = None) -> CaseSize:
    """Memory of reading the files of a case; no voxel is read.

    Args:
        images: One file per channel, or one with all.
        label: Reference, or None.

    Raises:
        DatasetError: As `read_header`.
    """
    volumes = [stored_volume(path) for path in images]
    held = [volume.read_bytes for volume in volumes]
    peak = max(sum(held[:place]) + volume.peak_bytes for place, volume in enumerate(volumes))
    channels, voxels = sum(volume.channels for volume in volumes), volumes[0].voxels
    stacked = sum(held) + (max(held) * len(held) if len(held) > 1 else 0)
    converted = 0 if all(volume.is_float for volume in volumes) else FLOAT_BYTES * channels * voxels
    read, label_bytes = stacked + converted, 0
    peak = max(peak, read)
    if label is not None:
        mask = stored_volume(label)
        narrowed = (LABEL_CHECK_BYTES if mask.is_float else mask.read_bytes // max(1, mask.voxels) + 2) * mask.voxels
        label_bytes = mask.read_bytes if not mask.is_float else 2 * mask.voxels
        peak = max(peak, read + max(mask.peak_bytes, narrowed))
    return CaseSize(volumes[0].geometry, channels, FLOAT_BYTES * channels * voxels, label_bytes, peak)


def stored_volume(path: Path) -> StoredVolume:
    """Sizes of an image file from its header.

    Raises:
        DatasetError: As `read_header`.
    """
    geometry = read_header(path)
    voxels = int(np.prod(geometry.shape, dtype=np.int64))
    file_bytes = path.stat().st_size
    if image_ending(path) in NIFTI_ENDINGS:
        return _nifti(path, geometry, file_bytes)
    if is_picture(path):
        # Colours with a transparent channel at most, of 16 bits at most: pictures are small anyway.
        return StoredVolume(geometry, file_bytes, 8 * voxels, 8 * voxels, 24 * voxels, is_float=False, channels=1)
    kind, components = _itk_type(path)
    stored = voxels * kind.itemsize * components
    read = FLOAT_BYTES * voxels * components if kind.kind == "f" else stored
    # SimpleITK's image, numpy's copy of it, and one more where axes move or float64 becomes float32.
    copies = 2 * stored + (read if components > 1 or read != stored else 0) + file_bytes
    return StoredVolume(geometry, file_bytes, stored, read, copies, is_float=kind.kind == "f", channels=components)


def _nifti(path: Path, geometry: Geometry, file_bytes: int) -> StoredVolume:
    header = nifti.read_header(path)
    kind = header.get_data_dtype()
    count = int(np.prod([int(size) for size in header.get_data_shape()], dtype=np.int64))
    voxels = max(1, int(np.prod(geometry.shape, dtype=np.int64)))
    scaled = nifti.is_scaled(header)
    is_float = scaled or kind.kind == "f"
    stored, read = count * kind.itemsize, count * (FLOAT_BYTES if is_float else kind.itemsize)
    compressed = path.name.lower().endswith(".gz")
    # Inflated blocks are joined at the end, so that the content is there twice.
    inflating = 2 * stored + 2 * file_bytes if compressed else stored
    wide = 8 if kind.itemsize > 2 else FLOAT_BYTES
    converting = stored + (2 * wide * count if scaled else read)
    return StoredVolume(
        geometry,
        file_bytes if compressed else 0,
        stored,
        read,
        max(inflating, converting),
        is_float=is_float,
        channels=max(1, count // voxels),
    )


def _itk_type(path: Path) -> tuple[np.dtype[Any], int]:
    """Type of a component, and components per voxel; a fourth axis counts as components."""
    sitk: Any = importlib.import_module("SimpleITK")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    names = {"8-bit": 1, "16-bit": 2, "32-bit": 4, "64-bit": 8}
    text = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    width = next((size for name, size in names.items() if name in text), 8)
    extra = int(np.prod(reader.GetSize()[3:], dtype=np.int64))
    return np.dtype(f"{'f' if 'float' in text and width > 2 else 'u'}{width}"), reader.GetNumberOfComponents() * extra
