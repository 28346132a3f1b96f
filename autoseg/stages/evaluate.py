"""evaluate: predicted label maps and references -> `report.json` and `report.csv`."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from autoseg.core.atomic import write_text
from autoseg.core.errors import AutosegError, DatasetError, GeometryError
from autoseg.core.labels import LabelSpace
from autoseg.core.workers import default_workers, run_cases_growing
from autoseg.core.workspace import Workspace
from autoseg.io.images import read_label
from autoseg.io.label_files import LabelPair, listed, pair_label_files
from autoseg.metrics.case import evaluate_case
from autoseg.metrics.confusion import confusion_counts, pooled_confusion
from autoseg.metrics.protocols import Protocol, load_protocol
from autoseg.reporting.report_figures import draw_report
from autoseg.reporting.tables import report_csv
from autoseg.specs.dataset import Dataset
from autoseg.specs.report import CaseScores, Report, Score

logger = logging.getLogger(__name__)
TOLERANCE_MM = 1.0
AUTO = "auto"
OWN = "autoseg"
_ALONE_S = 2.0
"""Work of this process before others are started: a start takes as long as 100 small cases."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class Options:
    """What to score.

    Attributes:
        predictions: Folder of label maps `CASE.nii.gz` (any readable ending).
        references: Folder of label maps with the same case names.
        output: Report to write; the table lies beside it as `.csv`. None writes nothing.
        dataset: Folder name of the data set whose labels apply.
        labels: `dataset.json` whose labels apply; without both, labels are the values found in the references.
        protocol: Scoring rules, NAME or NAME:VARIANT; `auto` takes those of the data set's challenge, and our own
            where it names none or where tolerance or surfaces are asked for, which are ours.
        tolerance_mm: Of the surface Dice.
        surface: Measure surface distances.
        cases: Score only these; None takes every reference.
        figures: Also draw the confusion matrix, and sample slices where the data set's images are known.
        masks_of: What made the masks, for the titles of the figures.
        workers: Processes; None uses every CPU.
    """

    predictions: Path
    references: Path
    output: Path | None = None
    dataset: str | None = None
    labels: Path | None = None
    protocol: str = OWN
    tolerance_mm: float = TOLERANCE_MM
    surface: bool = True
    cases: tuple[str, ...] | None = None
    figures: bool = False
    masks_of: str = ""
    workers: int | None = None


@dataclass(frozen=True)
class Scored:
    """Scores of one case, what its two grids disagree in, and its confusion where every label is annotated."""

    regions: dict[str, dict[str, Score]]
    differences: tuple[str, ...]
    confusion: npt.NDArray[np.int64] | None


def run(options: Options, workspace: Workspace) -> Report:
    """Score every case in parallel.

    Raises:
        DatasetError: A case without prediction or reference, unreadable files, or values that are not labels.
        GeometryError: A prediction on another grid than its reference.
        RegistryError: Unknown protocol, or an option it does not have.
        SpecError: The labels' `dataset.json` is missing or wrong.
    """
    spec = _spec(options, workspace)
    name = _protocol_name(options, spec)
    protocol = load_protocol(name, _protocol_options(options))
    pairs = pair_label_files(options.predictions, options.references, cases=options.cases)
    if spec is not None:
        pairs = tuple(replace(pair, annotated=spec.annotated(pair.case_id)) for pair in pairs)
    workers = default_workers() if options.workers is None else options.workers
    labels = _found_labels(pairs, workers) if spec is None else spec.label_space()
    scored = _for_each(functools.partial(_score, labels=labels, protocol=protocol), pairs, workers)
    for pair in pairs:
        if scored[pair.case_id].differences:
            names = " and ".join(scored[pair.case_id].differences)
            logger.warning("%s: %s differ from the reference's, whose are used", pair.prediction, names)
    cases = tuple(CaseScores(id=pair.case_id, regions=scored[pair.case_id].regions) for pair in pairs)
    summary = protocol.summary(cases)
    counts = (found for pair in pairs if (found := scored[pair.case_id].confusion) is not None)
    confusion = pooled_confusion(counts, labels)
    report = Report(
        protocol=name, definitions=protocol.definitions(), cases=cases, summary=summary, confusion=confusion
    )
    if options.output is not None:
        report.save(options.output)
        write_text(options.output.with_suffix(".csv"), report_csv(report))
        logger.info("%d cases scored: %s", len(cases), options.output)
        if options.figures:
            raw = None if options.dataset is None else workspace.raw_dataset(options.dataset)
            draw_report(report, pairs, options.output, labels=labels, raw=raw, masks_of=options.masks_of)
    return report


