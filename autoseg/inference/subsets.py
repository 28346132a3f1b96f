"""Averages of several configurations on cases that all of them held out, from the probabilities that they stored."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from autoseg.core.labels import LabelSpace
from autoseg.inference.export import Labels, MemberLogits, merged_labels_on_native_grid
from autoseg.inference.probabilities import STEPS, load_probabilities, probabilities_folder
from autoseg.inference.scored_runs import WEIGHTS, SharedCase
from autoseg.inference.shares import Shares
from autoseg.io.images import read_label, write_label
from autoseg.metrics.dice import RegionDice, mean_per_region, region_dice
from autoseg.specs.plan import Resampling

Subset = tuple[str, ...]
LARGEST = 3
"""Members of a subset: every one adds its whole prediction time."""
FLOOR = 0.5 / STEPS
"""Probability that a stored 0 stands for."""


def subsets_of(names: Sequence[str]) -> tuple[Subset, ...]:
    """Every subset of two to `LARGEST` names, in their order, smaller ones first."""
    return tuple(
        subset for size in range(2, min(LARGEST, len(names)) + 1) for subset in itertools.combinations(names, size)
    )


def has_probabilities(case: SharedCase, name: str) -> bool:
    """Whether a configuration's probabilities of a case are stored, and those of the present weights."""
    path = probabilities_folder(case.folders[name], case.case_id) / f"{name}.b2nd"
    weights = case.folders[name].parent / WEIGHTS
    return path.is_file() and path.stat().st_mtime_ns >= weights.stat().st_mtime_ns


def score_subsets(
    cases: Sequence[SharedCase], subsets: Sequence[Subset], space: LabelSpace, rules: Mapping[str, Resampling]
) -> dict[Subset, RegionDice]:
    """Mean Dice per region of each subset's averaged probabilities.

    Args:
        cases: What to score on.
        subsets: Configurations to average.
        space: What the labels mean.
        rules: Configuration -> way back to the file's grid.

    Raises:
        DatasetError: Probabilities or a reference cannot be read.
        GeometryError: A reference is not on its image's grid.
    """
    rows: dict[Subset, list[RegionDice]] = {subset: [] for subset in subsets}
    for case in cases:
        reference, _ = read_label(case.reference)
        for subset, labels in _merged(case, subsets, space, rules):
            rows[subset].append(region_dice(labels, reference, space))
    return {subset: mean_per_region(scores) for subset, scores in rows.items()}


def score_shares(
    cases: Sequence[SharedCase],
    subset: Subset,
    tried: Sequence[Shares],
    space: LabelSpace,
    rules: Mapping[str, Resampling],
) -> dict[Shares, list[RegionDice]]:
    """Dice per region of every case, for several shares of the members in one average.

    Args:
        cases: What to score on.
        subset: Configurations to average.
        tried: Shares of them, in their order.
        space: What the labels mean.
        rules: Configuration -> way back to the file's grid.

    Raises:
        DatasetError: Probabilities or a reference cannot be read.
        GeometryError: A reference is not on its image's grid.
    """
    rows: dict[Shares, list[RegionDice]] = {shares: [] for shares in tried}
    for case in cases:
        reference, _ = read_label(case.reference)
        members = [_member(case, name, space, rules[name]) for name in subset]
        for shares in tried:
            labels = merged_labels_on_native_grid(_weighed(members, shares), space)
            rows[shares].append(region_dice(labels, reference, space))
    return rows


def write_merged(
    cases: Sequence[SharedCase],
    subset: Subset,
    shares: Shares,
    targets: Mapping[str, Path],
    space: LabelSpace,
    rules: Mapping[str, Resampling],
    *,
    anew: bool = False,
) -> None:
    """Write the masks of one average; those newer than the probabilities they are made of are kept.

    Args:
        cases: Which.
        subset: Configurations to average.
        shares: Of each of them.
        targets: Case id -> mask to write.
        space: What the labels mean.
        rules: Configuration -> way back to the file's grid.
        anew: Keep none.
    """
    for case in cases:
        target = targets[case.case_id]
        sources = [probabilities_folder(case.folders[name], case.case_id) / f"{name}.b2nd" for name in subset]
        current = target.is_file() and all(path.stat().st_mtime_ns <= target.stat().st_mtime_ns for path in sources)
        if current and not anew:
            continue
        members = _weighed([_member(case, name, space, rules[name]) for name in subset], shares)
        labels = merged_labels_on_native_grid(members, space)
        write_label(target, labels, members[0].record.original.geometry())


def _weighed(members: Sequence[MemberLogits], shares: Shares) -> list[MemberLogits]:
    # Equal shares are exactly 1, as where nothing was searched.
    return [replace(member, weight=share * len(shares)) for member, share in zip(members, shares, strict=True)]


def _merged(
    case: SharedCase, subsets: Sequence[Subset], space: LabelSpace, rules: Mapping[str, Resampling]
) -> Iterator[tuple[Subset, Labels]]:
    """Labels of each subset on the file's grid; every member is read once."""
    members: dict[str, MemberLogits] = {}
    for subset in subsets:
        for name in subset:
            if name not in members:
                members[name] = _member(case, name, space, rules[name])
        yield subset, merged_labels_on_native_grid([members[name] for name in subset], space)


def _member(case: SharedCase, name: str, space: LabelSpace, rule: Resampling) -> MemberLogits:
    """Stored probabilities as logits with the same softmax or sigmoid; margins beyond those of 1/510 are lost."""
    probabilities, record = load_probabilities(probabilities_folder(case.folders[name], case.case_id), name)
    clipped = np.clip(probabilities, FLOOR, 1 - FLOOR)
    logits = np.log(clipped)
    if space.is_regions:
        logits -= np.log1p(-clipped)
    return MemberLogits(torch.from_numpy(logits), record, rule)
