"""Dice of held-out masks after several sequences of steps; every file is read once per call."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from autoseg.core.errors import AutosegError, DatasetError
from autoseg.core.labels import LabelSpace
from autoseg.core.workers import run_cases_growing
from autoseg.imageops.crop import nonzero_box
from autoseg.io.images import read_label
from autoseg.io.label_files import LabelPair
from autoseg.metrics.dice import RegionDice, mean_per_region, region_dice
from autoseg.postprocessing import Labels, apply_steps
from autoseg.specs.document import Component

Steps = tuple[Component, ...]


def measure_sequences(
    pairs: Sequence[LabelPair], labels: LabelSpace, sequences: Sequence[Steps], *, workers: int
) -> list[RegionDice]:
    """Mean Dice per region over all cases, once for each sequence of steps; see `measure_cases`."""
    return [mean_per_region(rows) for rows in measure_cases(pairs, labels, sequences, workers=workers)]


def measure_cases(
    pairs: Sequence[LabelPair], labels: LabelSpace, sequences: Sequence[Steps], *, workers: int
) -> list[list[RegionDice]]:
    """Dice per region of every case, once for each sequence of steps.

    Args:
        pairs: Held-out masks and their references.
        labels: What the values mean.
        sequences: Steps to apply, from the mask as predicted.
        workers: Processes.

    Raises:
        DatasetError: A case cannot be read, has other labels, or another shape than its reference.
    """
    measure = functools.partial(_measure_case, labels=labels, sequences=tuple(sequences))
    found: dict[tuple[str, str], list[dict[str, float | None]]] = {}
    for outcome in run_cases_growing(measure, pairs, workers=workers):
        pair = outcome.item
        if outcome.error is not None or outcome.result is None:
            raise _named(outcome.error, pair) from outcome.error
        found[pair.case_id, str(pair.prediction)] = outcome.result
    # In the order of the cases, whatever order they were done in: sums of floats depend on it.
    rows = [found[pair.case_id, str(pair.prediction)] for pair in pairs]
    return [[row[index] for row in rows] for index in range(len(sequences))]


def _measure_case(pair: LabelPair, *, labels: LabelSpace, sequences: Sequence[Steps]) -> list[dict[str, float | None]]:
    mask, _ = read_label(pair.prediction)
    reference, grid = read_label(pair.reference)
    if mask.shape == reference.shape:
        # Cleaning only removes: what both files leave empty need not be looked at again.
        box = nonzero_box(np.stack([mask != 0, reference != 0]))
        mask, reference = mask[box], reference[box]
    cleaned: dict[tuple[str, ...], Labels] = {(): mask}
    scores: dict[int, dict[str, float | None]] = {}
    rows = []
    for sequence in sequences:
        result = _cleaned(sequence, grid.spacing_mm, cleaned)
        # Steps hand back their input where there is nothing to do, which is most of the time.
        if id(result) not in scores:
            dice = region_dice(result, reference, labels)
            judged = labels.names if pair.annotated is None else pair.annotated
            scores[id(result)] = {name: value if name in judged else None for name, value in dice.items()}
        rows.append(scores[id(result)])
    return rows


def _cleaned(sequence: Steps, spacing_mm: Sequence[float], known: dict[tuple[str, ...], Labels]) -> Labels:
    """Apply steps, going on from the longest beginning that was done before."""
    key: tuple[str, ...] = ()
    for step in sequence:
        longer = (*key, step.digest())
        if longer not in known:
            known[longer] = apply_steps((step,), known[key], spacing_mm)
        key = longer
    return known[key]


def _named(error: AutosegError | None, pair: LabelPair) -> DatasetError:
    problem, cure = ("no result", "") if error is None else (error.problem, error.cure)
    return DatasetError(f"case {pair.case_id}: {problem} ({pair.prediction})", cure, case_id=pair.case_id)
