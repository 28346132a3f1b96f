"""Which axes may be mirrored: not left-right where labels come in left and right pairs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

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
    choices: PlanChoices, labels: Iterable[str], orientations: Sequence[str], transpose: Sequence[int]
) -> tuple[tuple[int, ...], Decision]:
    """Axes after the transpose that may be mirrored, and why.

    Args:
        choices: `mirror_axes` is `all`, `auto` or a list of axes after the transpose.
        labels: Label names.
        orientations: Of every case, in the frame before the transpose.
        transpose: Axis order of the plan.
    """
    if not isinstance(choices.mirror_axes, str):
        return choices.mirror_axes, _decision(choices.mirror_axes, "set by the method")
    if choices.mirror_axes == "all":
        return (0, 1, 2), _decision((0, 1, 2), "the method mirrors all axes")
    pair = lateral_pair(labels)
    if pair is None:
        return (0, 1, 2), _decision((0, 1, 2), "no labels come in left-right pairs")
    lateral = {axis for code in orientations for axis, letter in enumerate(code) if letter in "LR"}
    kept = tuple(position for position, axis in enumerate(transpose) if axis not in lateral)
    reason = f"'{pair[0]}' and '{pair[1]}' are told apart by side, so left-right is not mirrored"
    return kept, _decision(kept, reason)


def _decision(axes: Sequence[int], reason: str) -> Decision:
    return Decision(topic="mirroring", value=", ".join(f"axis {axis}" for axis in axes) or "none", reason=reason)
