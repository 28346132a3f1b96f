"""What a cascade learns from: the held-out masks of the previous stage, stored on the next stage's grid. No torch."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.core.errors import DatasetError, SpecError
from autoseg.core.workers import default_workers, run_cases_growing
from autoseg.inference.region import find_organ
from autoseg.inference.scored_runs import WEIGHTS
from autoseg.io.case_facts import content_digest
from autoseg.io.case_store import StoredCase
from autoseg.io.images import read_label
from autoseg.io.label_files import find_label_files, listed
from autoseg.io.label_store import StoredLabels, save_labels, stored_source
from autoseg.io.raw import RawDataset
from autoseg.preprocessing.folder import cases_digest
from autoseg.preprocessing.masks import labels_on_plan_grid
from autoseg.specs.case import CaseRecord
from autoseg.specs.plan import Configuration
from autoseg.specs.run import Run
from autoseg.specs.splits import Fold, Splits

logger = logging.getLogger(__name__)
ORGAN_MODEL = "organ_model"
"""Folder of a method's runs with the masks that the model of its `[plan.region]` makes of the training images."""
VERSION = 1
"""Raised whenever unchanged masks would come out differently, so that all are made again."""


def bring_previous_labels(
    folder: Path,
    configuration: Configuration,
    *,
    stored: Path,
    splits: Splits,
    fold: Fold,
    raw: Path,
    workers: int | None = None,
) -> Path | None:
    """Folder with the previous stage's labels of a fold's cases, brought up to date; None where there is no such stage.

    Args:
        folder: Of the next stage's run; the previous stage's runs lie beside those of its configuration.
        configuration: The next stage.
        stored: Its preprocessed cases.
        splits: Folds of the data set.
        fold: Of the run.
        raw: The data set, whose references may take the place of the previous stage.
        workers: Processes; None takes all CPUs where there is enough to do.

    Raises:
        DatasetError: A case has no held-out mask, or one that does not fit.
    """
    region = configuration.region
    if configuration.previous_stage is None and region is None:
        return None
    stage, cases = folder.parents[1] / (configuration.previous_stage or ORGAN_MODEL), sorted({*fold.train, *fold.val})
    if region is not None and region.source == "reference":
        known = {case.case_id: case.label for case in RawDataset.scan(raw)[0].training if case.label is not None}
        masks = {case_id: known[case_id] for case_id in cases}
    else:
        masks = first_masks(folder, configuration, splits, cases)
    target = next_stage_folder(stage, configuration)
    bring_to_next_stage(masks, stored, configuration, target=target, workers=workers)
    return target


def first_masks(folder: Path, configuration: Configuration, splits: Splits, case_ids: Sequence[str]) -> dict[str, Path]:
    """Masks of the stage before this one, of networks that have not seen the cases.

    Args:
        folder: Of the next stage's run.
        configuration: The next stage.
        splits: Folds of the data set.
        case_ids: Cases that the next stage needs.

    Raises:
        DatasetError: A case has no such mask.
    """
    if configuration.previous_stage is not None:
        return held_out_masks(folder.parents[1] / configuration.previous_stage, splits, case_ids)
    masks = folder.parents[1] / ORGAN_MODEL
    found = find_label_files(masks) if masks.is_dir() else {}
    missing = [case_id for case_id in case_ids if case_id not in found]
    if missing:
        raise DatasetError(
            f"{len(missing)} cases have no mask by the organ's model ({listed(missing)})",
            "run autoseg plan_and_train, which makes them",
        )
    return {case_id: found[case_id] for case_id in case_ids}


def next_stage_folder(stage: Path, configuration: Configuration) -> Path:
    """Where the labels of a stage are on the grid of the configuration that takes them as input.

    Args:
        stage: Folder of the stage's runs.
        configuration: The next stage.
    """
    return stage / f"next_{cases_digest(configuration.preprocessing)}"


