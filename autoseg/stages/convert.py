"""convert: a challenge's own folder -> `raw/DatasetNNN_Name/` with images, labels and `dataset.json`."""

from __future__ import annotations

import functools
import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg import __version__
from autoseg.core.errors import AutosegError, DatasetError
from autoseg.core.workers import default_workers, run_cases
from autoseg.core.workspace import DATASET_FOLDER, Workspace, dataset_folder
from autoseg.datasets import CaseTarget, Converter, SourceCase, converter_names, load_converter, recognising
from autoseg.datasets.conversion import RECORD, Conversion, Job, convert_one, unfinished
from autoseg.io.raw import RawDataset
from autoseg.specs.dataset import Dataset

logger = logging.getLogger(__name__)
VERSION = 1
_LARGEST_ID = 999
AUTO = "auto"


@dataclass(frozen=True)
class Options:
    """What to convert.

    Attributes:
        name: Converter; `auto`, or the folder itself where `source` is None, lets the folder decide.
        source: The challenge's folder; None for converters that make their data.
        id: Number of the data set; None takes that of an earlier conversion, else the next free one.
        dataset_name: Bare name; None takes the converter's.
        options: Options of the converter.
        workers: Processes; None uses every CPU.
        dry_run: Log what would be written, write nothing.
    """

    name: str
    source: Path | None = None
    id: int | None = None
    dataset_name: str | None = None
    options: tuple[tuple[str, Any], ...] = ()
    workers: int | None = None
    dry_run: bool = False


def run(options: Options, workspace: Workspace) -> Path:
    """Convert every case in parallel and return the data set's folder; complete files are kept on a rerun.

    Raises:
        RegistryError: Unknown converter or option.
        DatasetError: The source is not what the converter needs, the target folder holds something else, or a
            case is broken; then the others are converted and `dataset.json` is not written.
    """
    converter, source = _converter(options)
    cases = converter.cases(source)
    _check_ids(cases)
    spec = converter.dataset(source)
    told = converter.spec()
    usual = {"scoring": spec.scoring or told.scoring, "submission": spec.submission or told.submission}
    spec = spec.model_copy(update=usual)
    folder = _target_folder(options, workspace, spec)
    jobs = [Job(case, _target(folder, case, spec)) for case in cases]
    record = Conversion(
        converter=converter.spec().name,
        source=str(source.resolve()) if converter.spec().needs else "",
        options=converter.options.model_dump(mode="json"),
        stage_version=VERSION,
        autoseg=__version__,
    )
    todo = unfinished(folder, record, jobs)
    logger.info("%s: %d cases, %d to convert into %s", record.converter, len(jobs), len(todo), folder)
    if options.dry_run:
        _list(jobs, spec)
        return folder
    if (folder / RECORD).is_file():
        record = record.model_copy(update={"warnings": Conversion.load(folder / RECORD).warnings})
    record.save(folder / RECORD)  # first, so that an interrupted conversion can be taken up again
    warnings = _convert_all(converter, spec, todo, options.workers)
    _save(folder, spec, cases, record, warnings)
    return folder


def _list(jobs: Sequence[Job], spec: Dataset) -> None:
    """Log what was found: channels, labels, and a line per case with its sources."""
    logger.info("channels: %s; labels: %s", ", ".join(spec.channels()), ", ".join(spec.labels))
    for job in jobs:
        sources = ", ".join(path.name for path in job.case.sources)
        logger.info("%s (%s): %s", job.case.case_id, job.case.split, sources or "made by the converter")


def _converter(options: Options) -> tuple[Converter, Path]:
    name, source = options.name, options.source
    if source is None and name.replace("-", "_") not in converter_names() and Path(name).exists():
        name, source = AUTO, Path(name)
    if name == AUTO:
        name = _recognised(source)
    converter = load_converter(name).with_options(dict(options.options))
    needs = converter.spec().needs
    if not needs:
        return converter, Path()
    if source is None:
        raise DatasetError(f"the converter '{name}' has no source", f"give {needs}")
    if not source.exists():
        raise DatasetError(f"{source} does not exist", f"give {needs}")
    return converter, source


