"""CHAOS: a tree of grey PNG slices, `TaskN/{CT,MR}/ID/[T1DUAL|T2SPIR/]Results/imgNNN.png`, in order of file names."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from autoseg.core.errors import AutosegError, SubmissionError
from autoseg.datasets.chaos import GREY_CODES
from autoseg.datasets.files import is_junk, natural
from autoseg.datasets.formats._nifti import LabelRules
from autoseg.datasets.submission import Entry
from autoseg.io.archive import file_entry
from autoseg.io.dicom import read_series
from autoseg.io.images import read_header

_CASE = re.compile(r"(ct|t1|t2)_(\d+)")
_FILE = re.compile(r"Task[1-5]/(CT/\d+|MR/\d+/(T1DUAL|T2SPIR))/Results/img\d{3}\.png")
_SCANS = {
    "ct": ("CT", "", "DICOM_anon"),
    "t1": ("MR", "T1DUAL", "DICOM_anon/InPhase"),
    "t2": ("MR", "T2SPIR", "DICOM_anon"),
}
_KINDS = {"1": ("ct", "t1", "t2"), "2": ("ct",), "3": ("t1", "t2"), "4": ("ct", "t1", "t2"), "5": ("t1", "t2")}
_LIVER_ONLY = ("1", "2", "3")
_CT_LIVER = 255


class Options(BaseModel):
    """Which task, and where the slices' order is to be learnt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Path
    """The challenge's folder with `Test_Sets`: a PNG belongs to the DICOM file of the same rank by name."""
    scans: Literal["ct", "t1", "t2"] = "ct"
    """As for the converter. T1 and T2 of one task are put into one archive by `--join`."""
    task: Literal["1", "2", "3", "4", "5"] | None = None
    """1 liver in CT and MR, 2 in CT, 3 in MR; 4 all organs in CT and MR, 5 in MR; 2 or 5 unless given."""


@dataclass(frozen=True)
class AbdominalSlices(LabelRules):
    """Sources: the challenge's template and its evaluation, which sorts by file name and not by position."""

    source: Path
    scans: str
    task: str
    values: Mapping[int, int]
    allowed: tuple[int, ...] | None
    name: str = "chaos"
    container: Literal["zip", "folder"] = "zip"

    def entries(self, cases: Mapping[str, Path]) -> tuple[Entry, ...]:
        """One file per slice, numbered from 0 in the order of the DICOM files' names."""
        found = []
        for case_id, image in sorted(cases.items(), key=lambda item: natural(item[0])):
            match = _CASE.fullmatch(case_id)
            if match is None or match.group(1) != self.scans:
                raise SubmissionError(f"{case_id} is no {self.scans.upper()} scan", "name it by --scans ...")
            modality, sequence, inner = _SCANS[self.scans]
            folder = "/".join(part for part in (modality, match.group(2), sequence) if part)
            slices = self._order(folder, inner, case_id)
            count = read_header(image).shape[0]
            if len(slices) != count:
                problem = f"{case_id} has {count} slices, its scan in {self.source} {len(slices)}"
                raise SubmissionError(problem, "name the source that the case was converted from")
            found += [
                Entry(case_id, f"Task{self.task}/{folder}/Results/img{rank:03d}.png", image, part=index)
                for rank, index in enumerate(slices)
            ]
        return tuple(found)

    def belongs(self, path: str) -> bool:
        """Slices of another task, modality or sequence."""
        modality, sequence, _ = _SCANS[self.scans]
        match = _FILE.fullmatch(path)
        own = path.startswith(f"Task{self.task}/{modality}/") and (match is None or (match.group(2) or "") == sequence)
        return match is not None and not own

    def notes(self, paths: Sequence[str]) -> tuple[str, ...]:
        """Scans that the task wants and that are absent."""
        present = {path.partition("/")[2] for path in paths if path.startswith(f"Task{self.task}/")}
        absent = [kind for kind in _KINDS[self.task] if not any(_is_of(kind, path) for path in present)]
        return (f"task {self.task} also wants {', '.join(absent).upper()}, absent here",) if absent else ()

    def encode(self, entry: Entry, labels: npt.NDArray[np.uint8]) -> bytes:
        """One slice as an 8-bit grey PNG."""
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(labels[entry.part]).save(buffer, "PNG")
        return buffer.getvalue()

    def problems(self, file: Path, entry: Entry, allowed: Collection[int]) -> tuple[str, ...]:
        """Not an 8-bit grey picture of the slice's size with the task's values."""
        from PIL import Image

        try:
            with Image.open(file) as picture:
                mode, grey = picture.mode, np.asarray(picture)
            shape = read_header(entry.image).shape[1:]
        except (OSError, SyntaxError, AutosegError) as error:
            return (f"it cannot be read ({error})",)
        if mode != "L":
            return (f"its pixels are of the mode {mode}, wanted is 8-bit grey",)
        if grey.shape != shape:
            return (f"its shape is {grey.shape}, the slice's {shape} (y, x)",)
        wrong = sorted(set(np.unique(grey).tolist()) - set(allowed))
        return (f"it holds the value {wrong[0]}, allowed are {', '.join(map(str, sorted(allowed)))}",) if wrong else ()

    def _order(self, folder: str, inner: str, case_id: str) -> list[int]:
        """Index along z, by position, of each slice in the order of file names."""
        roots = (self.source, *(self.source / name for name in ("Test_Sets", "Train_Sets")))
        scan = next((root / folder / inner for root in roots if (root / folder / inner).is_dir()), None)
        if scan is None:
            raise SubmissionError(f"{self.source} has no {folder}/{inner}", "name the folder that holds Test_Sets")
        files = sorted((path for path in scan.iterdir() if path.is_file() and not is_junk(path)), key=_by_name)
        series, _ = read_series([file_entry(path) for path in files])
        if len(series) != 1:
            raise SubmissionError(f"{scan} of {case_id} holds {len(series)} series", "unpack the archive again")
        position = {item.where: index for index, item in enumerate(series[0].slices)}
        return [position[str(path)] for path in files if str(path) in position]


def build(options: Options) -> AbdominalSlices:
    """The format for one task and kind of scan.

    Raises:
        SubmissionError: The task does not have these scans.
    """
    is_ct = options.scans == "ct"
    task = options.task or ("2" if is_ct else "5")
    if options.scans not in _KINDS[task]:
        raise SubmissionError(f"task {task} of CHAOS has no {options.scans.upper()} scans", "choose another task")
    codes = {1: _CT_LIVER} if is_ct else dict(GREY_CODES)
    values = {0: 0} | {label: code if label == 1 or task not in _LIVER_ONLY else 0 for label, code in codes.items()}
    return AbdominalSlices(options.source, options.scans, task, values, tuple(sorted(set(values.values()))))


def _by_name(path: Path) -> Any:
    return natural(path.name)


def _is_of(kind: str, path: str) -> bool:
    modality, sequence, _ = _SCANS[kind]
    return path.startswith(f"{modality}/") and f"/{sequence}" in path
