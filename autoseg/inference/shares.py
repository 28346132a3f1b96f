"""Shares of the members in an average: found on held-out cases, and tested on those that did not choose them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoseg.metrics.dice import mean_of_regions, mean_per_region
from autoseg.metrics.variants import Rows, best_variant, crossed_rows, rise

Shares = tuple[float, ...]
"""One per member; they sum to 1."""
PARTS = 4
"""Shares are multiples of a quarter: finer ones differ by less than the folds do (our decision)."""
LEAST_GAIN = 1e-3
"""Mean Dice that unequal shares must bring (our decision): good members gained less from them, by chance."""


@dataclass(frozen=True)
class Shared:
    """What was chosen.

    Attributes:
        shares: Of the members, in their order.
        reason: Why, in words.
        tried: Shares -> mean Dice over regions of the held-out cases.
    """

    shares: Shares
    reason: str
    tried: dict[Shares, float]


def shares_of(members: int) -> tuple[Shares, ...]:
    """Equal shares, then every other way to give each member at least one quarter of the whole."""
    equal = (1 / members,) * members
    grid = itertools.product(range(1, PARTS + 1), repeat=members)
    others = (tuple(parts / PARTS for parts in each) for each in grid if sum(each) == PARTS)
    return (equal, *(each for each in others if each != equal))


def choose_shares(names: Sequence[str], rows: Mapping[Shares, Rows], folds: Sequence[str]) -> Shared:
    """Shares with the highest mean Dice, if they are worth it; else equal ones.

    They are kept if the mean rises by `LEAST_GAIN`, and by half of that when every fold's cases take the shares that
    the other folds choose.

    Args:
        names: Members.
        rows: Shares -> Dice of every case; the first entry is that of equal shares.
        folds: Of every case.
    """
    equal, *others = rows
    tried = {shares: mean_of_regions(mean_per_region(scores)) or 0.0 for shares, scores in rows.items()}
    if not others:
        return Shared(equal, "there is nothing to weigh", tried)
    before, after = rows[equal], [rows[shares] for shares in others]
    best = others[best_variant(before, after)]
    gain, honest = rise(before, rows[best]), rise(before, crossed_rows(before, after, folds))
    text = " : ".join(f"{name} {share:g}" for name, share in zip(names, best, strict=True))
    found = f"{text} makes the mean Dice {tried[best]:.4f} instead of {tried[equal]:.4f}"
    if gain < LEAST_GAIN:
        return Shared(equal, f"equal shares: {found}, which is no rise by {LEAST_GAIN:g}", tried)
    if honest < LEAST_GAIN / 2:
        reason = f"equal shares: {found}, but chosen on the other folds they change it by {honest:+.4f}"
        return Shared(equal, reason, tried)
    return Shared(best, f"{found}, and by {honest:+.4f} where the other folds choose", tried)
