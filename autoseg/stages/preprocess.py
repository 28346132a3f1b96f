"""`preprocess`: raw cases -> stored cases on the grids of the plan."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.core.errors import DatasetError, StorageError
from autoseg.core.labels import LabelSpace
from autoseg.core.workers import default_workers, run_cases
from autoseg.core.workspace import Workspace
from autoseg.io.case_facts import content_digest, signature
from autoseg.io.case_store import remove_case, renew_record, save_case, stored_record
from autoseg.io.raw import RawCase, RawDataset, check_labels, read_case
from autoseg.preprocessing.case import PreparedCase, for_case, is_normalized, preprocess_case
from autoseg.preprocessing.fit import fitting_workers, known_crops
from autoseg.preprocessing.folder import cases_digest
from autoseg.specs.document import canonical_json
from autoseg.specs.plan import Configuration, Plan, Preprocessing

logger = logging.getLogger(__name__)

SMALL_DATASET_BYTES = 100_000_000
"""Below this, this process is done before others would have started (0.5 s each)."""


@dataclass(frozen=True)
class Options:
    """What to preprocess.

    Attributes:
        dataset: Folder name of the data set.
        method: Name of the planned method.
        configurations: Only these; empty takes every planned one.
        workers: Processes; None takes all CPUs, or one where the data set is small; fewer where memory is short.
        memory_limit: Bytes that may be held at most; None keeps to what is free, and refuses nothing.
    """

    dataset: str
    method: str = "autoseg"
    configurations: tuple[str, ...] = ()
    workers: int | None = None
    memory_limit: int | None = None


@dataclass(frozen=True)
class Prepared:
    """Where the stored cases are.

    Attributes:
        folders: Configuration -> folder; configurations with equal preprocessing share one.
        quarantined: Case id -> why it could not be prepared.
    """

    folders: dict[str, Path]
    quarantined: dict[str, str] = field(default_factory=dict)


def run(options: Options, workspace: Workspace) -> Prepared:
    """Store every training case as the plan says; cases that are up to date are left alone.

    Raises:
        SpecError: There is no plan, or it has no such configuration.
        DatasetError: `dataset.json` is wrong, or not one case could be prepared.
        StorageError: The disk is full; the cases stored so far are complete.
        BudgetError: A case does not fit the memory limit.
    """
    plan = Plan.load(workspace.plan(options.dataset, options.method))
    raw, unusable = RawDataset.open_usable(workspace.raw_dataset(options.dataset))
    chosen = [plan.configuration(name) for name in options.configurations or plan.configurations]
    folders = {one.name: workspace.cases(options.dataset, cases_digest(one.preprocessing)) for one in chosen}
    # Where a 2D and a 3D configuration share cases, the 3D patch shapes the chunks: it reads more at once.
    targets = {folders[one.name]: one for one in sorted(chosen, key=lambda one: one.dimensions)}
    meaning = canonical_json([plan.labels, plan.regions_class_order])
    tasks, quarantined = _outdated(raw, targets, meaning)
    quarantined |= unusable
    total = sum(path.stat().st_size for task in tasks for path in task.case.files)
    few = default_workers() if total > SMALL_DATASET_BYTES else 1
    workers = fitting_workers(
        [task.case for task in tasks],
        [one.preprocessing for one in targets.values()],
        cropped=known_crops(workspace.fingerprint(options.dataset)),
        workers=options.workers or few,
        limit=options.memory_limit,
    )
    for number, outcome in enumerate(run_cases(_prepare, tasks, workers=workers), start=1):
        if isinstance(outcome.error, StorageError):
            raise outcome.error
        if outcome.error is not None:
            quarantined[outcome.item.case.case_id] = str(outcome.error)
            logger.warning("%s is left out: %s", outcome.item, outcome.error)
        logger.debug("%s: %d of %d", outcome.item, number, len(tasks))
    logger.info(
        "%s: %d cases stored, %d left out, %d in all", raw.name, len(tasks), len(quarantined), len(raw.training)
    )
    if quarantined and len(quarantined) == len(raw.training):
        case, reason = next(iter(quarantined.items()))
        raise DatasetError(f"{raw.name}: no usable case; {case}: {reason}", "mend or replace the files")
    return Prepared(folders, dict(sorted(quarantined.items())))


@dataclass(frozen=True)
class _Task:
    """Picklable work on one case: read once, stored for every configuration that lacks it."""

    case: RawCase
    channels: tuple[str, ...]
    space: LabelSpace
    meaning: str
    targets: tuple[tuple[Path, Preprocessing, tuple[int, ...]], ...]

    def __str__(self) -> str:
        return self.case.case_id


def _outdated(
    raw: RawDataset, targets: Mapping[Path, Configuration], meaning: str
) -> tuple[list[_Task], dict[str, str]]:
    """Cases to make, and the reasons of those that cannot even be looked at."""
    tasks: list[_Task] = []
    quarantined: dict[str, str] = {}
    for case in raw.training:
        try:
            missing = tuple(
                (folder, one.preprocessing, one.patch_size_voxels)
                for folder, one in targets.items()
                if not _is_current(folder, case, _meaning(meaning, case))
            )
        except DatasetError as error:
            quarantined[case.case_id] = str(error)
            continue
        if missing:
            tasks.append(_Task(case, raw.spec.channels(), raw.labels, _meaning(meaning, case), missing))
    return tasks, quarantined


def _meaning(labels: str, case: RawCase) -> str:
    """What the values of this case mean: the data set's labels, and which of them it annotates."""
    return labels if case.annotated is None else canonical_json([labels, case.annotated])


