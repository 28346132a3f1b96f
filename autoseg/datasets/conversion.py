"""One conversion: its record, which cases are still to do, and the conversion of a case with its checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from autoseg.core.errors import DatasetError
from autoseg.datasets.checks import Finding, check_case
from autoseg.datasets.converter import CaseTarget, Converter, SourceCase
from autoseg.io.raw import RawCase
from autoseg.specs.dataset import Dataset
from autoseg.specs.document import Document

RECORD = "conversion.json"


class Conversion(Document):
    """`conversion.json`: what a raw data set was made from."""

    converter: str
    """Name of the converter."""
    source: str
    """Absolute path of the source folder, empty for generated data."""
    options: dict[str, Any]
    """Options of the converter."""
    stage_version: int
    """Version of this stage; another one converts again."""
    autoseg: str = ""
    """Version of the package."""
    warnings: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Case id -> what was found and let pass."""

    def same_work(self, other: Conversion) -> bool:
        """Whether files of one conversion may be kept by the other."""
        fields = {"converter", "source", "options", "stage_version"}
        return self.model_dump(include=fields) == other.model_dump(include=fields)


@dataclass(frozen=True)
class Job:
    """A case and the files it becomes."""

    case: SourceCase
    target: CaseTarget


def unfinished(folder: Path, record: Conversion, jobs: Sequence[Job]) -> list[Job]:
    """Jobs whose files are not there yet, or older than their sources.

    Raises:
        DatasetError: The folder exists but was not made by this conversion.
    """
    if not folder.exists():
        return list(jobs)
    if not (folder / RECORD).is_file():
        raise DatasetError(f"{folder} was not made by convert", "choose another --id or --dataset-name")
    if not Conversion.load(folder / RECORD).same_work(record):
        raise DatasetError(
            f"{folder} was converted from another source or with other options",
            "remove it first, or choose another --id or --dataset-name",
        )
    return [job for job in jobs if not _is_complete(job)]


def _is_complete(job: Job) -> bool:
    """Files are written atomically: a file that exists is whole, unless its source changed since."""
    if not all(path.is_file() for path in job.target.files):
        return False
    newest = max((path.stat().st_mtime_ns for path in job.case.sources if path.is_file()), default=0)
    # A hard link has the time of its source, so the newest of both sides are compared.
    return newest <= max(path.stat().st_mtime_ns for path in job.target.files)


def convert_one(job: Job, converter: Converter, spec: Dataset) -> tuple[Finding, ...]:
    """Convert a case, read back what was written, and return the warnings.

    Raises:
        DatasetError: With the case id; its files are removed, or a rerun would take the case for done.
    """
    try:
        told = converter.convert_case(job.case, job.target) or ()
    except DatasetError as error:
        _remove(job)  # the image may be there already though the label is broken
        raise DatasetError(error.problem, error.cure, case_id=job.case.case_id) from error
    written = RawCase(job.case.case_id, job.target.images, job.target.label, job.case.provenance.annotated)
    findings = check_case(written, spec.channels(), spec.label_space()).findings
    for finding in findings:
        if finding.severity == "fail":
            _remove(job)
            raise DatasetError(finding.problem, finding.cure, case_id=job.case.case_id)
    return (*(Finding("warn", job.case.case_id, problem, cure) for problem, cure in told), *findings)


def _remove(job: Job) -> None:
    for path in job.target.files:
        path.unlink(missing_ok=True)