def held_out_masks(stage: Path, splits: Splits, case_ids: Sequence[str]) -> dict[str, Path]:
    """The mask of every case from the fold that did not learn from it.

    Args:
        stage: Folder of the stage's runs, `runs/<dataset>/<method>/<configuration>`.
        splits: Folds of the data set.
        case_ids: Cases that the next stage needs.

    Raises:
        DatasetError: A case is held out by no fold, or folds are not trained, or their masks not made.
    """
    fold_of: dict[str, str] = {}
    for number, fold in enumerate(splits.folds):
        for case_id in fold.val:
            fold_of.setdefault(case_id, str(number))
    _refuse_never_held_out([case_id for case_id in case_ids if case_id not in fold_of], stage)
    needed = sorted({fold_of[case_id] for case_id in case_ids}, key=int)
    masks = {fold: _masks_of(stage / f"fold_{fold}") for fold in needed}
    missing = [fold for fold, found in masks.items() if found is None]
    missing += sorted(
        {fold_of[one] for one in case_ids if one not in (masks[fold_of[one]] or {})} - set(missing), key=int
    )
    if missing:
        raise DatasetError(
            f"{stage.name} has no held-out masks of fold(s) {', '.join(missing)}, which the next stage learns from",
            f"run autoseg plan_and_train with -c {stage.name} for these folds, or for the next stage: it does both",
        )
    return {case_id: (masks[fold_of[case_id]] or {})[case_id] for case_id in case_ids}


def bring_to_next_stage(
    masks: Mapping[str, Path], stored: Path, configuration: Configuration, *, target: Path, workers: int | None = None
) -> None:
    """Store masks on the grid of the next stage's cases; those that are up to date stay.

    Args:
        masks: Case id -> label file of the previous stage, on the grid of the case's image.
        stored: Folder of the next stage's preprocessed cases.
        configuration: The next stage.
        target: Folder to store them in, from `next_stage_folder`.
        workers: Processes; None takes all CPUs where there is enough to do.

    Raises:
        DatasetError: A mask cannot be read, or lies on another grid than its case.
    """
    tasks = []
    for case_id, mask in masks.items():
        record = StoredCase(stored, case_id).record
        # Times of the raw files in the record say nothing about the grid.
        grid = record.model_copy(update={"source": ""}).digest()
        region = "" if configuration.region is None else f" {configuration.region.digest()}"
        source = f"{VERSION} {content_digest((mask,))} {grid}{region}"
        if stored_source(target, case_id) != source:
            tasks.append(_Task(case_id, mask, record, configuration, target, source))
    workers = default_workers() if workers is None else workers
    for outcome in run_cases_growing(_bring, tasks, workers=workers):
        if outcome.error is not None:
            raise outcome.error
    if tasks:
        logger.info("%d masks of %s on the grid of %s", len(tasks), target.parent.name, configuration.name)


def labels_digest(folder: Path | None, case_ids: Sequence[str]) -> str | None:
    """12 hexadecimal digits of the stored labels of some cases; None without a folder."""
    if folder is None:
        return None
    lines = [f"{case_id} {StoredLabels(folder, case_id).digest}" for case_id in sorted(set(case_ids))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class _Task:
    """Picklable work on one mask."""

    case_id: str
    mask: Path
    record: CaseRecord
    configuration: Configuration
    target: Path
    source: str

    def __str__(self) -> str:
        return self.case_id


def _bring(task: _Task) -> None:
    labels, geometry = read_label(task.mask)
    if labels.shape != task.record.original.shape:
        raise DatasetError(
            f"the mask {task.mask} has the shape {list(labels.shape)}, its case {list(task.record.original.shape)}",
            "delete it and predict the fold again",
            case_id=task.case_id,
        )
    region = task.configuration.region
    if region is not None:
        wanted = region.labels if region.source == "reference" else region.found_as
        organ = find_organ(labels, geometry, region.model_copy(update={"found_as": wanted}))
        labels = np.zeros(labels.shape, np.int16) if organ.mask is None else organ.mask * np.int16(region.host)
    moved = labels_on_plan_grid(labels, task.record, task.configuration.preprocessing.resampling)
    patch = task.configuration.patch_size_voxels
    save_labels(task.target, task.case_id, moved, patch_size_voxels=patch, source=task.source)


def _masks_of(fold: Path) -> dict[str, Path] | None:
    """Masks of a complete training that are newer than its weights; None where there is no such training."""
    weights, folder = fold / WEIGHTS, fold / "validation"
    try:
        held_out = Run.load(fold / "run.json").val_cases
    except SpecError:
        return None
    if not weights.is_file() or not folder.is_dir():
        return None
    trained = weights.stat().st_mtime_ns
    files = find_label_files(folder)
    return {name: files[name] for name in held_out if name in files and files[name].stat().st_mtime_ns >= trained}


def _refuse_never_held_out(case_ids: Sequence[str], stage: Path) -> None:
    if case_ids:
        raise DatasetError(
            f"no fold holds out {len(case_ids)} cases ({listed(case_ids)}): {stage.name} has no honest mask of them",
            "give splits in which every case validates in one fold",
        )