def _protocol_options(options: Options) -> dict[str, Any]:
    """Only what departs from the defaults, so that a protocol without such an option refuses it."""
    defaults = {"tolerance_mm": TOLERANCE_MM, "surface": True}
    return {name: getattr(options, name) for name, value in defaults.items() if getattr(options, name) != value}


def _protocol_name(options: Options, spec: Dataset | None) -> str:
    if options.protocol != AUTO:
        return options.protocol
    name = OWN if spec is None or _protocol_options(options) else spec.scoring or OWN
    if name != OWN:
        logger.info("scored as %s, the data set's challenge; --protocol %s has more metrics", name, OWN)
    return name


def _spec(options: Options, workspace: Workspace) -> Dataset | None:
    if options.labels is not None:
        return Dataset.load(options.labels)
    if options.dataset is not None:
        return Dataset.load(workspace.raw_dataset(options.dataset) / "dataset.json")
    return None


def _found_labels(pairs: Sequence[LabelPair], workers: int) -> LabelSpace:
    found = _for_each(_values, pairs, workers)
    values = sorted({value for case in found.values() for value in case if value > 0})
    if not values:
        raise DatasetError("every reference is empty", "name the labels: give a data set or its dataset.json")
    logger.info("labels found in the references: %s", ", ".join(str(value) for value in values))
    return LabelSpace(tuple(str(value) for value in values), tuple((value,) for value in values))


def _values(pair: LabelPair) -> tuple[int, ...]:
    return tuple(int(value) for value in np.unique(read_label(pair.reference)[0]))


def _for_each(function: Callable[[LabelPair], Result], pairs: Sequence[LabelPair], workers: int) -> dict[str, Result]:
    """Results by case id; every case is tried before the first error is raised."""
    results: dict[str, Result] = {}
    errors: dict[str, AutosegError] = {}
    for outcome in run_cases_growing(function, pairs, workers=workers, alone_s=_ALONE_S):
        if outcome.result is not None:
            results[outcome.item.case_id] = outcome.result
        elif outcome.error is not None:
            logger.error("%s: %s", outcome.item.case_id, outcome.error)
            errors[outcome.item.case_id] = outcome.error
    if errors:
        names = sorted(errors)
        more = f" (also failed: {listed(names[1:])})" if len(names) > 1 else ""
        first = errors[names[0]]
        raise DatasetError(f"case {names[0]}: {first.problem}{more}", first.cure, case_id=names[0])
    return results


def _score(pair: LabelPair, *, labels: LabelSpace, protocol: Protocol) -> Scored:
    prediction, grid = read_label(pair.prediction)
    reference, expected = read_label(pair.reference)
    differences = grid.differences(expected)
    if "shape" in differences:
        raise GeometryError(
            f"{pair.prediction} has the shape {grid.shape}, its reference {expected.shape} (z, y, x)",
            "predict on the grid of the reference",
        )
    try:
        regions = evaluate_case(
            prediction,
            reference,
            spacing_mm=expected.spacing_mm,
            labels=labels,
            protocol=protocol,
            annotated=pair.annotated,
        )
    except DatasetError as error:
        files = f"{pair.prediction} against {pair.reference}"
        raise DatasetError(f"{error.problem} ({files})", error.cure, case_id=pair.case_id) from error
    counts = confusion_counts(prediction, reference, labels) if pair.annotated is None else None
    return Scored(regions, differences, counts)
