"""One DICOM file: the header fields that place a slice, and its pixels. pydicom is loaded at the first file."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from autoseg.core.errors import DatasetError
from autoseg.io.archive import READ_ERRORS, Entry

Array = npt.NDArray[Any]
Point = tuple[float, float, float]
_PREAMBLE = 132
# Group 0008 in little endian: how a file without the 132-byte preamble starts.
_BARE_START = b"\x08\x00"
_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Slice:
    """Header of one image.

    Attributes:
        where: How to name the file to a person.
        open: Opens the file.
        uid: SOP instance identifier.
        study: Study identifier.
        series: Series identifier.
        series_number: As text, empty if absent.
        description: Series description.
        modality: `CT`, `MR`, ...
        patient: PatientID, empty if absent.
        number: InstanceNumber, 0 if absent.
        position_mm: Centre of the first pixel, LPS (x, y, z).
        row: Unit vector of increasing column index, LPS (x, y, z).
        column: Unit vector of increasing row index, LPS (x, y, z).
        pixel_mm: Distance of (rows, columns).
        shape: (rows, columns).
        kind: Values of ImageType, upper case.
        slope: Rescale slope; 1 if absent.
        intercept: Rescale intercept; 0 if absent.
        is_rescaled: Whether the header has both.
    """

    where: str
    open: Callable[[], IO[bytes]]
    uid: str
    study: str
    series: str
    series_number: str
    description: str
    modality: str
    patient: str
    number: int
    position_mm: Point
    row: Point
    column: Point
    pixel_mm: tuple[float, float]
    shape: tuple[int, int]
    kind: tuple[str, ...]
    slope: float = 1.0
    intercept: float = 0.0
    is_rescaled: bool = False

    @functools.cached_property
    def normal(self) -> npt.NDArray[np.float64]:
        """Unit vector along increasing position, LPS (x, y, z)."""
        return np.cross(self.row, self.column)

    @property
    def along_mm(self) -> float:
        """Position along the normal."""
        return float(np.dot(self.position_mm, self.normal))

    @property
    def is_integer(self) -> bool:
        """Whether rescaled values are integers."""
        return self.slope.is_integer() and self.intercept.is_integer()


def read_slice(entry: Entry) -> Slice | str:
    """Header of a file, or what it is instead of an image slice (`is no DICOM file`).

    Raises:
        DatasetError: It is an image, but its place in the patient is missing or wrong, or it is multi-frame or colour.
    """
    return _placed(_dataset(entry.open, entry.where, pixels=False), entry)


def read_slice_and_pixels(entry: Entry) -> tuple[Slice, Array] | str:
    """As `read_slice` and `read_pixels`, in one pass over the file.

    Raises:
        DatasetError: As both.
    """
    values = _dataset(entry.open, entry.where, pixels=True)
    found = _placed(values, entry)
    return (found, _pixels(values, entry.where)) if isinstance(found, Slice) else found


def _placed(values: Any | None, entry: Entry) -> Slice | str:
    if values is None:
        return "is no DICOM file"
    if "Rows" not in values or "Columns" not in values:
        return "holds no image"
    if int(values.get("NumberOfFrames") or 1) > 1:
        raise DatasetError(f"{entry.where} holds {values.NumberOfFrames} frames", "export one file per slice")
    if int(values.get("SamplesPerPixel") or 1) != 1:
        return "is a colour picture"
    try:
        return _slice(values, entry)
    except (AttributeError, TypeError, ValueError) as error:
        if "LOCALIZER" in str(values.get("ImageType", "")):
            return "is a localizer"
        raise DatasetError(f"{entry.where} does not say where it lies ({error})", "export the series again") from error


def read_pixels(item: Slice) -> Array:
    """Stored values (rows, columns) as int32, before rescaling.

    Raises:
        DatasetError: The pixels are truncated, damaged, or compressed in a way that needs another package.
    """
    return _pixels(_dataset(item.open, item.where, pixels=True), item.where)


def _pixels(values: Any, where: str) -> Array:
    try:
        array = values.pixel_array
    except Exception as error:  # decoders of many packages, each with its own errors
        line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        cure = "download it again; compressed pixels need `pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg`"
        raise DatasetError(f"the pixels of {where} cannot be read ({line})", cure) from error
    return np.asarray(array, dtype=np.int32)


def _dataset(opening: Callable[[], IO[bytes]], where: str, *, pixels: bool) -> Any | None:
    """A pydicom dataset, or None for a file of another kind."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        with opening() as handle:
            # A zip's stream is slow in small steps; reading to its end also compares the checksum.
            stream = io.BytesIO(handle.read()) if pixels else handle
            start = stream.read(_PREAMBLE)
            bare = start[:2] == _BARE_START and b"DICM" not in start
            stream.seek(0)
            found = pydicom.dcmread(stream, stop_before_pixels=not pixels, force=bare)
            if bare and "TransferSyntaxUID" not in found.file_meta:
                found.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
            return found
    except InvalidDicomError:
        return None
    except (*READ_ERRORS, ValueError, KeyError, AttributeError) as error:
        raise DatasetError(f"{where} cannot be read ({error})", "download or export it again") from error


def _slice(values: Any, entry: Entry) -> Slice:
    row, column = _axes(values.ImageOrientationPatient)
    rescaled = values.get("RescaleSlope") is not None and values.get("RescaleIntercept") is not None
    height, width = (float(value) for value in values.PixelSpacing)
    if height <= 0 or width <= 0:
        raise ValueError(f"PixelSpacing is {height} x {width}")
    return Slice(
        where=entry.where,
        open=entry.open,
        uid=str(values.get("SOPInstanceUID") or entry.where),
        study=str(values.get("StudyInstanceUID") or ""),
        series=str(values.get("SeriesInstanceUID") or ""),
        series_number="" if values.get("SeriesNumber") is None else str(values.SeriesNumber),
        description=str(values.get("SeriesDescription") or ""),
        modality=str(values.get("Modality") or "").upper(),
        patient=str(values.get("PatientID") or ""),
        number=int(values.get("InstanceNumber") or 0),
        position_mm=_point(values.ImagePositionPatient),
        row=row,
        column=column,
        pixel_mm=(height, width),
        shape=(int(values.Rows), int(values.Columns)),
        kind=tuple(str(word).upper() for word in values.get("ImageType") or ()),
        slope=float(values.RescaleSlope) if rescaled else 1.0,
        intercept=float(values.RescaleIntercept) if rescaled else 0.0,
        is_rescaled=rescaled,
    )


def _axes(cosines: Any) -> tuple[Point, Point]:
    row, column = _point(cosines[:3]), _point(cosines[3:6])
    unit = abs(np.linalg.norm(row) - 1) < _UNIT_TOLERANCE and abs(np.linalg.norm(column) - 1) < _UNIT_TOLERANCE
    if not unit or abs(float(np.dot(row, column))) > _UNIT_TOLERANCE:
        raise ValueError(f"ImageOrientationPatient is {[*row, *column]}")
    return row, column


def _point(values: Any) -> Point:
    x, y, z = (float(value) for value in values)
    if not np.isfinite([x, y, z]).all():
        raise ValueError(f"{[x, y, z]} is no position")
    return (x, y, z)
