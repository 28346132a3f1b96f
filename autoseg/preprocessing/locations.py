"""Sampled voxel coordinates of every class or region, to centre training patches on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autoseg.core.labels import LabelSpace
from autoseg.core.seeds import derive_seed
from autoseg.io.case_store import ANNOTATED

Labels = npt.NDArray[np.signedinteger]
Points = npt.NDArray[np.int64]

SEED = 1234
"""Base of every draw, as nnU-Net v2 takes."""
SAMPLES = 10_000
"""Voxels kept of every class, all where it has fewer."""
SHARE = 0.01
"""Voxels kept of a large class where that is more than `SAMPLES`."""


@dataclass(frozen=True)
class PlaneCounts:
    """Voxels of every label value in every plane.

    Attributes:
        counts: (Z, values).
        lowest: Label value of the first column.
    """

    counts: npt.NDArray[np.int64]
    lowest: int

    @classmethod
    def of(cls, labels: Labels) -> PlaneCounts:
        """Count the planes of (Z, Y, X) labels."""
        lowest, highest = int(labels.min()), int(labels.max())
        counts = [np.bincount(plane.ravel() - np.int64(lowest), minlength=highest - lowest + 1) for plane in labels]
        return cls(np.stack(counts).astype(np.int64), lowest)

    def values(self) -> tuple[int, ...]:
        """Label values that occur."""
        return tuple(int(column) + self.lowest for column in np.flatnonzero(self.counts.any(axis=0)))

    def per_plane(self, values: Sequence[int]) -> npt.NDArray[np.int64]:
        """(Z,) voxels with any of `values`."""
        columns = [value - self.lowest for value in values if 0 <= value - self.lowest < self.counts.shape[1]]
        return np.asarray(self.counts[:, columns].sum(axis=1), np.int64)

    def totals(self) -> dict[str, int]:
        """Label value -> voxels, without what is outside of the body."""
        return {str(value): int(self.per_plane([value]).sum()) for value in self.values() if value >= 0}


def class_locations(labels: Labels, space: LabelSpace, counts: PlaneCounts) -> dict[str, Points]:
    """Coordinates (n, 3) per class or region, drawn without replacement: 10 000, 1 %, or all, the rule of nnU-Net v2.

    With an ignore label there is one more entry, `ANNOTATED`: voxels of every other value, outside and background
    among them, so that a patch that need not hold foreground still holds something to learn from.

    Args:
        labels: (Z, Y, X), -1 outside of the body.
        space: Classes or regions.
        counts: Of the same labels.
    """
    wanted = dict(zip(space.names, space.values, strict=True))
    if space.ignore is not None:
        wanted[ANNOTATED] = tuple(value for value in counts.values() if value != space.ignore)
    return {name: _draw(labels, values, counts.per_plane(values), name) for name, values in wanted.items()}


def _draw(labels: Labels, values: Sequence[int], per_plane: npt.NDArray[np.int64], name: str) -> Points:
    total = int(per_plane.sum())
    count = max(min(SAMPLES, total), int(np.ceil(total * SHARE)))
    # The voxels are numbered plane by plane and numbers are drawn: no list of all coordinates is ever made.
    generator = np.random.default_rng(derive_seed(SEED, name))
    numbers = np.sort(generator.choice(total, count, replace=False) if total else np.zeros(0, np.int64))
    ends = np.cumsum(per_plane)
    edges = np.searchsorted(numbers, np.concatenate([[0], ends]))
    found = np.empty((count, 3), np.int64)
    for plane in np.flatnonzero(np.diff(edges)):
        part = slice(edges[plane], edges[plane + 1])
        members = np.flatnonzero(_is_any(labels[plane], values))
        inside = members[numbers[part] - (ends[plane] - per_plane[plane])]
        found[part, 0] = plane
        found[part, 1], found[part, 2] = np.divmod(inside, labels.shape[2])
    return found


def _is_any(plane: Labels, values: Sequence[int]) -> npt.NDArray[np.bool_]:
    return plane == values[0] if len(values) == 1 else np.isin(plane, values)
