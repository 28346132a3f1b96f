"""Further steps with thresholds, found on held-out masks and tested on those that did not choose them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autoseg.metrics.dice import RegionDice, mean_of_regions, mean_per_region
from autoseg.metrics.variants import Rows, best_variant, crossed_rows, rise
from autoseg.postprocessing._candidates import Candidate
from autoseg.postprocessing._guard import Guard
from autoseg.postprocessing._select import Selection, guarded
from autoseg.specs.document import Component
from autoseg.specs.postprocess import Trial

Steps = tuple[Component, ...]
MeasureRows = Callable[[Sequence[Steps]], Sequence[Rows]]
LEAST_GAIN = 1e-4
"""Mean Dice that a step must bring: less is what a threshold finds by chance."""


@dataclass(frozen=True)
class _Judged:
    trial: Trial
    means: RegionDice


def search_steps(
    start: Selection, tried: Sequence[Candidate], measure: MeasureRows, *, folds: Sequence[str], guard: Guard
) -> Selection:
    """Add steps to those chosen so far, in the order of `tried`.

    Of a candidate's variants that with the highest mean Dice is taken. It is kept if the mean over regions rises by
    `LEAST_GAIN`, no region falls, the mean still rises when every fold's variant is chosen on the other folds, and
    the guard agrees.

    Args:
        start: Steps and trials so far.
        tried: In the order of application.
        measure: Scores masks; called once, and once more after every step that is kept.
        folds: Of every case.
        guard: Asked about steps that would be kept.
    """
    kept, trials, scores = start.steps, list(start.trials), start.after
    pending = list(tried)
    while pending:
        variants = [(*kept, step) for candidate in pending for step in candidate.variants.values()]
        before, *after = measure([kept, *variants])
        accepted = None
        for place, candidate in enumerate(pending):
            own, after = after[: len(candidate.variants)], after[len(candidate.variants) :]
            judged = _judge(candidate, before, own, folds)
            trial = guarded(judged.trial, kept, guard)
            trials.append(trial)
            if trial.kept:
                accepted, kept, scores = place, (*kept, trial.step), judged.means
                break
        if accepted is None:
            break
        pending = pending[accepted + 1 :]
    return Selection(kept, tuple(trials), start.before, scores)


def _judge(candidate: Candidate, before: Rows, after: Sequence[Rows], folds: Sequence[str]) -> _Judged:
    names = list(candidate.variants)
    old = mean_per_region(before)
    found = [mean_per_region(rows) for rows in after]
    best = best_variant(before, after)
    new = found[best]
    fallen = [name for name, value in old.items() if (later := new.get(name)) is not None and later < (value or 0.0)]
    gain = rise(before, after[best])
    honest = gain if len(names) == 1 else rise(before, crossed_rows(before, after, folds))
    text = f"{_text(mean_of_regions(old))} to {_text(mean_of_regions(new))}"
    if gain < LEAST_GAIN:
        reason = f"the mean Dice does not rise by {LEAST_GAIN:g} ({text})"
    elif fallen:
        reason = f"the mean Dice rises ({text}), but that of {fallen[0]} falls"
    elif honest <= 0:
        reason = f"the mean Dice rises ({text}), but not where the choice is made on the other folds ({honest:+.5f})"
    else:
        reason = f"the mean Dice rises ({text}) and that of no region falls"
    trial = Trial(
        step=candidate.variants[names[best]],
        before=dict(old),
        after=dict(new),
        kept=gain >= LEAST_GAIN and not fallen and honest > 0,
        reason=f"{candidate.title}, {names[best]}: {reason}",
        tried={name: mean_of_regions(means) for name, means in zip(names, found, strict=True)},
    )
    return _Judged(trial, new)


def _text(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.5f}"
