"""What a training cost: parameters, time of an update, memory; read from the folders of its runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.reporting.curves import read_log


@dataclass(frozen=True)
class Costs:
    """Of all folds of one configuration.

    Attributes:
        parameters: Learnable numbers of one network; of the last stage where it is a cascade.
        seconds_per_step: Median over epochs of the epoch's time over its updates: loading and validation included.
        peak_memory_bytes: Largest of the folds; None where it was not recorded.
    """

    parameters: int | None
    seconds_per_step: float | None
    peak_memory_bytes: int | None


def read_costs(weights: Sequence[Path], logs: Sequence[Path]) -> Costs:
    """Costs from the files of finished runs.

    Args:
        weights: Of every fold.
        logs: `log.jsonl` of every fold.

    Raises:
        CheckpointError: Weights are missing or damaged.
    """
    from autoseg.io.weights import count_parameters

    seconds: list[float] = []
    peaks: list[int] = []
    for log in logs:
        lines = read_log(log) if log.is_file() else []
        seconds += _seconds_per_step(lines)
        peaks += [peak for line in lines if (peak := line["time"].get("peak_memory_bytes")) is not None]
    return Costs(
        count_parameters(weights[0]), statistics.median(seconds) if seconds else None, max(peaks, default=None)
    )


def _seconds_per_step(lines: Sequence[dict[str, Any]]) -> list[float]:
    """Of each epoch; without the first one where there are others, as it warms up."""
    before = [0, *(line["update"] for line in lines)]
    found = [line["time"]["seconds"] / (line["update"] - update) for update, line in zip(before, lines, strict=False)]
    return found[1:] or found
