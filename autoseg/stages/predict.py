"""`predict`: images of a folder, or the held-out cases of a fold -> masks on the images' own grids."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from autoseg.core.errors import DatasetError
from autoseg.core.workers import on_cluster
from autoseg.core.workspace import Workspace
from autoseg.devices.memory import keep_freed_memory
from autoseg.devices.select import limit_threads
from autoseg.inference.choose_model import choose_model
from autoseg.inference.jobs import RECORD, Job, claim_jobs, find_jobs
from autoseg.inference.record import prediction_record
from autoseg.inference.settings import CaseSettings
from autoseg.inference.spread import segment_on_cluster
from autoseg.preprocessing.folder import cases_digest
from autoseg.reporting.cases_view import follow_cases
from autoseg.specs.dataset import Dataset
from autoseg.specs.model import MODEL_FILE, Model
from autoseg.specs.prediction import PredictionRecord

if TYPE_CHECKING:
    from autoseg.inference.conveyor import Finished

logger = logging.getLogger(__name__)
MOST_AHEAD = 3
"""Cases in reading at a time: more fill the memory, and none of them computes faster."""


@dataclass(frozen=True)
class Options:
    """What to segment, with what.

    Attributes:
        input: Folder of images, or one image.
        output: Folder for the masks, or the mask of one image.
        model: Model folder; None looks in the workspace.
        dataset: Data set whose model to use.
        method: Method whose model to use.
        configurations: Members to average; empty takes the selected ones.
        folds: Folds to average; empty takes all.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        mirror: Average over mirrored copies; None takes the model's.
        step_size: Window step as a share of the patch; None takes the model's.
        precision: Type to compute in; `auto` takes the fastest that the device has.
        overwrite: Predict again what is there.
        save_probabilities: Also keep compact probabilities.
        postprocess: Apply the steps that the model folder names.
        weights: Member -> share in the average; empty takes the model's.
        workers: Cases read, and written, beside the one that is computed; None is one.
        threads: CPU threads; None leaves torch's choice.
        memory_limit: Bytes that may be held at most; None keeps to what is free, and refuses nothing.
    """

    input: Path
    output: Path
    model: Path | None = None
    dataset: str | None = None
    method: str | None = None
    configurations: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()
    device: str = "auto"
    mirror: bool | None = None
    step_size: float | None = None
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    overwrite: bool = False
    save_probabilities: bool = False
    postprocess: bool = True
    weights: dict[str, float] = field(default_factory=dict)
    workers: int | None = None
    threads: int | None = None
    memory_limit: int | None = None


@dataclass(frozen=True)
class HeldOutOptions:
    """Which fold's held-out cases to segment; the rest as in `Options`."""

    dataset: str
    method: str
    configuration: str
    fold: str
    save_probabilities: bool = False
    device: str = "auto"
    threads: int | None = None
    workers: int | None = None
    memory_limit: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of the cases.

    Attributes:
        written: Case ids predicted now.
        kept: Case ids whose complete mask was there.
        failed: Case id -> why it has no mask.
    """

    written: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)


def run(options: Options, workspace: Workspace) -> Outcome:
    """Segment every image that has no mask yet.

    Raises:
        SpecError: No model, or several, or not the members and folds asked for.
        DatasetError: No complete images.
        CheckpointError: Weights are missing or damaged.
        AutosegError: The output cannot be written, or holds other masks.
    """
    # Mistakes are told before torch and the weights are loaded, which takes seconds.
    folder = choose_model(workspace, folder=options.model, dataset=options.dataset, method=options.method)
    model = Model.load(folder / MODEL_FILE)
    problems: list[DatasetError] = []
    jobs = find_jobs(options.input, options.output, channels=model.channels, problems=problems)
    incomplete = {problem.case_id or "": str(problem) for problem in problems}
    for reason in incomplete.values():
        logger.warning("%s", reason)
    record = prediction_record(folder, model, options)
    waiting = claim_jobs(jobs, record, overwrite=options.overwrite)
    kept = tuple(job.case.case_id for job in jobs if job not in waiting)
    if kept:
        logger.info("%d of %d masks are there already", len(kept), len(jobs))
    written, failed = _predict(folder, waiting, options) if waiting else ((), {})
    return Outcome(written, kept, {**incomplete, **failed})


def fits_earlier(options: Options, workspace: Workspace) -> bool:
    """Whether masks that are in the output folder, if any, were made by the same model and settings.

    Raises:
        SpecError: No model, or several.
    """
    folder = choose_model(workspace, folder=options.model, dataset=options.dataset, method=options.method)
    path = options.output / RECORD
    wanted = prediction_record(folder, Model.load(folder / MODEL_FILE), options)
    return not path.is_file() or PredictionRecord.load(path) == wanted


def run_held_out(options: HeldOutOptions, workspace: Workspace) -> Outcome:
    """Segment the held-out cases of a trained fold; masks newer than the weights are kept.

    Returns:
        Outcome; masks are in `validation/` of the run's folder.

    Raises:
        SpecError: There is no such run.
        CheckpointError: The weights are missing or damaged.
    """
    from autoseg.inference.held_out import HeldOut
    from autoseg.inference.held_out_region import predict_in_regions

    folder = workspace.run(options.dataset, options.method, options.configuration, options.fold)
    limit_threads(options.threads)
    keep_freed_memory(frugal=True)
    ending = Dataset.load(workspace.raw_dataset(options.dataset) / "dataset.json").file_ending
    fold = HeldOut(folder, ending, probabilities=options.save_probabilities)
    waiting, kept = fold.waiting()
    if not waiting:
        return Outcome(kept=kept)
    finished: Iterator[Finished[Any]]
    device, ahead, limit = options.device, _ahead(options.workers), options.memory_limit
    if fold.run.configuration.region is None:
        stored = workspace.cases(options.dataset, cases_digest(fold.run.configuration.preprocessing))
        finished = fold.predict(waiting, stored, device=device, ahead=ahead, memory_limit=limit)
    else:
        finished = predict_in_regions(fold, waiting, workspace, device=device, ahead=ahead, memory_limit=limit)
    named = ((each.item.case_id, each) for each in finished)
    written, failed = follow_cases(f"{options.configuration} fold {options.fold}", named, len(waiting))
    return Outcome(written, kept, failed)


def _predict(folder: Path, jobs: Sequence[Job], options: Options) -> tuple[tuple[str, ...], dict[str, str]]:
    settings = CaseSettings.of(folder, options)
    finished: Iterator[Finished[Job]]
    if on_cluster():
        finished = segment_on_cluster(jobs, settings)
    else:
        from autoseg.inference.case_work import segment_here

        finished = segment_here(jobs, settings, ahead=_ahead(options.workers), memory_limit=options.memory_limit)
    return follow_cases("predict", ((each.item.case.case_id, each) for each in finished), len(jobs))


def _ahead(workers: int | None) -> int:
    """Cases to read, and to write, beside the one in work."""
    return min(max(workers or 1, 1), MOST_AHEAD)
