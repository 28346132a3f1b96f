"""`fingerprint`: read every training case once and note what the planner needs."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.core.errors import DatasetError
from autoseg.core.labels import LabelSpace
from autoseg.core.workers import default_workers, run_cases
from autoseg.core.workspace import Workspace
from autoseg.imageops.crop import box_bounds, nonzero_box
from autoseg.imageops.orient import orientation_code
from autoseg.io.case_facts import CaseFacts, content_digest, load_facts, save_facts, signature
from autoseg.io.raw import RawCase, RawDataset, check_labels, read_case
from autoseg.planning.intensities import IntensitySummary, pool, summarize
from autoseg.planning.laterality import label_places
from autoseg.preprocessing.fit import reading_workers
from autoseg.specs.fingerprint import CaseFingerprint, Fingerprint

logger = logging.getLogger(__name__)

FACTS = "fingerprint_cases.npz"
"""Cache beside the fingerprint."""
SMALL_DATASET_BYTES = 50_000_000
"""Below this, reading in this process is quicker than starting others (0.5 s each)."""
SAVE_EVERY_S = 60.0
"""A stopped run loses at most this much reading."""


@dataclass(frozen=True)
class Options:
    """What to read.

    Attributes:
        dataset: Folder name of the data set.
        workers: Processes; None takes all CPUs, or one where the data set is small; fewer where memory is short.
        clean: Forget what earlier runs remembered.
        skip_bad_cases: Leave out and name cases that cannot be used, instead of stopping.
        memory_limit: Bytes that may be held at most; None keeps to what is free, and refuses nothing.
    """

    dataset: str
    workers: int | None = None
    clean: bool = False
    skip_bad_cases: bool = False
    memory_limit: int | None = None


def run(options: Options, workspace: Workspace) -> Fingerprint:
    """Fingerprint every training case; cases that did not change are not read again.

    Raises:
        DatasetError: A case cannot be used and `skip_bad_cases` is off, or not one case can be used.
        SpecError: `dataset.json` is wrong.
        BudgetError: A case does not fit the memory limit.
    """
    raw, quarantined = RawDataset.open_usable(workspace.raw_dataset(options.dataset))
    folder = workspace.prepared(options.dataset)
    setting = f"{raw.spec.channels()} {raw.spec.labels}"
    known = {} if options.clean else load_facts(folder / FACTS, setting)
    facts, unreadable = _collect(raw, known, folder / FACTS, setting, options)
    quarantined |= unreadable
    if quarantined and not options.skip_bad_cases:
        raise DatasetError(*refusal(raw.name, quarantined))
    for case_id, reason in sorted(quarantined.items()):
        logger.warning("%s is left out: %s", case_id, reason)
    if not facts:
        raise DatasetError(f"{raw.name}: no usable case", "mend or replace the files")
    fingerprint = _merged(raw, facts, quarantined)
    path = workspace.fingerprint(options.dataset)
    text = fingerprint.to_json()
    if not (path.is_file() and path.read_text(encoding="utf-8") == text):
        fingerprint.save(path)
    return fingerprint


def refusal(dataset: str, bad: dict[str, str]) -> tuple[str, str]:
    """Problem and cure of an error that names every bad case."""
    listed = "; ".join(
        reason if case_id in reason else f"{case_id}: {reason}" for case_id, reason in sorted(bad.items())
    )
    count = "1 bad case" if len(bad) == 1 else f"{len(bad)} bad cases"
    return f"{dataset} has {count}; {listed}", "or leave such cases out by --skip-bad-cases"


@dataclass(frozen=True)
class _Task:
    """Picklable work on one case."""

    case: RawCase
    channels: tuple[str, ...]
    labels: LabelSpace
    known: CaseFacts | None

    def __str__(self) -> str:
        return self.case.case_id


def _collect(
    raw: RawDataset, known: dict[str, CaseFacts], cache: Path, setting: str, options: Options
) -> tuple[dict[str, CaseFacts], dict[str, str]]:
    """Facts by case id and the reasons of those left out; writes the cache when anything was read."""
    facts, quarantined, tasks = _unchanged(raw, known)
    total = sum(path.stat().st_size for task in tasks for path in task.case.files)
    few = default_workers() if total > SMALL_DATASET_BYTES else 1
    workers = few if options.workers is None else options.workers
    workers = reading_workers([task.case for task in tasks], workers=workers, limit=options.memory_limit)
    saved = time.monotonic()
    for outcome in run_cases(_examine, tasks, workers=workers):
        case_id = outcome.item.case.case_id
        if outcome.result is None:
            quarantined[case_id] = str(outcome.error)
            continue
        facts[case_id] = outcome.result
        if time.monotonic() - saved > SAVE_EVERY_S:
            save_facts(cache, setting, facts)
            saved = time.monotonic()
    if tasks or facts.keys() != known.keys():
        save_facts(cache, setting, facts)
    logger.info("%s: %d cases read, %d remembered", raw.name, len(tasks), len(facts) - len(tasks) + len(quarantined))
    return facts, quarantined


def _unchanged(
    raw: RawDataset, known: dict[str, CaseFacts]
) -> tuple[dict[str, CaseFacts], dict[str, str], list[_Task]]:
    facts: dict[str, CaseFacts] = {}
    quarantined: dict[str, str] = {}
    tasks = []
    for case in raw.training:
        remembered = known.get(case.case_id)
        try:
            unchanged = remembered is not None and remembered.signature == signature(case.files)
        except DatasetError as error:
            quarantined[case.case_id] = str(error)
            continue
        if remembered is not None and unchanged:
            facts[case.case_id] = remembered
        else:
            tasks.append(_Task(case, raw.spec.channels(), raw.labels, remembered))
    return facts, quarantined, tasks


def _examine(task: _Task) -> CaseFacts:
    """Read one case."""
    files = task.case.files
    stamp, content = signature(files), content_digest(files)
    if task.known is not None and task.known.fingerprint.content == content:
        return replace(task.known, signature=stamp)
    image, geometry, labels = read_case(task.case, channels=task.channels)
    if labels is None:
        raise DatasetError(f"case {task.case.case_id} has no label", "add it", case_id=task.case.case_id)
    check_labels(labels, task.labels, task.case)
    box = nonzero_box(image)
    inside = labels[box]
    # nnU-Net v2 counts the ignore label as foreground here, against its documentation.
    foreground = inside > 0 if task.labels.ignore is None else (inside > 0) & (inside != task.labels.ignore)
    summaries = [summarize(channel[box][foreground]) for channel in image]
    sizes = [edge.stop - edge.start for edge in box]
    fingerprint = CaseFingerprint(
        case_id=task.case.case_id,
        content=content,
        shape_voxels=geometry.shape,
        cropped_shape_voxels=(sizes[0], sizes[1], sizes[2]),
        cropped_start_voxels=box_bounds(box)[0],
        spacing_mm=geometry.spacing_mm,
        orientation=orientation_code(geometry),
        label_voxels=_count(labels),
        label_places=label_places(labels, geometry.spacing_mm),
    )
    return CaseFacts(stamp, fingerprint, tuple((one.values, one.counts, one.moments) for one in summaries))


def _count(labels: npt.NDArray[Any]) -> dict[str, int]:
    """Voxels per label value; slice by slice, since `bincount` widens its input to 8 bytes."""
    size = int(labels.max()) + 1
    counts = sum(np.bincount(plane.ravel(), minlength=size) for plane in labels)
    return {str(value): int(count) for value, count in enumerate(np.atleast_1d(counts)) if count}


def _merged(raw: RawDataset, facts: dict[str, CaseFacts], quarantined: dict[str, str]) -> Fingerprint:
    cases = [facts[case_id] for case_id in sorted(facts)]
    shares = [np.prod(case.fingerprint.cropped_shape_voxels) / np.prod(case.fingerprint.shape_voxels) for case in cases]
    channels = range(len(raw.spec.channels()))
    return Fingerprint(
        dataset=raw.name,
        cases=tuple(case.fingerprint for case in cases),
        intensities=tuple(pool([IntensitySummary(*case.intensities[index]) for case in cases]) for index in channels),
        median_relative_size_after_cropping=float(np.median(shares)),
        quarantined=dict(sorted(quarantined.items())),
    )
