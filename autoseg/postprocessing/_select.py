"""Decide on held-out masks which components to remove: nnU-Net v2's rule, without files of intermediate masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autoseg.core.labels import LabelSpace
from autoseg.metrics.dice import RegionDice, mean_of_regions
from autoseg.postprocessing._guard import Guard, no_guard
from autoseg.specs.document import Component
from autoseg.specs.postprocess import Trial

Steps = tuple[Component, ...]
Measure = Callable[[Sequence[Steps]], Sequence[RegionDice]]
"""Mean Dice per region over the held-out cases, once for each sequence of steps."""


@dataclass(frozen=True)
class Selection:
    """What was decided.

    Attributes:
        steps: To apply, in order.
        trials: Every step tried, with its scores.
        before: Region -> mean Dice without any step.
        after: Region -> mean Dice with all of `steps`.
    """

    steps: Steps
    trials: tuple[Trial, ...]
    before: RegionDice
    after: RegionDice


def select_steps(labels: LabelSpace, measure: Measure, *, guard: Guard = no_guard) -> Selection:
    """Choose steps.

    First the largest component of all foreground is tried: kept if the mean over regions rises and no region falls.
    Then, where there are several, the largest component of each region, in order: kept if that region's Dice rises
    (its effect on overlapping regions is not asked for). The rule is nnU-Net v2's `determine_postprocessing`. A
    region that no case has before or after a step is left out of the comparison; there it would veto every step.

    Args:
        labels: Classes or regions.
        measure: Scores masks; called as seldom as the rule allows.
        guard: Asked about steps that would be kept.
    """
    whole = Component(name="keep_largest", options={"labels": list(labels.foreground_values)})
    before, after = measure([(), (whole,)])
    trials = [guarded(_judge_whole(whole, before, after), (), guard)]
    kept: Steps = (whole,) if trials[0].kept else ()
    scores = after if trials[0].kept else before
    if len(labels.names) > 1:
        for batch in _batches(labels):
            measured = measure([(*kept, step) for _, step in batch])
            judged = [
                guarded(_judge_region(*each, scores, found), kept, guard)
                for each, found in zip(batch, measured, strict=True)
            ]
            trials += judged
            accepted = [trial.step for trial in judged if trial.kept]
            if accepted:
                kept = (*kept, *accepted)
                scores = measured[0] if len(batch) == 1 else measure([kept])[0]
    return Selection(kept, tuple(trials), before, scores)


def guarded(trial: Trial, kept: Steps, guard: Guard) -> Trial:
    """A trial after the guard was asked, if there is anything to ask.

    Args:
        trial: By the Dice alone.
        kept: Steps before it.
        guard: Says what worsens.
    """
    if not trial.kept:
        return trial
    verdict = guard(kept, (*kept, trial.step))
    scores = {"protocol_before": verdict.before, "protocol_after": verdict.after}
    if not verdict.worse:
        return trial.model_copy(update=scores)
    metric = verdict.worse[0]
    worse = f"{metric} by the data set's protocol worsens ({verdict.before[metric]:.5f} to {verdict.after[metric]:.5f})"
    return trial.model_copy(update={**scores, "kept": False, "reason": f"{trial.reason}, but {worse}"})


def _batches(labels: LabelSpace) -> list[list[tuple[str, Component]]]:
    """Steps per region; those of one batch do not influence each other's Dice and are measured in one pass."""
    steps = [
        (name, Component(name="keep_largest", options={"labels": list(values)}))
        for name, values in zip(labels.names, labels.values, strict=True)
    ]
    disjoint = len(labels.foreground_values) == sum(len(values) for values in labels.values)
    return [steps] if disjoint else [[step] for step in steps]


def _judge_whole(step: Component, before: RegionDice, after: RegionDice) -> Trial:
    both = [name for name in before if before[name] is not None and after[name] is not None]
    old = mean_of_regions({name: before[name] for name in both})
    new = mean_of_regions({name: after[name] for name in both})
    fallen = [name for name in both if (after[name] or 0.0) < (before[name] or 0.0)]
    rises = old is not None and new is not None and new > old
    if not rises:
        reason = f"the mean Dice does not rise ({_text(old)} to {_text(new)})"
    elif fallen:
        name = fallen[0]
        reason = f"the mean Dice rises, but that of {name} falls ({_text(before[name])} to {_text(after[name])})"
    else:
        reason = f"the mean Dice rises ({_text(old)} to {_text(new)}) and that of no region falls"
    return _trial(
        step, before, after, kept=rises and not fallen, reason=f"largest component of the foreground: {reason}"
    )


def _judge_region(name: str, step: Component, before: RegionDice, after: RegionDice) -> Trial:
    old, new = before[name], after[name]
    kept = old is not None and new is not None and new > old
    reason = (
        f"largest component of {name}: its Dice {'rises' if kept else 'does not rise'} ({_text(old)} to {_text(new)})"
    )
    return _trial(step, before, after, kept=kept, reason=reason)


def _trial(step: Component, before: RegionDice, after: RegionDice, *, kept: bool, reason: str) -> Trial:
    return Trial(step=step, before=dict(before), after=dict(after), kept=kept, reason=reason)


def _text(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.5f}"
