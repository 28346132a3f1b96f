"""What a picture shows, as far as a test can tell, and reports to draw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from autoseg.specs.report import CaseScores, Score


@pytest.fixture(scope="session")
def share_of() -> Callable[..., float]:
    """`share_of(picture, "#rrggbb")`: share of a PNG's pixels that have this colour."""

    def share(picture: Path, colour: str, *, tolerance: float = 0.03) -> float:
        wanted = np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
        return float((np.abs(imread(picture)[..., :3] - wanted).max(axis=-1) < tolerance).mean())

    return share


@pytest.fixture(scope="session")
def scored_cases() -> Callable[..., tuple[CaseScores, ...]]:
    """`scored_cases(liver=(0.5, None), tumour=(0.1, 0.2))`: cases with these Dice values and fitting other metrics."""

    def make(**dice: tuple[float | None, ...]) -> tuple[CaseScores, ...]:
        count = len(next(iter(dice.values())))
        return tuple(
            CaseScores(id=f"case_{index}", regions={name: _metrics(values[index]) for name, values in dice.items()})
            for index in range(count)
        )

    return make


def _metrics(dice: float | None) -> dict[str, Score]:
    if dice is None:
        return {name: Score(value=None, reason="empty in both") for name in ("dice", "iou", "hd95_mm")}
    values = {"dice": dice, "iou": dice / (2 - dice), "precision": dice, "recall": dice, "accuracy": 0.99}
    return {name: Score(value=value) for name, value in {**values, "hd95_mm": 10 * (1 - dice)}.items()}
