"""A miniature study tree: two studies, slices in no order, a localizer, a copy and a text file among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dataset_conversion._synthetic_dicom import Scan, slice_bytes, slice_files

_UID = "1.2.826.0.1.3680043.2.1125.9"
_COSINE, _SINE = 0.8, 0.6


def write_example(root: Path) -> Path:
    """An axial CT with HU offset -1024, and an oblique one whose slices run backwards."""
    source = root / "studies"
    generator = np.random.default_rng(0)
    oblique = Scan(
        series=2, spacing_mm=(2.5, 0.8, 0.8), origin_mm=(5.0, -3.0, 40.0),
        row=(1.0, 0.0, 0.0), column=(0.0, _COSINE, _SINE), fields=_fields("b", "thin"),
    )  # fmt: skip
    axial = Scan(series=1, spacing_mm=(1.5, 0.9, 0.7), fields=_fields("a", "abdomen"))
    for folder, scan in (("first/scan", axial), ("second", oblique)):
        path = source / folder
        path.mkdir(parents=True)
        volume = generator.integers(0, 1200, size=(11, 8, 10)).astype(np.int16)
        volume[:, 0] = 0
        for number, content in slice_files(volume, scan, first=1):
            # Names run against positions.
            (path / f"IM{50 - number}").write_bytes(content)
    scout = Scan(
        series=3, row=(0.0, 1.0, 0.0), column=(0.0, 0.0, -1.0),
        fields={**_fields("a", "scout"), "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    )  # fmt: skip
    pixels = np.zeros((8, 8), np.int16)
    (source / "first" / "scout").write_bytes(slice_bytes(pixels, scout, number=1, position_mm=(0, 0, 0)))
    (source / "first" / "copy").write_bytes((source / "first" / "scan" / "IM45").read_bytes())
    (source / "first" / "README.txt").write_text("not DICOM")
    return source


def _fields(study: str, description: str) -> dict[str, str]:
    return {
        "StudyInstanceUID": f"{_UID}.{ord(study)}",
        "SeriesDescription": description,
        "SeriesNumber": "3",
        "PatientID": f"patient-{study}",
        "RescaleIntercept": "-1024",
    }
