"""demo: make a synthetic data set, train on it, predict unseen cases, score and draw them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from autoseg import pipeline
from autoseg.core.workspace import Workspace
from autoseg.devices.budget import measure_device
from autoseg.io.label_files import find_label_files
from autoseg.io.raw import RawDataset
from autoseg.metrics.aggregate import MEAN
from autoseg.reporting.samples import draw_samples
from autoseg.specs.report import Report, Summary

logger = logging.getLogger(__name__)
DATASET_ID = 900
SMALL_PATCHES = (
    "plan.overrides.3d_fullres.patch_size_voxels=[32,64,64]",
    "plan.overrides.3d_fullres.batch_size=2",
    "plan.cpu.features=[24,16]",
)
"""For a few minutes on a CPU. Half of the patches are centred on foreground, which says nothing when a patch is the
whole scan: tumours were not found in 185 updates of whole scans, but from the 150th of these, each at half the time."""


@dataclass(frozen=True)
class Options:
    """How large the demonstration is.

    Attributes:
        variant: `ct` (liver and tumours) or `brain` (four channels, nested tumour).
        cases: Training cases.
        test_cases: Cases that are only predicted.
        time_budget_s: Training time.
        size: Typical voxels of a scan as `64x96x96`; None takes the phantom's own.
        device: Where to train.
        seed: Of data and training.
        workers: Processes; None is as many as pay.
    """

    variant: str = "ct"
    cases: int = 24
    test_cases: int = 6
    time_budget_s: float = 180.0
    size: str | None = None
    device: str = "auto"
    seed: int = 0
    workers: int | None = None


def run(options: Options, workspace: Workspace) -> Report:
    """Run every stage that a user would, and leave `demo.png` and `report.json` in the workspace."""
    started = time.monotonic()
    with _step("1/4 making scans"):
        folder = _make_scans(options, workspace)
    with _step(f"2/4 learning from them, {options.time_budget_s:.0f} s of training"):
        model = _learn(options, folder, workspace)
    masks = workspace.root / "predictions" / folder.name
    with _step("3/4 segmenting scans that were not learned from"):
        _segment(options, folder, masks, model, workspace)
    picture = workspace.root / "demo.png"
    with _step("4/4 comparing with the truth"):
        report = _score(options, folder, masks, workspace)
        _draw(report, masks, folder, picture)
    Console().print("\n" + score_table(report), markup=False, highlight=False)
    for name, path in (("picture", picture), ("scores", workspace.root / "report.json"), ("model", model)):
        logger.info("%-8s %s", name, path)
    logger.info("done in %.0f s. Your own data: see README.md", time.monotonic() - started)
    return report


def score_table(report: Report) -> str:
    """Mean Dice and HD95 per region over the cases, as aligned plain text."""
    rows = [("unseen scans", "Dice", "95 % interval", "HD95", "cases")]
    for region, metrics in report.summary.items():
        dice, distance = metrics["dice"], metrics.get("hd95_mm")
        if region != MEAN:
            cases = f"{dice.cases} of {len(report.cases)}"
            rows.append((region, _mean(dice, ".3f"), _interval(dice), _mean(distance, ".1f", " mm"), cases))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    counts = [metrics["dice"].cases for region, metrics in report.summary.items() if region != MEAN]
    if any(count < len(report.cases) for count in counts):
        lines.append("(a scan without a region, and none predicted, has no Dice for it)")
    return "\n".join(lines) + "\n"


@contextmanager
def _step(title: str) -> Iterator[None]:
    logger.info("%s", title)
    started = time.monotonic()
    yield
    logger.info("%s took %.0f s", title.partition(" ")[0], time.monotonic() - started)


def _make_scans(options: Options, workspace: Workspace) -> Path:
    from autoseg.stages import convert

    values = {
        "variant": options.variant,
        "cases": options.cases,
        "test_cases": options.test_cases,
        "seed": options.seed,
        "size": options.size,
    }
    given = tuple((key, value) for key, value in values.items() if value is not None)
    number = DATASET_ID + (options.variant != "ct")
    return convert.run(convert.Options("phantom", id=number, options=given, workers=options.workers), workspace)


def _learn(options: Options, folder: Path, workspace: Workspace) -> Path:
    on_cpu = options.size is None and measure_device(options.device).kind == "cpu"
    chosen = pipeline.Options(
        folder.name,
        overrides=SMALL_PATCHES if on_cpu else (),
        configurations=("3d_fullres",),
        folds=("0",),
        time_budget_s=options.time_budget_s,
        device=options.device,
        seed=options.seed,
        workers=options.workers,
    )
    return pipeline.plan_and_train(chosen, workspace).model


def _segment(options: Options, folder: Path, masks: Path, model: Path, workspace: Workspace) -> None:
    from autoseg.stages import predict

    images = folder / "imagesTs"
    # A model trained anew makes other masks; keeping those of an earlier demo would be refused.
    chosen = predict.Options(input=images, output=masks, model=model, device=options.device, overwrite=True)
    predict.run(chosen, workspace)


def _score(options: Options, folder: Path, masks: Path, workspace: Workspace) -> Report:
    from autoseg.stages import evaluate

    chosen = evaluate.Options(
        predictions=masks,
        references=folder / "labelsTs",
        output=workspace.root / "report.json",
        dataset=folder.name,
        workers=options.workers,
    )
    return evaluate.run(chosen, workspace)


def _draw(report: Report, masks: Path, folder: Path, picture: Path) -> None:
    raw = RawDataset.open(folder)
    masks_by_case = find_label_files(masks)
    files = {case.case_id: (case.images[0], case.label, masks_by_case[case.case_id]) for case in raw.test if case.label}
    draw_samples(
        report,
        files,
        picture,
        groups=dict(zip(raw.labels.names, raw.labels.values, strict=True)),
        channel=raw.spec.channels()[0],
        title="Scans the network has not seen",
    )


def _mean(summary: Summary | None, form: str, unit: str = "") -> str:
    return "-" if summary is None or summary.mean is None else f"{summary.mean:{form}}{unit}"


def _interval(summary: Summary) -> str:
    return "-" if summary.ci95 is None else f"{summary.ci95[0]:.3f} to {summary.ci95[1]:.3f}"
