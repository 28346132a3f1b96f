"""Medical Segmentation Decathlon: one zip with a folder per task, masks named as the test images, on their grids."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from autoseg.datasets.formats._nifti import NiftiMasks
from autoseg.datasets.submission import Entry

TASKS = (
    "Task01_BrainTumour",
    "Task02_Heart",
    "Task03_Liver",
    "Task04_Hippocampus",
    "Task05_Prostate",
    "Task06_Lung",
    "Task07_Pancreas",
    "Task08_HepaticVessel",
    "Task09_Spleen",
    "Task10_Colon",
)
_ENTRY = re.compile(r"(Task\d{2}_\w+)/[^/]+\.nii\.gz")


class Options(BaseModel):
    """Which task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = Field(pattern=r"^Task\d{2}_\w+$")
    """Folder in the archive, e.g. `Task04_Hippocampus`."""


@dataclass(frozen=True)
class MedicalDecathlon(NiftiMasks):
    """The format for one task.

    The challenge's loader wants every task's folder, so that one task alone is for `--check` and for joining.
    """

    task: str
    name: str = "msd"
    container: Literal["zip", "folder"] = "zip"
    allowed: tuple[int, ...] | None = None
    values: Mapping[int, int] = field(default_factory=dict)

    def entries(self, cases: Mapping[str, Path]) -> tuple[Entry, ...]:
        """`TaskXX_Name/CASE.nii.gz`: the test images' names, without the channel number of split 4D files."""
        return tuple(Entry(case_id, f"{self.task}/{case_id}.nii.gz", image) for case_id, image in sorted(cases.items()))

    def belongs(self, path: str) -> bool:
        """Masks of the other tasks."""
        match = _ENTRY.fullmatch(path)
        return match is not None and match.group(1) != self.task and match.group(1) in TASKS

    def notes(self, paths: Sequence[str]) -> tuple[str, ...]:
        """Tasks whose folder is absent."""
        present = {path.partition("/")[0] for path in paths}
        absent = [task for task in TASKS if task not in present]
        if not absent or self.task not in TASKS:
            return ()
        return (f"the challenge wants all ten tasks in one archive, absent here: {', '.join(absent)}",)


def build(options: Options) -> MedicalDecathlon:
    """The format."""
    return MedicalDecathlon(options.task)
