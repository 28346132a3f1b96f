"""How long one update takes, for a time budget."""

from __future__ import annotations

import itertools
import logging
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

from autoseg.training.assembly import Recipe, assemble
from autoseg.training.distributed import ALONE
from autoseg.training.loader import CaseReader
from autoseg.training.schedule import StepTime
from autoseg.training.step import Parts, gradient_step

logger = logging.getLogger(__name__)
WARM_UP_STEPS = 3
MEASURED_STEPS = 20
MEASURED_S = 60.0
"""Slow steps take so long at most, half of it to warm up, but at least one each: twenty would take minutes."""


def estimate_step(recipe: Recipe, *, train_cases: Sequence[CaseReader], val_cases: Sequence[CaseReader]) -> StepTime:
    """Time of one update of all processes: measured by this one with the largest share of the batch.

    The time budget corrects by the clock what they lose on waiting for each other.
    """
    share = math.ceil(recipe.configuration.batch_size / recipe.share.world)
    configuration = recipe.configuration.model_copy(update={"batch_size": share})
    alone = replace(recipe, configuration=configuration, share=ALONE)
    parts = assemble(alone, train_cases=train_cases, val_cases=val_cases)
    found = measure_step(parts, clip=recipe.train.optimizer.gradient_clip)
    logger.info("one update takes %.2f s", found.mean_s)
    return found


def measure_step(parts: Parts, *, clip: float) -> StepTime:
    """Time of one update, loading included, as the loop runs it; a median would miss the dear augmentations.

    The parts are spent: build new ones.
    """
    durations: list[float] = []
    stream = parts.train.stream(0)
    began = time.perf_counter()
    for batch in itertools.islice(stream, WARM_UP_STEPS):
        gradient_step(parts, batch, clip=clip)
        if time.perf_counter() - began > MEASURED_S / 2:
            break
    began = time.perf_counter()  # compiling a network for a GPU takes a minute, and leaves this one
    for _ in range(MEASURED_STEPS):
        if durations and time.perf_counter() - began > MEASURED_S / 2:
            break
        started = time.perf_counter()
        gradient_step(parts, next(stream), clip=clip)
        durations.append(time.perf_counter() - started)
    stream.close()
    return StepTime(statistics.fmean(durations), min(durations))
