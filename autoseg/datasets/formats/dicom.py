"""DICOM: masks given back on the grid of the scans they were made from, `CASE/0001.dcm` per slice, values = labels."""

from __future__ import annotations

import functools
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from autoseg.core.errors import AutosegError, DatasetError, SubmissionError
from autoseg.core.geometry import Geometry
from autoseg.datasets.files import is_junk
from autoseg.datasets.formats._nifti import LabelRules
from autoseg.datasets.submission import Entry
from autoseg.io.archive import file_entry
from autoseg.io.dicom import Series, geometry_of, read_series, read_slice_and_pixels
from autoseg.io.dicom_masks import mask_slice
from autoseg.io.images import read_header

_TOLERANCE_MM = 1e-3


class Options(BaseModel):
    """Where the scans are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Path
    """Folder of the scans' DICOM files, unpacked, in any depth."""


@dataclass(frozen=True)
class DicomMasks(LabelRules):
    """A case belongs to the series that lies exactly where its image does; files hold patients' names as scans do."""

    source: Path
    allowed: tuple[int, ...] | None = None
    values: Mapping[int, int] = field(default_factory=dict)
    name: str = "dicom"
    container: Literal["zip", "folder"] = "folder"

    def entries(self, cases: Mapping[str, Path]) -> tuple[Entry, ...]:
        """One file per slice of the scan, along z."""
        return tuple(
            Entry(case_id, f"{case_id}/{index + 1:04d}.dcm", image, part=index)
            for case_id, image in sorted(cases.items())
            for index in range(len(_series_of(self.source, image).slices))
        )

    def encode(self, entry: Entry, labels: npt.NDArray[np.uint8]) -> bytes:
        """The slice with the place and the patient of the scan's."""
        part = entry.part or 0
        return mask_slice(_series_of(self.source, entry.image).slices[part], labels[part])

    def problems(self, file: Path, entry: Entry, allowed: Collection[int]) -> tuple[str, ...]:
        """Another size or place than the scan's slice, or a value that is no label."""
        wanted = _series_of(self.source, entry.image).slices[entry.part or 0]
        try:
            found = read_slice_and_pixels(file_entry(file))
        except AutosegError as error:
            return (f"it cannot be read ({error.problem})",)
        if isinstance(found, str):
            return (f"it {found}",)
        item, pixels = found
        if item.shape != wanted.shape:
            return (f"its shape is {item.shape}, the scan's slice has {wanted.shape} (y, x)",)
        place, expected = ((*one.position_mm, *one.row, *one.column, *one.pixel_mm) for one in (item, wanted))
        if not np.allclose(place, expected, rtol=0, atol=_TOLERANCE_MM):
            return (f"it lies at {item.position_mm}, the scan's slice at {wanted.position_mm} mm",)
        wrong = sorted(set(np.unique(pixels).tolist()) - set(allowed))
        return (f"it holds the value {wrong[0]}, allowed are {', '.join(map(str, sorted(allowed)))}",) if wrong else ()


def build(options: Options) -> DicomMasks:
    """The format for the scans of one folder."""
    return DicomMasks(options.source)


@functools.lru_cache(maxsize=64)
def _series_of(source: Path, image: Path) -> Series:
    """The series that an image was made from.

    Raises:
        SubmissionError: None lies where the image does, or several.
    """
    grid = read_header(image)
    found = [series for series, place in _series_below(source) if not place.differences(grid)]
    if not found:
        problem = f"no series in {source} lies where {image.name} does"
        raise SubmissionError(problem, "name the unpacked folder that it was converted from: --source ...")
    if len(found) > 1:
        listed = "; ".join(one.title for one in found)
        raise SubmissionError(f"{len(found)} series lie where {image.name} does ({listed})", "name the folder of one")
    return found[0]


@functools.lru_cache(maxsize=2)
def _series_below(source: Path) -> tuple[tuple[Series, Geometry], ...]:
    """Every series that fills a grid; those with gaps were not converted either."""
    paths = [Path(folder) / name for folder, _, names in os.walk(source) for name in names]
    series, _ = read_series([file_entry(path) for path in sorted(paths) if not is_junk(path)])
    found = []
    for one in series:
        try:
            found.append((one, geometry_of(one.slices)))
        except DatasetError:
            continue
    return tuple(found)
