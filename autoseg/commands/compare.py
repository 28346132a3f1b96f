"""compare: train several methods on one data set where that is still to be done, and set their scores side by side."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg import pipeline
from autoseg.core.atomic import write_text
from autoseg.core.errors import AutosegError, DatasetError, Interrupted, SpecError, StorageError
from autoseg.core.workspace import Workspace
from autoseg.planning.methods import load_method
from autoseg.reporting.comparison import Comparison, Entry, compare
from autoseg.reporting.comparison_figure import draw_comparison
from autoseg.reporting.comparison_table import comparison_csv, comparison_markdown, print_comparison
from autoseg.reporting.run_costs import read_costs
from autoseg.specs.report import CaseScores, Report
from autoseg.specs.run import Run
from autoseg.training.agreement import FINAL, LOG, RUN
from autoseg.training.settings import TrainingSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options(TrainingSettings):
    """What to compare; the method and the fraction of the settings are not used.

    Attributes:
        dataset: Folder name of the data set.
        methods: Names or TOML files, one or more.
        fractions: Shares of the training cases.
        configurations: Only these; empty means every planned one of each method.
        folds: Numbers; empty means every fold.
        workers: Processes for work on many cases; None is as many as pay.
        output: Folder for the tables and the figure; None is `comparisons/<dataset>` of the workspace.
    """

    dataset: str
    methods: tuple[str, ...]
    fractions: tuple[float, ...] = (1.0,)
    configurations: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()
    workers: int | None = None
    output: Path | None = None


def run(options: Options, workspace: Workspace) -> Comparison:
    """Train what is missing, then write `comparison.csv`, `comparison.md` and `comparison.png`, and print the table.

    What fails is a row with its reason, and the others go on; the same command again tries it once more.

    Raises:
        SpecError: No method, an unknown one, a wrong fraction, or the fold `all`.
        DatasetError: No method came to an end, or they have no held-out case in common.
        Interrupted: Stopped by a signal; the same command goes on.
        StorageError: The disk is full.
    """
    _check(options)
    entries = [entry for chosen in _trainings(options) for entry in _entries(chosen, workspace)]
    if all(entry.problem for entry in entries):
        listed = "; ".join(f"{entry.method}: {entry.problem}" for entry in entries)
        raise DatasetError(f"nothing to compare on {options.dataset} ({listed})")
    comparison = compare(options.dataset, entries)
    folder = options.output or workspace.root / "comparisons" / options.dataset
    write_text(folder / "comparison.csv", comparison_csv(comparison))
    write_text(folder / "comparison.md", comparison_markdown(comparison))
    draw_comparison(comparison, folder / "comparison.png")
    print_comparison(comparison)
    logger.info("tables and figure: %s", folder)
    return comparison


def _check(options: Options) -> None:
    """Tell mistakes before hours of training.

    Raises:
        SpecError: See `run`.
    """
    if not options.methods or not options.fractions:
        raise SpecError("nothing to compare is named", "give --methods autoseg nnunet")
    if "all" in options.folds:
        raise SpecError("the fold 'all' holds no case out that could be scored", "give numbers, e.g. -f 0 1")
    for method in options.methods:
        load_method(method, options.overrides)
    tuple(_trainings(options))


def _trainings(options: Options) -> Iterator[pipeline.Options]:
    for method in dict.fromkeys(options.methods):
        for fraction in dict.fromkeys(options.fractions):
            settings = {**options.settings(), "method": method, "train_fraction": fraction}
            yield pipeline.Options(
                options.dataset,
                configurations=options.configurations,
                folds=options.folds,
                workers=options.workers,
                **settings,
            )


def _entries(chosen: pipeline.Options, workspace: Workspace) -> Iterator[Entry]:
    """One entry per configuration of one method on one share of the data."""
    name, fraction = load_method(chosen.method, chosen.overrides).name, chosen.train_fraction
    try:
        prepared = pipeline.prepare(chosen, workspace)
    # Whatever it is: it must not cost the other methods their hours.
    except Exception as error:
        yield Entry(name, fraction=fraction, problem=_reason(name, error))
        return
    for configuration in prepared.configurations:
        logger.info("%s, %s, %.3g of the training cases", name, configuration, fraction)
        try:
            folders = pipeline.train_folds(chosen, prepared.planned, configuration, workspace)
            cases = _held_out(folders)
            costs = read_costs([folder / FINAL for folder in folders], [folder / LOG for folder in folders])
        except Exception as error:
            yield Entry(name, configuration, fraction, problem=_reason(name, error))
        else:
            yield Entry(name, configuration, fraction, cases, costs)


def _reason(method: str, error: Exception) -> str:
    """What the table says.

    Raises:
        Exception: The error itself, where no other method would fare better.
    """
    if isinstance(error, Interrupted | StorageError):
        raise error
    if isinstance(error, AutosegError):
        logger.error("%s: %s", method, error)
        return str(error)
    # A mistake of ours, or the device's memory: the traceback is what helps.
    logger.error("%s failed", method, exc_info=error)
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _held_out(folders: Sequence[Path]) -> tuple[CaseScores, ...]:
    """Scores of the cases that were not learned from; of the first fold where several held a case out.

    Raises:
        DatasetError: There are none.
    """
    found: dict[str, CaseScores] = {}
    for folder in folders:
        run = Run.load(folder / RUN)
        for case in Report.load(folder / "validation" / "report.json").cases:
            if case.id not in run.train_cases:
                found.setdefault(case.id, case)
    if not found:
        raise DatasetError(f"{folders[0]} held no case out", "compare on a data set with more cases")
    return tuple(found.values())
