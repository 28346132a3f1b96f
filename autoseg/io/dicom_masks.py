"""Label maps as DICOM slices: one per slice of the scan, in its place, of its patient and study."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt

from autoseg.io._dicom_slices import Slice

_KEPT = (
    "SpecificCharacterSet", "SOPClassUID", "StudyDate", "StudyTime", "AccessionNumber", "Modality",
    "ReferringPhysicianName", "StudyDescription", "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
    "BodyPartExamined", "SliceThickness", "SpacingBetweenSlices", "PatientPosition", "StudyInstanceUID", "StudyID",
    "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID",
    "PositionReferenceIndicator", "SliceLocation", "Rows", "Columns", "PixelSpacing",
)  # fmt: skip
"""What says whose slice it is and where it lies; nothing of how it was taken."""
_BITS = 16
"""The images of CT and MR have 16 bits (DICOM PS3.3 C.8.2.1, C.8.3.1)."""
_SERIES_OFFSET = 9000
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def mask_slice(item: Slice, labels: npt.NDArray[np.uint8]) -> bytes:
    """A slice of labels as an uncompressed DICOM file, a series of its own in the study of the scan.

    Identifiers are made from those of the scan: the same slice gets the same ones again.

    Args:
        item: Slice of the scan.
        labels: Values (rows, columns).
    """
    from pydicom import dcmread
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    with item.open() as handle:
        scan = dcmread(handle, stop_before_pixels=True, force=True)
    made = Dataset()
    for keyword in _KEPT:
        if keyword in scan:
            made.add(scan[keyword])
    if "SOPClassUID" not in made:
        made.SOPClassUID = _SECONDARY_CAPTURE
    made.SOPInstanceUID = generate_uid(entropy_srcs=[item.uid, "labels"])
    made.SeriesInstanceUID = generate_uid(entropy_srcs=[item.series, "labels"])
    made.SeriesNumber = _SERIES_OFFSET + int(item.series_number or 0)
    made.SeriesDescription = "autoseg labels"
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = _BITS, _BITS, _BITS - 1
    made.RescaleIntercept, made.RescaleSlope = "0", "1"
    made.add_new("PixelData", "OW", np.asarray(labels, "<u2").tobytes())
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
