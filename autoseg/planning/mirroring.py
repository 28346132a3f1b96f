"""Which axes may be mirrored: not left-right where labels come in left and right pairs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from autoseg.core.labels import IGNORE
from autoseg.planning.laterality import mirrored_pairs
from autoseg.specs.fingerprint import CaseFingerprint
from autoseg.specs.method import PlanChoices
from autoseg.specs.plan import Decision

_SIDES = {"left": "right", "l": "r", "lt": "rt", "lh": "rh"}


def lateral_pair(names: Iterable[str]) -> tuple[str, str] | None:
    """Two labels that differ only in their side, e.g. `kidney_left` and `kidney_right`."""
    tokens = {tuple(re.findall(r"[a-z]+|\d+", name.lower())): name for name in names}
    for words, name in tokens.items():
        for position, word in enumerate(words):
            if word in _SIDES:
                mirrored = (*words[:position], _SIDES[word], *words[position + 1 :])
                if mirrored in tokens:
                    return name, tokens[mirrored]
    return None


def mirror_axes(
    choices: PlanChoices,
    labels: Mapping[str, int | tuple[int, ...]],
    orientations: Sequence[str],
    transpose: Sequence[int],
    *,
    cases: Sequence[CaseFingerprint] = (),
) -> tuple[tuple[int, ...], Decision]:
    """Axes after the transpose that may be mirrored, and why.

    Args:
        choices: `mirror_axes` is `all`, `auto` or a list of axes after the transpose.
        labels: Label name -> value, or values of a region.
        orientations: Of every case, in the frame before the transpose.
        transpose: Axis order of the plan.
        cases: Where the labels lie in each, for pairs whose names do not say so.
    """
    if not isinstance(choices.mirror_axes, str):
        return choices.mirror_axes, _decision(choices.mirror_axes, "set by the method")
    if choices.mirror_axes == "all":
        return (0, 1, 2), _decision((0, 1, 2), "the method mirrors all axes")
    why = _why_lateral(labels, cases)
    if why is None:
        return (0, 1, 2), _decision((0, 1, 2), "no labels come in left-right pairs, by name or position")
    lateral = {axis for code in orientations for axis, letter in enumerate(code) if letter in "LR"}
    kept = tuple(position for position, axis in enumerate(transpose) if axis not in lateral)
    return kept, _decision(kept, f"{why}, so left-right is not mirrored")


def _why_lateral(labels: Mapping[str, int | tuple[int, ...]], cases: Sequence[CaseFingerprint]) -> str | None:
    named = lateral_pair(labels)
    if named is not None:
        return f"'{named[0]}' and '{named[1]}' are told apart by side"
    classes = {name: value for name, value in labels.items() if isinstance(value, int) and value and name != IGNORE}
    pairs = mirrored_pairs(cases, classes)
    if not pairs:
        return None
    first, second, agreeing, count = pairs[0]
    more = f" (and {len(pairs) - 1} more such pairs)" if len(pairs) > 1 else ""
    return f"'{first}' and '{second}' mirror each other in {agreeing} of {count} cases{more}"


def _decision(axes: Sequence[int], reason: str) -> Decision:
    return Decision(topic="mirroring", value=", ".join(f"axis {axis}" for axis in axes) or "none", reason=reason)
