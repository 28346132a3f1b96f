"""demo: make a synthetic data set, train on it, predict unseen cases, score and draw them."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg import pipeline
from autoseg.core.workspace import Workspace
from autoseg.imageops.orient import canonical_orientation, orient, orient_geometry
from autoseg.io.images import read_image, read_label
from autoseg.io.raw import RawDataset
from autoseg.reporting.overview import Sample, draw_overview
from autoseg.reporting.tables import print_report
from autoseg.specs.report import Report

logger = logging.getLogger(__name__)
DATASET_ID = 900
SHOWN = 3


@dataclass(frozen=True)
class Options:
    """How large the demonstration is.

    Attributes:
        variant: `ct` (liver and tumours) or `brain` (four channels, nested tumour).
        cases: Training cases.
        test_cases: Cases that are only predicted.
        time_budget_s: Training time.
        size: Edge of the in-plane matrix, voxels; None takes the phantom's own.
        device: Where to train.
        seed: Of data and training.
        workers: Processes; None is as many as pay.
    """

    variant: str = "ct"
    cases: int = 24
    test_cases: int = 6
    time_budget_s: float = 120.0
    size: int | None = None
    device: str = "auto"
    seed: int = 0
    workers: int | None = None


def run(options: Options, workspace: Workspace) -> Report:
    """Run every stage that a user would, and leave `demo.png` and `report.json` in the workspace."""
    from autoseg.stages import convert, evaluate, predict

    started = time.monotonic()
    extra = () if options.size is None else (("size", options.size),)
    folder = convert.run(
        convert.Options(
            "phantom",
            id=DATASET_ID + (options.variant != "ct"),
            options=(
                ("variant", options.variant),
                ("cases", options.cases),
                ("test_cases", options.test_cases),
                ("seed", options.seed),
                *extra,
            ),
            workers=options.workers,
        ),
        workspace,
    )
    outcome = pipeline.plan_and_train(
        pipeline.Options(
            folder.name,
            configurations=("3d_fullres",),
            folds=("0",),
            time_budget_s=options.time_budget_s,
            device=options.device,
            seed=options.seed,
            workers=options.workers,
        ),
        workspace,
    )
    masks = workspace.root / "predictions" / folder.name
    predict.run(
        predict.Options(
            input=folder / "imagesTs", output=masks, model=outcome.model, device=options.device, workers=options.workers
        ),
        workspace,
    )
    report = evaluate.run(
        evaluate.Options(
            predictions=masks,
            references=folder / "labelsTs",
            output=workspace.root / "report.json",
            dataset=folder.name,
            workers=options.workers,
        ),
        workspace,
    )
    picture = workspace.root / "demo.png"
    _draw(report, masks, folder, picture)
    print_report(report)
    logger.info("picture: %s", picture)
    logger.info("model:   %s", outcome.model)
    logger.info("done in %.0f s", time.monotonic() - started)
    return report


def _draw(report: Report, masks: Path, folder: Path, picture: Path) -> None:
    raw = RawDataset.open(folder)
    samples = []
    for scores in report.cases[:SHOWN]:
        dice = [
            f"{name} {metrics['dice'].value:.2f}"
            for name, metrics in scores.regions.items()
            if metrics["dice"].value is not None
        ]
        image = read_image(next((folder / "imagesTs").glob(f"{scores.id}_0000.*")))
        axes, flips = canonical_orientation(image.geometry)
        prediction, _ = read_label(next(masks.glob(f"{scores.id}.*")))
        reference, _ = read_label(next((folder / "labelsTs").glob(f"{scores.id}.*")))
        turned = [np.asarray(orient(array, axes, flips)) for array in (image.array[0], reference, prediction)]
        spacing = orient_geometry(image.geometry, axes, flips).spacing_mm
        samples.append(Sample(f"{scores.id}\nDice {', '.join(dice)}", turned[0], turned[1], turned[2], spacing))
    names = {
        value: name for name, group in zip(raw.labels.names, raw.labels.values, strict=True) for value in group[:1]
    }
    draw_overview(samples, picture, labels=names, title="Cases the network has never seen")
