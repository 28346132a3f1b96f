"""Whether labels in left-right pairs can be exchanged where an image is mirrored, instead of not mirroring it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from autoseg.core.labels import IGNORE
from autoseg.planning.laterality import mirrored_pairs
from autoseg.specs.dataset import Dataset
from autoseg.specs.fingerprint import CaseFingerprint
from autoseg.specs.laterality import Laterality
from autoseg.specs.plan import Configuration

Labels = Mapping[str, int | tuple[int, ...]]
_SIDES = {"left": "right", "l": "r", "lt": "rt", "lh": "rh"}


def named_pairs(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Labels that differ only in their side, e.g. `kidney_left` and `kidney_right`."""
    tokens = {tuple(_words(name)): name for name in names}
    for words, name in tokens.items():
        for position, word in enumerate(words):
            mirrored = (*words[:position], _SIDES.get(word, ""), *words[position + 1 :])
            if mirrored in tokens:
                yield name, tokens[mirrored]


def all_pairs(labels: Labels, cases: Sequence[CaseFingerprint]) -> tuple[tuple[str, str], ...]:
    """Pairs by name, then those by position.

    Args:
        labels: Label name -> value, or values of a region.
        cases: Where the labels lie in each.
    """
    classes = {name: value for name, value in labels.items() if isinstance(value, int) and value and name != IGNORE}
    pairs = [(frozenset(pair), pair) for pair in named_pairs(labels)]
    pairs += [(frozenset(pair[:2]), (pair.first, pair.second)) for pair in mirrored_pairs(cases, classes)]
    return tuple(dict(reversed(pairs)).values())[::-1]


def exchange(
    pairs: Sequence[tuple[str, str]],
    dataset: Dataset,
    configurations: Sequence[Configuration],
    *,
    lateral: Sequence[int],
) -> Laterality | str:
    """What is exchanged, or why nothing can be.

    Args:
        pairs: Names of labels.
        dataset: Labels, and which of them each case annotates.
        configurations: All of the plan.
        lateral: Axes after the transpose that are left-right in some case.
    """
    if len(lateral) != 1:
        return "left-right is not the same axis in all cases"
    paired = {name for pair in pairs for name in pair}
    lonely = [name for name in dataset.labels if name not in paired and {"left", "right"} & set(_words(name))]
    if lonely:
        return f"'{lonely[0]}' has no counterpart"
    values: dict[int, int] = {}
    for first, second in pairs:
        sides = (_values(dataset.labels[name]) for name in (first, second))
        for here, there in zip(*sides, strict=False):
            values.setdefault(here, there)
            values.setdefault(there, here)
    found = Laterality(axis=lateral[0], pairs=tuple((here, there) for here, there in values.items() if here < there))
    if any(found.exchanged(here) != there for here, there in values.items()):
        return "a label belongs to two pairs"
    for case_id, origin in dataset.provenance.items():
        known = origin.annotated
        if known is not None and any((first in known) != (second in known) for first, second in pairs):
            return f"{case_id} annotates one side only"
    for one in configurations:
        space = one.label_space(dataset.labels, dataset.regions_class_order)
        if found.heads(space) is None or found.places(one.previous_values(space)) is None:
            return f"{one.name} has an output or input for one side only"
    return found


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z]+|\d+", name.lower())


def _values(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else value
