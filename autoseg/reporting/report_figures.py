"""The pictures beside a report: confusion matrix, and sample slices where the images are known."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from autoseg.core.errors import AutosegError
from autoseg.core.labels import LabelSpace
from autoseg.io.label_files import LabelPair
from autoseg.io.raw import RawDataset
from autoseg.reporting.confusion import draw_confusion
from autoseg.reporting.samples import draw_samples
from autoseg.specs.report import Report

logger = logging.getLogger(__name__)


def draw_report(
    report: Report,
    pairs: Sequence[LabelPair],
    output: Path,
    *,
    labels: LabelSpace,
    raw: Path | None,
    masks_of: str = "",
) -> None:
    """Draw what is known; a picture that cannot be drawn is a warning, as the scores are there already.

    Args:
        report: To draw.
        pairs: Its label files.
        output: Where the report is: `report.json` gets `confusion.png` and `samples.png` beside it, `x.json`
            `x_confusion.png` and `x_samples.png`.
        labels: What was scored; a first stage knows fewer labels than the data set.
        raw: Folder of the data set; None where it is not known.
        masks_of: What made the predictions, for the title.
    """
    prefix = "" if output.stem == "report" else f"{output.stem}_"
    source = " ".join(each for each in ("" if raw is None else raw.name, masks_of) if each)
    title = f"{source + ': ' if source else ''}{len(report.cases)} case{'s' if len(report.cases) > 1 else ''}"
    if report.confusion is not None:
        draw_confusion(report.confusion, output.with_name(f"{prefix}confusion.png"), title=title)
    if raw is None:
        return
    try:
        dataset, _ = RawDataset.scan(raw)
        images = {case.case_id: case.images[0] for case in (*dataset.training, *dataset.test) if case.images}
        files = {
            pair.case_id: (images[pair.case_id], pair.reference, pair.prediction)
            for pair in pairs
            if pair.case_id in images
        }
        draw_samples(
            report,
            files,
            output.with_name(f"{prefix}samples.png"),
            groups=dict(zip(labels.names, labels.values, strict=True)),
            channel=dataset.spec.channels()[0],
            title=title,
        )
    except AutosegError as error:
        logger.warning("no sample slices: %s", error)
