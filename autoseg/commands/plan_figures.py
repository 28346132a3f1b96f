"""Pictures of a planned data set: classes per split, and the composite image with the box that holds every case."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.workers import default_workers
from autoseg.core.workspace import Workspace
from autoseg.io.raw import RawDataset
from autoseg.reporting.classes import draw_classes
from autoseg.reporting.composite import composite_of, draw_composite
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.splits import Splits

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Which plan.

    Attributes:
        dataset: Folder name of the data set.
        method: Name of the method.
        workers: Processes that read the cases; None is every CPU.
    """

    dataset: str
    method: str = "autoseg"
    workers: int | None = None


def run(options: Options, workspace: Workspace) -> tuple[Path, Path]:
    """Draw `classes.png` and `composite.png` beside the plan.

    Returns:
        Both files.

    Raises:
        SpecError: The data set is not planned yet.
        DatasetError: A case cannot be read.
    """
    folder = workspace.planned(options.dataset, options.method)
    fingerprint = Fingerprint.load(workspace.fingerprint(options.dataset))
    splits = Splits.load(workspace.splits(options.dataset, options.method))
    raw, _ = RawDataset.scan(workspace.raw_dataset(options.dataset))
    classes, composite = folder / "classes.png", folder / "composite.png"
    draw_classes(raw.spec.labels, fingerprint, splits, classes)
    known = {case.case_id for case in fingerprint.cases}
    cases = [case for case in raw.training if case.case_id in known]
    workers = default_workers() if options.workers is None else options.workers
    found = composite_of(cases, raw.spec.channels(), workers=workers)
    draw_composite(found, composite, title=f"{options.dataset}: {found.cases} training cases in one frame")
    logger.info("figures: %s, %s", classes, composite)
    return classes, composite
