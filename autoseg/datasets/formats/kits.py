"""KiTS: 2019 a flat zip of `prediction_00210.nii.gz` to 00299, 2023 a folder of `case_NNNNN.nii.gz`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from autoseg.core.errors import SubmissionError
from autoseg.datasets.formats._nifti import NiftiMasks, refuse_absent
from autoseg.datasets.submission import Entry
from autoseg.io import nifti
from autoseg.io.images import NIFTI_ENDINGS, image_ending

VARIANTS: Mapping[str, Mapping[str, Any]] = {"kits19": {"year": "2019"}, "kits23": {"year": "2023"}}
_CASE = re.compile(r"case_(\d{5})")
_TEST_2019 = range(210, 300)
_AFFINE_TOLERANCE = 1e-3


class Options(BaseModel):
    """Year, which the names `kits19` and `kits23` imply."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    year: Literal["2019", "2023"]
    """Whose rules."""
    subset: bool = False
    """2019: take what is there instead of all 90 test cases."""


@dataclass(frozen=True)
class Kidneys(NiftiMasks):
    """Sources: submission rules of KiTS19; `evaluation` of the repository of KiTS23."""

    year: str
    subset: bool
    name: str
    container: Literal["zip", "folder"]
    allowed: tuple[int, ...] | None
    values: Mapping[int, int] = field(default_factory=dict)

    def entries(self, cases: Mapping[str, Path]) -> tuple[Entry, ...]:
        """`prediction_NNNNN.nii.gz` (2019) or `case_NNNNN.nii.gz` for `case_NNNNN`."""
        found = {}
        for case_id, image in cases.items():
            match = _CASE.fullmatch(case_id)
            if match is None or (self.year == "2019" and int(match.group(1)) not in _TEST_2019):
                cure = "predict case_00210 to case_00299" if self.year == "2019" else "name the cases case_NNNNN"
                raise SubmissionError(f"{case_id} is no test case of KiTS{self.year[2:]}", cure)
            stem = f"prediction_{match.group(1)}" if self.year == "2019" else case_id
            found[int(match.group(1))] = Entry(case_id, f"{stem}.nii.gz", image)
        if self.year == "2019" and not self.subset:
            absent = [f"case_{number:05d}" for number in _TEST_2019 if number not in found]
            refuse_absent(absent, of=len(_TEST_2019), otherwise="takes absent masks for empty ones")
        return tuple(entry for _, entry in sorted(found.items()))

    def problems(self, file: Path, entry: Entry, allowed: Collection[int]) -> tuple[str, ...]:
        """Of 2023 also the affine: its differences from the image's must sum up to no more than 0.001."""
        found = super().problems(file, entry, allowed)
        if found or self.year != "2023" or image_ending(entry.image) not in NIFTI_ENDINGS:
            return found
        own, wanted = (nifti.read_header(path).get_best_affine() for path in (file, entry.image))
        off = float(np.abs(own - wanted).sum())
        return (f"its affine differs from its image's by {off:.4g} in sum",) if off > _AFFINE_TOLERANCE else ()


def build(options: Options) -> Kidneys:
    """The format of a year."""
    if options.year == "2019":
        return Kidneys("2019", options.subset, "kits19", "zip", (0, 1, 2))
    return Kidneys("2023", options.subset, "kits23", "folder", (0, 1, 2, 3))
