"""Which of several variants of held-out masks is better, and whether that holds for cases that did not choose."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.metrics.dice import RegionDice, mean_per_region

Rows = Sequence[RegionDice]
"""Dice per region of every case."""


def rise(before: Rows, after: Rows) -> float:
    """Rise of the mean Dice over the regions that have a mean before and after."""
    old, new = mean_per_region(before), mean_per_region(after)
    rises = [later - value for name, value in old.items() if value is not None and (later := new[name]) is not None]
    return sum(rises) / len(rises) if rises else 0.0


def best_variant(before: Rows, after: Sequence[Rows]) -> int:
    """First variant with the largest gain."""
    gains = [rise(before, rows) for rows in after]
    return gains.index(max(gains))


def crossed_rows(before: Rows, after: Sequence[Rows], folds: Sequence[str]) -> list[RegionDice]:
    """Rows of every case after the variant that the other folds choose; single cases where there is one fold.

    Args:
        before: Of every case, without any variant.
        after: The same cases, for every variant.
        folds: Of every case.
    """
    groups = list(folds) if len(set(folds)) > 1 else [str(place) for place in range(len(folds))]
    chosen: dict[str, int] = {}
    for group in dict.fromkeys(groups):
        others = [place for place, each in enumerate(groups) if each != group]
        chosen[group] = best_variant([before[i] for i in others], [[rows[i] for i in others] for rows in after])
    return [after[chosen[group]][place] for place, group in enumerate(groups)]
