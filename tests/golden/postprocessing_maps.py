"""Label maps with components to remove, made by seed: read by the tests and by the script that asks nnU-Net v2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SHAPE = (14, 20, 18)
CASES = 4


@dataclass(frozen=True)
class Scenario:
    """What the labels mean, and what is wrong with the predictions.

    Attributes:
        labels: As in `dataset.json`.
        order: `regions_class_order`.
        noise: Label -> false components per case.
        split: Label whose true structure has two parts, or 0.
        ignored: Share of the reference that is not annotated.
        absent: Label that the last two references lack, or 0.
    """

    labels: dict[str, Any]
    noise: dict[int, int]
    order: tuple[int, ...] | None = None
    split: int = 0
    ignored: float = 0.0
    absent: int = 0


TWO = {"background": 0, "first": 1, "second": 2}
NESTED = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "active": [3]}
SCENARIOS = {
    "noise_everywhere": Scenario(TWO, {1: 2, 2: 2}),
    "one_split": Scenario(TWO, {1: 2, 2: 2}, split=1),
    "clean": Scenario(TWO, {}),
    "split_and_clean": Scenario(TWO, {}, split=2),
    "one_label": Scenario({"background": 0, "organ": 1}, {1: 3}),
    "ignore": Scenario({**TWO, "ignore": 3}, {1: 3, 2: 1}, ignored=0.4, split=1),
    "absent": Scenario(TWO, {1: 1, 2: 2}, split=1, absent=2),
    "regions": Scenario(NESTED, {1: 2, 3: 2}, order=(1, 2, 3)),
    "regions_split": Scenario(NESTED, {1: 1, 2: 2, 3: 2}, order=(1, 2, 3), split=1),
    "regions_split_core": Scenario(NESTED, {1: 3}, order=(1, 2, 3), split=3),
}


def make_maps(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Prediction and reference (Z, Y, X) of every case of a scenario."""
    scenario = SCENARIOS[name]
    generator = np.random.default_rng(sorted(SCENARIOS).index(name))
    values = sorted({v for entry in scenario.labels.values() for v in _listed(entry)} - {0})
    values = [value for value in values if scenario.labels.get("ignore") != value]
    return [_case(scenario, values, generator, index) for index in range(CASES)]


def _case(
    scenario: Scenario, values: Sequence[int], generator: np.random.Generator, index: int
) -> tuple[np.ndarray, np.ndarray]:
    reference = np.zeros(SHAPE, np.uint8)
    for value in values:
        _box(reference, (3, 3 + 3 * value, 4), (5, 4, 6), value)
        if value == scenario.split:
            _box(reference, (10, 3, 12), (3, 4, 4), value)
    prediction = np.roll(reference, int(generator.integers(0, 2)), axis=int(generator.integers(0, 3)))
    for value, count in scenario.noise.items():
        for _ in range(count):
            corner = [int(generator.integers(0, size - 2)) for size in SHAPE]
            _box(prediction, corner, [int(edge) for edge in generator.integers(1, 4, 3)], value)
    if index >= CASES - 2:
        reference[reference == scenario.absent] = 0
    if scenario.ignored:
        reference[generator.random(SHAPE) < scenario.ignored] = scenario.labels["ignore"]
    return prediction, reference


def _box(labels: np.ndarray, corner: Sequence[int], edges: Sequence[int], value: int) -> None:
    labels[tuple(slice(start, start + edge) for start, edge in zip(corner, edges, strict=True))] = value


def _listed(entry: int | Sequence[int]) -> Sequence[int]:
    return (entry,) if isinstance(entry, int) else entry
