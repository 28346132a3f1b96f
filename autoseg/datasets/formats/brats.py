"""BraTS 2013 to 2026: a flat zip of `CASE.nii.gz` with the challenge's own label values and the year's rules."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, model_validator

from autoseg.core.errors import SubmissionError
from autoseg.core.geometry import Geometry, Shape3
from autoseg.datasets.brats import EDITIONS
from autoseg.datasets.formats._nifti import NiftiMasks, nifti_bytes
from autoseg.datasets.submission import Entry
from autoseg.io import nifti
from autoseg.io.images import read_header

Year = Literal["2013", "2015", "2017", "2018", "2019", "2020", "2021", "2022", "2023", "2024", "2025", "2026"]
Task = Literal["GLI", "MEN", "MET", "PED", "SSA", "GoAT", "MEN-RT"]

VARIANTS: Mapping[str, Mapping[str, Any]] = {f"brats{year}": {"year": year} for year in get_args(Year)}
_OLD: Shape3 = (155, 240, 240)
_POST_TREATMENT: Shape3 = (182, 218, 182)
_TASK = re.compile(r"BraTS-(GLI|MEN-RT|MEN|MET|PED|SSA|GoAT)-", re.IGNORECASE)
_EXACT_QFORM = ((-1.0, 0.0, 0.0, -0.0), (0.0, -1.0, 0.0, 239.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))


class Options(BaseModel):
    """Year, which names such as `brats2023` imply, and task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    year: Year
    """Whose rules."""
    task: Task = "GLI"
    """`GLI` adult glioma; from 2023 on also `MEN`, `MET`, `PED`, `SSA`, `GoAT` and `MEN-RT`, as in the case names."""
    values: Literal["auto", "2015", "2017", "2023", "2024", "ped", "men_rt"] = "auto"
    """Whose label values to write, named as the converter's editions; `auto` goes by year and task."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.year < "2023" and self.task != "GLI":
            raise ValueError("tasks other than GLI exist since 2023")
        return self


@dataclass(frozen=True)
class BrainTumor(NiftiMasks):
    """Source: the challenge's validators (Sage Bionetworks, brats2023 and later), its data pages before.

    Attributes:
        task: Task whose cases are taken.
        ident: Pattern of case names; its last group is the id that must occur once.
        shape: Shape (Z, Y, X) that all masks have; None leaves it to the image.
        exact_qform: Whether the qform must be that of the challenge to the last bit.
    """

    name: str
    values: Mapping[int, int]
    allowed: tuple[int, ...] | None
    ident: str
    task: str = "GLI"
    shape: Shape3 | None = None
    exact_qform: bool = False
    container: Literal["zip", "folder"] = "zip"
    also: tuple[Literal["tar"], ...] = ()

    def entries(self, cases: Mapping[str, Path]) -> tuple[Entry, ...]:
        """`CASE.nii.gz`; any number of cases is taken, and those left out are scored as failed."""
        seen: dict[str, str] = {}
        for case_id in sorted(cases):
            match = re.fullmatch(self.ident, case_id, re.IGNORECASE)
            if match is None:
                raise SubmissionError(f"{case_id} is no case name of {self.name}", "choose the format of its year")
            task = _TASK.match(case_id)
            if task is not None and task.group(1).upper() != self.task.upper():
                raise SubmissionError(f"{case_id} is no case of {self.task}", f"give --task {task.group(1)}")
            if match.group(1) in seen:
                raise SubmissionError(f"{case_id} and {seen[match.group(1)]} have the same id", "submit one of them")
            seen[match.group(1)] = case_id
        return tuple(Entry(case_id, f"{case_id}.nii.gz", image) for case_id, image in sorted(cases.items()))

    def key(self, path: str) -> str:
        """Since 2021 the id at the end of the name, whatever is before it."""
        match = re.fullmatch(rf"{self.ident}\.nii\.gz", path, re.IGNORECASE)
        return path if match is None or "/" in path else match.group(1)

    def refuses(self, labels: Collection[int]) -> str:
        """Another number of labels: then the same values mean other tissues."""
        if set(labels) != set(self.values):
            own, wanted = (", ".join(map(str, sorted(each))) for each in (labels, self.values))
            return f"the data set has the labels {own}, those of the year are stored as {wanted}"
        return super().refuses(labels)

    def encode(self, entry: Entry, labels: npt.NDArray[np.uint8]) -> bytes:
        """The image's header, or the challenge's grid written anew where it must be exact and the image's nearly is."""
        if self.exact_qform and not read_header(entry.image).differences(_grid(labels.shape)):
            return nifti_bytes(entry, labels, like=None)
        return super().encode(entry, labels)

    def problems(self, file: Path, entry: Entry, allowed: Collection[int]) -> tuple[str, ...]:
        """Also the task's shape and the qform."""
        found = list(super().problems(file, entry, allowed))
        if found:
            return tuple(found)
        header = nifti.read_header(file)
        own = nifti.geometry_of(header).shape
        if self.shape is not None and own != self.shape:
            found.append(f"its shape is {own}, {self.name} takes {self.shape} (z, y, x)")
        if self.exact_qform and not np.array_equal(header.get_qform(), _EXACT_QFORM):
            found.append("its qform is not exactly that of the challenge: directions -1, -1, 1, origin (0, 239, 0)")
        return tuple(found)


def build(options: Options) -> BrainTumor:
    """The format of a year and task."""
    year, task = options.year, options.task
    edition = EDITIONS[_edition(year, task) if options.values == "auto" else options.values]
    return BrainTumor(
        name=f"brats{year}",
        values=edition.original,
        allowed=tuple(sorted(edition.stored)),
        ident=_ident(year),
        task=task,
        shape=_shape(year, task),
        exact_qform=year == "2023",
        also=("tar",) if year >= "2021" else (),
    )


def _grid(shape: tuple[int, ...]) -> Geometry:
    """The challenge's grid: identity directions and origin (0, -239, 0) in LPS."""
    z, y, x = shape
    return Geometry((z, y, x), (1.0, 1.0, 1.0), (0.0, -239.0, 0.0))


def _ident(year: str) -> str:
    if year <= "2015":
        return "(.+)"
    if year <= "2020":
        return f"(brats{year[2:]}_.+)"
    return r".*?(\d{5})" if year <= "2022" else r".*?(\d{5}-\d{3})"


def _edition(year: str, task: str) -> str:
    if year <= "2015":
        return "2015"
    if year <= "2022":
        return "2017"
    if year == "2023":
        return "2023"
    later = {"GLI": "2024", "PED": "ped", "MEN-RT": "men_rt", "MET": "2023" if year == "2024" else "2024"}
    return later.get(task, "2023")


def _shape(year: str, task: str) -> Shape3 | None:
    if year == "2023":
        return _OLD
    if year == "2024":
        return {"GLI": _POST_TREATMENT, "MEN-RT": None}.get(task, _OLD)
    return None