def _is_current(folder: Path, case: RawCase, meaning: str) -> bool:
    """Whether the stored case was made from these very files; only if their times changed are they read for it."""
    record = stored_record(folder, case.case_id)
    stored = ("" if record is None else record.source).split("\n")
    if record is None or len(stored) != 3 or stored[2] != meaning:
        return False
    stamp = signature(case.files)
    if stored[0] == stamp:
        return True
    if stored[1] != content_digest(case.files):
        return False
    renew_record(folder, record.model_copy(update={"source": _source(stamp, stored[1], meaning)}))
    return True


def _source(stamp: str, content: str, meaning: str) -> str:
    return f"{stamp}\n{content}\n{meaning}"


def _prepare(task: _Task) -> None:
    """Read one case and store it for every target; what was stored of it before is removed first.

    Raises:
        DatasetError: The case cannot be used.
    """
    for folder, _, _ in task.targets:
        remove_case(folder, task.case.case_id)
    files = task.case.files
    source = _source(signature(files), content_digest(files), task.meaning)
    image, geometry, labels = read_case(task.case, channels=task.channels)
    if labels is None:
        raise DatasetError(f"case {task.case.case_id} has no label", "add it", case_id=task.case.case_id)
    check_labels(labels, task.space, task.case)
    done: dict[str, PreparedCase] = {}
    for folder, preprocessing, patch in task.targets:
        # A 2D configuration keeps the slice distance; where the case has the 3D one, both are the same case.
        effective = for_case(preprocessing, geometry)
        digest = effective.digest()
        if digest not in done:
            done.clear()
            done[digest] = preprocess_case(image, geometry, labels, effective, task.space, case_id=task.case.case_id)
        _store(done[digest], folder, patch, half=is_normalized(preprocessing), source=source, task=task)


def _store(
    prepared: PreparedCase, folder: Path, patch: tuple[int, ...], *, half: bool, source: str, task: _Task
) -> None:
    # A function of its own, so that arrays of one target are not held while the next is made.
    image, labels, record, locations = prepared
    record = record.model_copy(update={"source": source, "annotated": task.case.annotated})
    save_case(folder, record, image, labels, locations, patch_size_voxels=patch, half=half)
