"""Seconds and bytes as sums of non-negative costs per unit, fitted on some sizes and judged on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

Point = Mapping[str, Any]


@dataclass(frozen=True)
class Term:
    """One addend.

    Attributes:
        name: What its coefficient is a cost of, e.g. `per native voxel`.
        factors: Names whose product it grows with; none is a constant.
    """

    name: str
    factors: tuple[str, ...] = ()

    def amount(self, point: Point) -> float:
        """How much of it a point has."""
        return float(np.prod([float(point[factor]) for factor in self.factors]))


@dataclass(frozen=True)
class Law:
    """What a stage needs, as a sum of terms.

    Attributes:
        stage: Verb.
        measured: Name of the measured value in the points: `seconds`, `peak_bytes` ...
        per: Of what, e.g. `case`.
        terms: Addends.
    """

    stage: str
    measured: str
    per: str
    terms: tuple[Term, ...]

    def amounts(self, point: Point) -> list[float]:
        """Of every term."""
        return [term.amount(point) for term in self.terms]


@dataclass(frozen=True)
class Fitted:
    """A law with its coefficients.

    Attributes:
        law: The sum.
        coefficients: Seconds or bytes per unit of each term.
    """

    law: Law
    coefficients: tuple[float, ...]

    def __call__(self, point: Point) -> float:
        """Predicted seconds or bytes."""
        return sum(price * amount for price, amount in zip(self.coefficients, self.law.amounts(point), strict=True))

    def error(self, point: Point) -> float:
        """Predicted over measured, less 1."""
        return self(point) / float(point[self.law.measured]) - 1


CONSTANT = Term("whatever the size")
NATIVE, TARGET = Term("per voxel of the scan", ("voxels",)), Term("per voxel of the plan's grid", ("target_voxels",))
LARGEST = Term("per voxel of the largest scan", ("largest_voxels",))
OPERATIONS = Term("per operation of the network", ("operations",))
ELEMENTS = Term("per element of the feature maps", ("elements",))
LAWS = (
    Law("fingerprint", "seconds", "case", (CONSTANT, NATIVE)),
    Law("fingerprint", "peak_bytes", "process", (CONSTANT, LARGEST)),
    Law("preprocess", "seconds", "case", (CONSTANT, NATIVE, TARGET)),
    Law("preprocess", "peak_bytes", "process", (CONSTANT, LARGEST, TARGET)),
    Law("preprocess", "stored_bytes", "case", (CONSTANT, TARGET)),
    Law("train", "seconds", "update", (CONSTANT, Term("per voxel of the batch", ("batch_voxels",)), OPERATIONS)),
    Law("train", "reading_seconds", "batch", (CONSTANT, Term("per voxel of the batch", ("batch_voxels",)))),
    Law("train", "peak_bytes", "process", (CONSTANT, ELEMENTS, Term("per parameter", ("parameters",)))),
    Law(
        "predict",
        "seconds",
        "case",
        (
            CONSTANT,
            NATIVE,
            Term("per voxel and class", ("voxels", "classes")),
            OPERATIONS,
            Term("per element that a pass makes", ("passed_elements",)),
        ),
    ),
    Law(
        "predict",
        "peak_bytes",
        "process",
        (CONSTANT, NATIVE, Term("per voxel of the plan's grid and class", ("target_voxels", "classes")), ELEMENTS),
    ),
    Law("evaluate", "seconds", "case", (CONSTANT, NATIVE, Term("per class", ("classes",)))),
    Law("evaluate", "peak_bytes", "process", (CONSTANT, LARGEST)),
)


def fit(law: Law, points: Sequence[Point]) -> Fitted:
    """Least relative squares with no negative cost, so that small points count as much as large ones."""
    measured = np.array([float(point[law.measured]) for point in points])
    amounts = np.array([law.amounts(point) for point in points])
    # Columns of one size keep the solver from losing the smallest costs.
    scale = np.maximum(amounts.max(axis=0), 1e-300)
    found, _ = nnls(amounts / scale / measured[:, None], np.ones(len(points)))
    return Fitted(law, tuple(float(value) for value in found / scale))
