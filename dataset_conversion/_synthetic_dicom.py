"""Made-up DICOM slices for miniatures and tests."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_ROOT = "1.2.826.0.1.3680043.2.1125."


@dataclass(frozen=True)
class Scan:
    """Where the slices of a series lie and what their headers say.

    Attributes:
        series: Number that tells series apart.
        spacing_mm: (z, y, x).
        origin_mm: First slice's first pixel, LPS (x, y, z).
        row: Direction of increasing column index.
        column: Direction of increasing row index.
        fields: Further DICOM keywords, which replace the usual ones; None removes a field.
    """

    series: int = 1
    spacing_mm: tuple[float, float, float] = (1.6, 0.743, 0.743)
    origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    row: tuple[float, float, float] = (1.0, 0.0, 0.0)
    column: tuple[float, float, float] = (0.0, 1.0, 0.0)
    fields: Mapping[str, Any] = field(default_factory=dict)

    def position_mm(self, index: int) -> tuple[float, ...]:
        """Place of a slice's first pixel."""
        normal = np.cross(self.row, self.column)
        return tuple(float(value) for value in np.asarray(self.origin_mm) + index * self.spacing_mm[0] * normal)


def slice_files(volume: Array, scan: Scan, *, first: int = 0) -> Iterator[tuple[int, bytes]]:
    """(instance number, file) of each slice of a volume (Z, Y, X) of integers."""
    for index, pixels in enumerate(volume):
        yield first + index, slice_bytes(pixels, scan, number=first + index, position_mm=scan.position_mm(index))


def slice_bytes(pixels: Array, scan: Scan, *, number: int, position_mm: Sequence[float]) -> bytes:
    """One uncompressed slice as a DICOM file: int16, or unsigned 8 bits for uint8."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    bits = 8 if pixels.dtype == np.uint8 else 16
    uid = f"{_ROOT}{scan.series}.{number + 1}.{round(1000 * abs(position_mm[2]))}"
    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.MediaStorageSOPClassUID = UID(_CT_IMAGE)
    found.file_meta.MediaStorageSOPInstanceUID = UID(uid)
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    values: dict[str, Any] = {
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "SOPClassUID": _CT_IMAGE,
        "SOPInstanceUID": uid,
        "Modality": "CT",
        "PatientID": "",
        "StudyInstanceUID": f"{_ROOT}0",
        "SeriesInstanceUID": f"{_ROOT}{scan.series}",
        "InstanceNumber": number,
        "ImagePositionPatient": [f"{value:.10g}" for value in position_mm],
        "ImageOrientationPatient": [*scan.row, *scan.column],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "PixelSpacing": list(scan.spacing_mm[1:]),
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0 if bits == 8 else 1,
        "RescaleIntercept": "0",
        "RescaleSlope": "1",
    }
    for name, value in {**values, **scan.fields}.items():
        if value is not None:
            setattr(found, name, value)
    found.add_new("PixelData", "OB" if bits == 8 else "OW", pixels.astype(np.uint8 if bits == 8 else "<i2").tobytes())
    buffer = io.BytesIO()
    found.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
