"""Fit a CPU's time per step: what is given up, and in which order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from autoseg.planning.budget import MINIMUM_BATCH, TRAINING_PER_FORWARD, Budget, Fit, Measure, dataset_cap
from autoseg.planning.topology import Pooling, shrink
from autoseg.specs.method import PlanChoices

Candidate = tuple[int, Pooling, int]
"""Base width, patch, smallest batch to be content with."""


def fit_speed(
    start: Pooling,
    spacing_mm: Sequence[float],
    median_shape_voxels: Sequence[float],
    *,
    measure: Measure,
    choices: PlanChoices,
    budget: Budget,
    dataset_voxels: float,
) -> Fit:
    """First candidate whose step fits, then as many patches as the time allows.

    Given up in this order: width down to the sound one, batch down to 2, patch down to the sound volume, width again,
    patch again. The order is ours (nnU-Net v2 plans for GPUs only).

    Raises:
        BudgetError: When even the smallest network takes longer.
    """
    operations = budget.operations or 0.0
    candidates = _candidates(start, spacing_mm, median_shape_voxels, choices)
    width, pooling = next(
        (width, pooling)
        for width, pooling, batch in candidates
        if measure(pooling, width)[1].flops * batch <= operations
    )
    why = "the whole start fits" if pooling is start else "reduced until two patches fit the time"
    return _filled(pooling, width, why, measure=measure, choices=choices, budget=budget, dataset_voxels=dataset_voxels)


def fit_fixed_patch(
    pooling: Pooling, *, measure: Measure, choices: PlanChoices, budget: Budget, dataset_voxels: float
) -> Fit:
    """Widest network that computes two of the given patches in time, else the thinnest; then as many as fit."""
    widths = _widths(choices)
    operations = budget.operations or 0.0
    fitting = [width for width in widths if measure(pooling, width)[1].flops * MINIMUM_BATCH <= operations]
    why = "set by the method, padded to the strides"
    return _filled(
        pooling,
        fitting[0] if fitting else widths[-1],
        why,
        measure=measure,
        choices=choices,
        budget=budget,
        dataset_voxels=dataset_voxels,
    )


def _filled(
    pooling: Pooling,
    width: int,
    why: str,
    *,
    measure: Measure,
    choices: PlanChoices,
    budget: Budget,
    dataset_voxels: float,
) -> Fit:
    """As many patches as the time, the wish and the data set allow."""
    operations = budget.operations or 0.0
    topology, price = measure(pooling, width)
    wanted = choices.cpu.batch_size[len(pooling.divisors) - 2]
    cap = dataset_cap(pooling.patch_size_voxels, budget, dataset_voxels)
    batch = max(min(wanted, int(operations // price.flops), cap), MINIMUM_BATCH)
    seconds = choices.seconds_per_step * price.flops * batch / operations
    reason = (
        f"{price.flops / 1e9:.2f} GFLOP forward per patch, x{TRAINING_PER_FORWARD} to train: about {seconds:.2f} s "
        f"per step; {wanted} wanted, at least {MINIMUM_BATCH}"
    )
    return Fit(pooling, topology, price, batch, f"{why}, at width {width}", reason)


def _candidates(
    start: Pooling, spacing_mm: Sequence[float], median_shape_voxels: Sequence[float], choices: PlanChoices
) -> Iterator[Candidate]:
    """In order of preference."""
    cpu = choices.cpu
    dimensions = len(spacing_mm)
    widths = _widths(choices)
    sound = [width for width in widths if width >= cpu.sound_features] or widths[:1]
    for width in sound:
        yield width, start, cpu.batch_size[dimensions - 2]
    yield sound[-1], start, MINIMUM_BATCH
    floor = min(cpu.sound_patch_voxels[dimensions - 2], math.prod(start.patch_size_voxels))
    pooling = start
    while math.prod((smaller := shrink(spacing_mm, pooling, median_shape_voxels)).patch_size_voxels) >= floor:
        pooling = smaller
        yield sound[-1], pooling, MINIMUM_BATCH
    for width in widths:
        if width < sound[-1]:
            yield width, pooling, MINIMUM_BATCH
    while True:
        pooling = shrink(spacing_mm, pooling, median_shape_voxels)
        yield widths[-1], pooling, MINIMUM_BATCH


def _widths(choices: PlanChoices) -> list[int]:
    """Base widths to try, widest first."""
    return [width for width in choices.cpu.features if width <= choices.base_features] or [choices.base_features]
