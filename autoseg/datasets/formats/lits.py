"""LiTS 2017: a flat zip of uncompressed `test-segmentation-N.nii`, 0 to 69, shaped as the test volumes are stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from autoseg.core.errors import SubmissionError
from autoseg.datasets.formats._nifti import NiftiMasks, refuse_absent
from autoseg.datasets.submission import Entry

_CASE = re.compile(r"test-volume-(0|[1-9]\d*)")
_COUNT = 70


class Options(BaseModel):
    """How much of the test set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subset: bool = False
    """Take what is there. The challenge itself aborts the whole run on a missing volume."""


@dataclass(frozen=True)
class LiverTumor(NiftiMasks):
    """The challenge compares array shapes alone; volume 59's odd axis order is kept, since arrays are never turned.

    Source: submission guide and scoring program of the LiTS challenge (2017).
    """

    subset: bool = False
    name: str = "lits"
    container: Literal["zip", "folder"] = "zip"
    allowed: tuple[int, ...] | None = (0, 1, 2)
    values: Mapping[int, int] = field(default_factory=dict)

    def entries(self, cases: Mapping[str, Path]) -> tuple[Entry, ...]:
        """`test-segmentation-N.nii` for `test-volume-N`."""
        found = {}
        for case_id, image in cases.items():
            match = _CASE.fullmatch(case_id)
            if match is None or int(match.group(1)) >= _COUNT:
                raise SubmissionError(f"{case_id} is no test volume of LiTS", "predict test-volume-0 to test-volume-69")
            found[int(match.group(1))] = Entry(case_id, f"test-segmentation-{match.group(1)}.nii", image)
        if not self.subset:
            absent = [f"test-volume-{number}" for number in range(_COUNT) if number not in found]
            refuse_absent(absent, of=_COUNT, otherwise="rejects an incomplete set")
        return tuple(entry for _, entry in sorted(found.items()))


def build(options: Options) -> LiverTumor:
    """The format."""
    return LiverTumor(options.subset)
