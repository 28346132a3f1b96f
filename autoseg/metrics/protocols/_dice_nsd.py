"""Dice and surface Dice of a region: all that MSD and KiTS score."""

from __future__ import annotations

from autoseg.metrics.case import RegionPair
from autoseg.metrics.empties import EmptyPolicy
from autoseg.metrics.surface import surface_distances
from autoseg.specs.report import Score


def dice_and_nsd(pair: RegionPair, *, tolerance_mm: float, empties: EmptyPolicy) -> dict[str, Score]:
    """`dice` and `nsd` at a tolerance; both by the policy where a mask is empty."""
    counts = pair.counts
    if counts.empty != "none":
        score = empties.overlap(counts.empty)
        return {"dice": score, "nsd": score}
    found = surface_distances(pair.prediction, pair.reference, spacing_mm=pair.spacing_mm, planar=pair.planar)
    return {
        "dice": Score(value=2 * counts.tp / (counts.predicted + counts.referenced)),
        "nsd": Score(value=0.0 if found is None else found.dice_within(tolerance_mm)),
    }
