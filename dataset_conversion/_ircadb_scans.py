"""Spacing and number of slices of a patient of 3D-IRCADb-01, from the scan as shipped."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Vector3
from autoseg.datasets.files import folders_below, is_junk

_TAGS = ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"]
_STEP_TOLERANCE_MM = 0.01


def read_spacing_mm(root: Path, patient: int) -> tuple[Vector3, int]:
    """Spacing (z, y, x) and number of slices of a patient's CT.

    The step is the median distance of slice positions along their normal; SliceThickness may be another number.

    Args:
        root: Folder with `3Dircadb1.N/PATIENT_DICOM[.zip]`, at any of the first levels, or `3Dircadb1.N` itself.
        patient: N.

    Raises:
        DatasetError: No such patient, no slices, or slices at unequal distances.
    """
    folders = [folder for folder in folders_below(root, depth=2) if folder.name.lower() == f"3dircadb1.{patient}"]
    if not folders:
        raise DatasetError(f"{root} has no folder 3Dircadb1.{patient}", "unpack 3D-IRCADb-01 there")
    try:
        headers = [_header(file) for file in _slices(folders[0])]
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, InvalidDicomError) as error:
        raise DatasetError(f"the scan in {folders[0]} cannot be read ({error})", "download it again") from error
    if len(headers) < 2:
        raise DatasetError(f"{folders[0]} has no PATIENT_DICOM with slices", "unpack 3D-IRCADb-01 again")
    row, column = np.reshape(np.asarray(headers[0].ImageOrientationPatient, float), (2, 3))
    positions = sorted(float(np.dot(header.ImagePositionPatient, np.cross(row, column))) for header in headers)
    steps = np.diff(positions)
    step = float(np.median(steps))
    if np.abs(steps - step).max() > _STEP_TOLERANCE_MM:
        raise DatasetError(f"slices of {folders[0]} are {steps.min():g} to {steps.max():g} mm apart", "unpack it again")
    rows, columns = (float(value) for value in headers[0].PixelSpacing)
    return (step, rows, columns), len(headers)


def _header(file: Callable[[], Any]) -> Any:
    with file() as stream:
        return pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=_TAGS)


def _slices(folder: Path) -> Iterator[Callable[[], Any]]:
    """Openers of the CT slices, from the zip or its unpacked folder (which some programs double)."""
    archive = folder / "PATIENT_DICOM.zip"
    if archive.is_file():
        with zipfile.ZipFile(archive) as content:
            for name in content.namelist():
                if name.rsplit("/", 1)[-1].startswith("image_"):
                    yield functools.partial(content.open, name)
        return
    for inner in folders_below(folder / "PATIENT_DICOM", depth=1):
        for path in sorted(inner.glob("image_*")):
            if path.is_file() and not is_junk(path):
                yield functools.partial(path.open, "rb")