def _recognised(source: Path | None) -> str:
    if source is None:
        raise DatasetError("no source folder to recognise", "give one, or name a converter")
    matches = recognising(source)
    if len(matches) != 1:
        found = f"it looks like {', '.join(matches)}" if matches else "no converter recognises it"
        raise DatasetError(f"{source}: {found}", f"name one of {', '.join(converter_names())}")
    return matches[0]


def _check_ids(cases: Sequence[SourceCase]) -> None:
    if not cases:
        raise DatasetError("no cases found", "check the source folder")
    for case_id, count in Counter(case.case_id for case in cases).items():
        if count > 1:
            raise DatasetError(f"{count} cases are called '{case_id}'", "rename all but one", case_id=case_id)
        if not re.fullmatch(r"[\w.+-]+", case_id):
            raise DatasetError(f"'{case_id}' is no file name", "use letters, digits, - and _", case_id=case_id)


def _target_folder(options: Options, workspace: Workspace, spec: Dataset) -> Path:
    name = options.dataset_name or re.sub(r"[^\w+-]+", "_", spec.name).strip("_")
    if not re.fullmatch(r"[\w+-]+", name):
        raise DatasetError(f"'{name}' is no name for a data set", "use letters, digits, - and _")
    number = _free_id(workspace, name) if options.id is None else options.id
    if not 1 <= number <= _LARGEST_ID:
        raise DatasetError(f"the data set number {number} is not from 1 to {_LARGEST_ID}", "choose another --id")
    folder = workspace.raw_dataset(dataset_folder(number, name))
    for other in sorted(workspace.raw.glob(f"Dataset{number:03d}_*")):
        if other != folder:
            raise DatasetError(f"{other} already has the number {number}", "choose another --id")
    return folder


def _free_id(workspace: Workspace, name: str) -> int:
    """The number of an earlier conversion of that name, else one more than the largest in use."""
    numbers = {}
    for path in workspace.raw.glob("Dataset*_*"):
        match = DATASET_FOLDER.fullmatch(path.name)
        if match:
            numbers[match.group(2)] = int(match.group(1))
    return numbers.get(name, max(numbers.values(), default=0) + 1)


def _target(folder: Path, case: SourceCase, spec: Dataset) -> CaseTarget:
    images, labels = ("imagesTr", "labelsTr") if case.split == "train" else ("imagesTs", "labelsTs")
    return CaseTarget(
        images=tuple(
            folder / images / f"{case.case_id}_{index:04d}{spec.file_ending}" for index in range(len(spec.channels()))
        ),
        label=folder / labels / f"{case.case_id}{spec.file_ending}" if case.has_label else None,
    )


def _convert_all(
    converter: Converter, spec: Dataset, jobs: Sequence[Job], workers: int | None
) -> dict[str, tuple[str, ...]]:
    """Warnings by case id."""
    warnings: dict[str, tuple[str, ...]] = {}
    errors: dict[str, AutosegError] = {}
    function = functools.partial(convert_one, converter=converter, spec=spec)
    for outcome in run_cases(function, jobs, workers=default_workers() if workers is None else workers):
        case_id = outcome.item.case.case_id
        if outcome.error is not None:
            errors[case_id] = outcome.error
        elif outcome.result:
            warnings[case_id] = tuple(finding.problem for finding in outcome.result)
            for finding in outcome.result:
                logger.warning("%s: %s: %s", case_id, finding.problem, finding.cure)
    if errors:
        (case_id, first), *rest = sorted(errors.items())
        for other, error in rest:
            logger.error("%s: %s", other, error)
        others = [other for other, _ in rest]
        more = f" (and {len(others)} more: {', '.join(others[:5])})" if others else ""
        raise DatasetError(f"case {case_id}: {first.problem}{more}", first.cure, case_id=case_id)
    return warnings


def _save(
    folder: Path, spec: Dataset, cases: Sequence[SourceCase], record: Conversion, warnings: dict[str, tuple[str, ...]]
) -> None:
    """Write `dataset.json` last: its presence says that the data set is complete."""
    record.model_copy(update={"warnings": {**record.warnings, **warnings}}).save(folder / RECORD)
    provenance = {case.case_id: case.provenance for case in cases}
    spec.model_copy(update={"provenance": provenance}).save(folder / "dataset.json")
    RawDataset.open(folder)
