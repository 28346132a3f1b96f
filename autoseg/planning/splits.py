"""Which case trains and which validates: seeded folds, whole patients and overlap groups on one side."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from autoseg.core.errors import SpecError
from autoseg.core.registry import nearest
from autoseg.core.seeds import derive_seed
from autoseg.specs.dataset import Provenance
from autoseg.specs.splits import Fold, Splits

FOLDS = 5
"""Unless told otherwise."""
SEED = 12345


def make_splits(
    case_ids: Sequence[str], provenance: Mapping[str, Provenance] | None = None, *, folds: int = FOLDS
) -> Splits:
    """Folds over the sorted ids; fewer than wanted where there are fewer cases (or groups of cases).

    Without groups the folds are those of scikit-learn's `KFold(5, shuffle=True, random_state=12345)`, as nnU-Net v2
    makes them. Cases that share a patient or an overlap group stay on one side. A single case (or group) trains and
    validates on itself.

    Args:
        case_ids: Of all cases.
        provenance: Patients and overlap groups by case.
        folds: Wanted number, 5 as in nnU-Net v2.

    Raises:
        SpecError: Fewer than two folds are wanted.
    """
    if folds < 2:
        raise SpecError(f"{folds} fold(s) hold nothing out", "give --num-folds 2 or more; -f all trains on every case")
    cases = sorted(case_ids)
    groups = grouped(cases, provenance or {})
    if len(groups) == 1:
        return Splits(origin="one case: it trains and validates", folds=(Fold(train=tuple(cases), val=tuple(cases)),))
    count = min(folds, len(groups))
    singles = len(groups) == len(cases)
    held_out = _shuffled_folds(groups, count) if singles else _balanced_folds(groups, count)
    parts = tuple(
        Fold(train=tuple(case for case in cases if case not in val), val=tuple(case for case in cases if case in val))
        for val in held_out
    )
    kind = "kfold" if singles else f"grouped kfold, {len(groups)} groups"
    return Splits(origin=f"{kind}({count}, seed {SEED})", folds=parts)


def grouped(cases: Sequence[str], provenance: Mapping[str, Provenance]) -> tuple[tuple[str, ...], ...]:
    """Cases joined by a common patient or overlap group, directly or through others; sorted by their first case."""
    root = {case: case for case in cases}

    def find(case: str) -> str:
        while root[case] != case:
            case = root[case]
        return case

    holder: dict[tuple[str, str], str] = {}
    for case in cases:
        origin = provenance.get(case, Provenance())
        for kind, key in (("patient", origin.patient), ("overlap", origin.overlap_group)):
            if key is not None:
                root[find(case)] = find(holder.setdefault((kind, key), case))
    members: dict[str, list[str]] = {}
    for case in cases:
        members.setdefault(find(case), []).append(case)
    return tuple(tuple(group) for group in members.values())


def share_of_training(fold: Fold, fraction: float, *, seed: int) -> Fold:
    """The fold with a part of its training cases; a smaller part lies within every larger one of the same seed.

    Every case has a number drawn from the seed and its name, and the smallest are taken: at least one. Held-out cases
    stay, so that the scores of different parts compare; a fold that validates on what it trains keeps doing so.

    Args:
        fold: Whole.
        fraction: Share of the training cases, in (0, 1].
        seed: Of the draw.
    """
    ordered = sorted(fold.train, key=lambda case: derive_seed(seed, "training fraction", case))
    # The tolerance keeps 0.07 of 100 cases from being 8: 0.07 * 100 is a little more than 7.
    chosen = set(ordered[: max(1, math.ceil(fraction * len(ordered) - 1e-9))])
    train = tuple(case for case in fold.train if case in chosen)
    return Fold(train=train, val=train if fold.train == fold.val else fold.val)


def read_splits(values: object, source: str, case_ids: Sequence[str], *, left_out: Collection[str] = ()) -> Splits:
    """Folds of nnU-Net's `splits_final.json`: a list of {train, val}.

    Args:
        values: Parsed JSON.
        source: File name for messages.
        case_ids: Cases of the data set.
        left_out: Cases that are dropped from the folds, since they could not be read.

    Raises:
        SpecError: Wrong layout, an unknown case, or a case on both sides.
    """
    parsed = Splits.parse({"origin": source, "folds": values}, source)
    known = {*case_ids, *left_out}
    for number, fold in enumerate(parsed.folds):
        for case in (*fold.train, *fold.val):
            if case not in known:
                raise SpecError(f"{source}, fold {number}: unknown case '{case}'", nearest(case, known))
        both = sorted(set(fold.train) & set(fold.val))
        if both and set(fold.train) != set(fold.val):
            raise SpecError(f"{source}, fold {number}: '{both[0]}' trains and validates", "put it on one side")
    if not parsed.folds:
        raise SpecError(f"{source} has no folds", "list at least one {train, val}")
    folds = tuple(Fold(train=_without(fold.train, left_out), val=_without(fold.val, left_out)) for fold in parsed.folds)
    return Splits(origin=source, folds=folds)


def _without(cases: tuple[str, ...], left_out: Collection[str]) -> tuple[str, ...]:
    return tuple(case for case in cases if case not in left_out)


def leaks(splits: Splits, provenance: Mapping[str, Provenance]) -> tuple[str, ...]:
    """One line per fold whose sides share a patient or an overlap group."""
    found = []
    for number, fold in enumerate(splits.folds):
        for name in ("patient", "overlap_group"):
            sides = [
                {getattr(provenance[case], name) for case in side if case in provenance} - {None}
                for side in (fold.train, fold.val)
            ]
            if fold.train != fold.val and (common := sorted(sides[0] & sides[1])):
                found.append(f"fold {number}: {name.replace('_', ' ')} {common[0]} is on both sides")
    return tuple(found)


def chosen_folds(splits: Splits) -> int | None:
    """Number of folds that these were made with; None for folds that were read from a file."""
    return len(splits.folds) if splits.origin.startswith(("kfold", "grouped kfold")) else None


def _shuffled_folds(groups: Sequence[tuple[str, ...]], count: int) -> list[set[str]]:
    order = np.arange(len(groups))
    np.random.RandomState(SEED).shuffle(order)
    return [{groups[index][0] for index in part} for part in np.array_split(order, count)]


def _balanced_folds(groups: Sequence[tuple[str, ...]], count: int) -> list[set[str]]:
    """Largest groups first, each to the fold with the fewest cases; the seed decides among equals."""
    order = np.arange(len(groups))
    np.random.RandomState(SEED).shuffle(order)
    folds: list[set[str]] = [set() for _ in range(count)]
    for group in sorted((groups[int(index)] for index in order), key=len, reverse=True):
        min(folds, key=len).update(group)
    return folds
