"""Which cases an evaluation shows, and what is read to draw them: best, median and worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autoseg.core.errors import GeometryError
from autoseg.imageops.orient import canonical_orientation, orient, orient_geometry
from autoseg.io.images import read_image, read_label
from autoseg.reporting.overview import CT_WINDOW_HU, Sample, draw_overview
from autoseg.specs.report import CaseScores, Report, Score

DICE_NAMES = ("dice", "lesionwise_dice")
"""Scores that rank cases, the first one that a protocol has."""
LARGEST_VALUE = np.iinfo(np.uint16).max
"""Of a label."""


def best_median_worst(report: Report) -> tuple[tuple[str, CaseScores], ...]:
    """Title and scores of cases by their mean Dice: neither the nice ones alone nor the bad."""
    ordered = sorted(report.cases, key=_mean_dice, reverse=True)
    if len(ordered) < 3:
        return tuple((scores.id, scores) for scores in ordered)
    places = {"best": 0, "median": len(ordered) // 2, "worst": len(ordered) - 1}
    return tuple((f"{word}: {ordered[place].id}", ordered[place]) for word, place in places.items())


def draw_samples(
    report: Report,
    files: Mapping[str, tuple[Path, Path, Path]],
    picture: Path,
    *,
    groups: Mapping[str, Sequence[int]],
    channel: str,
    title: str,
) -> None:
    """Draw best, median and worst case with reference and prediction side by side.

    Args:
        report: Chooses the cases and says their scores.
        files: Case id -> first channel's image, reference, prediction; other cases are not shown.
        picture: PNG to write; nothing is written where no case has files.
        groups: Class or region -> its label values; a voxel has the colour of the smallest one that holds it.
        channel: Name of the first channel; `CT` gets a soft-tissue window.
        title: Heading.

    Raises:
        DatasetError: A file cannot be read.
        GeometryError: Files of a case differ in shape.
    """
    known = tuple(case for case in report.cases if case.id in files)
    chosen = best_median_worst(report.model_copy(update={"cases": known}))
    window = CT_WINDOW_HU if channel == "CT" else None
    names, drawn_as = drawn_labels(groups)
    samples = [read_sample(heading, scores, files[scores.id], window=window) for heading, scores in chosen]
    if samples:
        recoded = [
            replace(each, reference=drawn_as[each.reference], prediction=drawn_as[each.prediction]) for each in samples
        ]
        draw_overview(recoded, picture, labels=names, title=title)


def read_sample(
    title: str, scores: CaseScores, files: tuple[Path, Path, Path], *, window: tuple[float, float] | None
) -> Sample:
    """One case, turned to the canonical frame, so that its slices are axial and seen as a radiologist does.

    Args:
        title: Of the row.
        scores: Written into it.
        files: First channel's image, reference, prediction.
        window: Grey values drawn black and white; None takes them from the slice.

    Raises:
        DatasetError: A file cannot be read.
        GeometryError: They differ in shape.
    """
    image = read_image(files[0])
    axes, flips = canonical_orientation(image.geometry)
    arrays = (image.array[0], read_label(files[1])[0], read_label(files[2])[0])
    shapes = [array.shape for array in arrays]
    if len(set(shapes)) > 1:
        raise GeometryError(
            f"{files[0]} has the shape {shapes[0]}, its masks {shapes[1]} and {shapes[2]}",
            "draw masks on their image's grid",
        )
    grey, reference, prediction = (np.asarray(orient(array, axes, flips)) for array in arrays)
    spacing = orient_geometry(image.geometry, axes, flips).spacing_mm
    lines = tuple(_score_text(region, _dice(metrics)) for region, metrics in scores.regions.items())
    return Sample(title, lines, grey, reference, prediction, spacing, window)


def _score_text(region: str, dice: Score | None) -> str:
    if dice is None:
        return region
    return f"{region}: {'none here' if dice.value is None else f'Dice {dice.value:.2f}'}"


def _mean_dice(scores: CaseScores) -> float:
    found = [_dice(metrics) for metrics in scores.regions.values()]
    values = [score.value for score in found if score is not None and score.value is not None]
    return sum(values) / len(values) if values else 0.0


def _dice(metrics: Mapping[str, Score]) -> Score | None:
    return next((metrics[name] for name in DICE_NAMES if name in metrics), None)


def drawn_labels(groups: Mapping[str, Sequence[int]]) -> tuple[dict[int, str], npt.NDArray[np.int32]]:
    """How nested or overlapping regions are told apart in a picture: a value belongs to the smallest that holds it.

    Args:
        groups: Class or region -> its label values.

    Returns:
        Drawn value -> name, regions without a value of their own left out; and an array that takes a label value to
        the drawn one.
    """
    smallest_first = sorted(groups, key=lambda name: len(groups[name]))
    owner = {value: name for name in reversed(smallest_first) for value in groups[name]}
    drawn = {name: min(value for value in owner if owner[value] == name) for name in groups if name in owner.values()}
    # Values that are not declared, such as the ignored one, stay what they are.
    table = np.arange(LARGEST_VALUE + 1, dtype=np.int32)
    for value, name in owner.items():
        table[value] = drawn[name]
    return {value: name for name, value in drawn.items()}, table
