"""Which axes may be mirrored: not left-right where labels come in left and right pairs, unless these are exchanged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoseg.core.labels import IGNORE
from autoseg.planning.frame import Frame
from autoseg.planning.laterality import mirrored_pairs
from autoseg.planning.swapping import all_pairs, exchange, named_pairs
from autoseg.specs.dataset import Dataset
from autoseg.specs.fingerprint import CaseFingerprint, Fingerprint
from autoseg.specs.laterality import Laterality
from autoseg.specs.method import PlanChoices
from autoseg.specs.plan import Configuration, Decision


@dataclass(frozen=True)
class Mirroring:
    """What may be mirrored.

    Attributes:
        axes: After the transpose.
        laterality: Labels that change places along one of them; None for none.
        decision: How this came about.
    """

    axes: tuple[int, ...]
    laterality: Laterality | None
    decision: Decision


def plan_mirroring(
    choices: PlanChoices,
    dataset: Dataset,
    fingerprint: Fingerprint,
    frame: Frame,
    configurations: Sequence[Configuration],
) -> Mirroring:
    """Mirror axes by `[plan] mirror_axes`, with labels in pairs dropped or exchanged by `[plan] laterality`.

    Args:
        choices: Of the method.
        dataset: Labels.
        fingerprint: Where they lie in each case.
        frame: Orientations and transpose.
        configurations: All of the plan, whose outputs must be exchangeable.
    """
    labels, cases = dataset.labels, fingerprint.cases
    axes, decision = mirror_axes(choices, labels, frame.orientations, frame.transpose, cases=cases)
    pairs = all_pairs(labels, cases) if choices.laterality == "swap" else ()
    if not pairs:
        return Mirroring(axes, None, decision)
    lateral = _lateral(frame.orientations)
    places = tuple(place for place, axis in enumerate(frame.transpose) if axis in lateral)
    found = exchange(pairs, dataset, configurations, lateral=places)
    if isinstance(found, str):
        reason = f"{decision.reason}; pairs cannot be exchanged instead, as {found}"
        return Mirroring(axes, None, decision.model_copy(update={"reason": reason}))
    axes = (0, 1, 2) if isinstance(choices.mirror_axes, str) else choices.mirror_axes
    if found.axis not in axes:
        return Mirroring(axes, None, decision)
    named = ", ".join(f"'{first}' and '{second}'" for first, second in pairs)
    reason = f"{named} change places where axis {found.axis}, which is left-right, is mirrored"
    return Mirroring(axes, found, _decision(axes, reason))


def lateral_pair(names: Iterable[str]) -> tuple[str, str] | None:
    """Two labels that differ only in their side, e.g. `kidney_left` and `kidney_right`."""
    return next(named_pairs(names), None)


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
    lateral = _lateral(orientations)
    kept = tuple(position for position, axis in enumerate(transpose) if axis not in lateral)
    return kept, _decision(kept, f"{why}, so left-right is not mirrored")


def _lateral(orientations: Sequence[str]) -> set[int]:
    return {axis for code in orientations for axis, letter in enumerate(code) if letter in "LR"}


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
