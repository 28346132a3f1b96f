"""The data set's own challenge has a say: a step that worsens what it ranks by is not kept."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from autoseg.core.errors import AutosegError, DatasetError
from autoseg.core.labels import LabelSpace
from autoseg.core.workers import run_cases_growing
from autoseg.io.images import read_label
from autoseg.io.label_files import LabelPair
from autoseg.metrics.case import evaluate_case
from autoseg.metrics.protocols import Protocol
from autoseg.postprocessing import apply_steps
from autoseg.specs.document import Component
from autoseg.specs.report import CaseScores

Steps = tuple[Component, ...]
TOLERANCE = 1e-9
"""Relative rounding of a mean."""


@dataclass(frozen=True)
class Verdict:
    """What a challenge says to more steps.

    Attributes:
        before: Ranked metric -> mean over regions and cases.
        after: With the further steps.
        worse: The metrics that worsen.
    """

    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    worse: tuple[str, ...] = ()


Guard = Callable[[Steps, Steps], Verdict]
"""`guard(before, after)`: sequences of steps, from the masks as predicted."""


def no_guard(_before: Steps, _after: Steps) -> Verdict:
    """No challenge is asked."""
    return Verdict()


class ProtocolGuard:
    """Scores held-out cases by a protocol, once per sequence of steps.

    Args:
        pairs: Held-out masks and their references.
        labels: What the values mean.
        protocol: Of the challenge.
        workers: Processes.
    """

    def __init__(self, pairs: Sequence[LabelPair], labels: LabelSpace, protocol: Protocol, *, workers: int) -> None:
        self.pairs, self.labels, self.protocol, self.workers = tuple(pairs), labels, protocol, workers
        self._known: dict[tuple[str, ...], tuple[CaseScores, ...]] = {}

    def __call__(self, before: Steps, after: Steps) -> Verdict:
        """Compare two sequences on the cases and regions where a metric is defined for both."""
        return compare(self._scores(before), self._scores(after), self.protocol.RANKED)

    def _scores(self, chosen: Steps) -> tuple[CaseScores, ...]:
        key = tuple(step.digest() for step in chosen)
        if key not in self._known:
            self._known[key] = self._measure(tuple(chosen))
        return self._known[key]

    def _measure(self, chosen: Steps) -> tuple[CaseScores, ...]:
        one = functools.partial(_score, chosen=chosen, labels=self.labels, protocol=self.protocol)
        scores: dict[str, CaseScores] = {}
        for outcome in run_cases_growing(one, self.pairs, workers=self.workers):
            if outcome.result is None:
                problem, cure = _told(outcome.error)
                raise DatasetError(f"case {outcome.item.case_id}: {problem}", cure, case_id=outcome.item.case_id)
            scores[outcome.item.case_id] = outcome.result
        return tuple(scores[pair.case_id] for pair in self.pairs)


def compare(before: Sequence[CaseScores], after: Sequence[CaseScores], ranked: Sequence[str]) -> Verdict:
    """Means of the ranked metrics over the regions and cases where both sides have a value."""
    old: dict[str, float] = {}
    new: dict[str, float] = {}
    for metric in ranked:
        pairs = [
            (scores[metric].value, later.regions[region][metric].value)
            for case, later in zip(before, after, strict=True)
            for region, scores in case.regions.items()
            if metric in scores and metric in later.regions[region]
        ]
        both = [(first, second) for first, second in pairs if first is not None and second is not None]
        if both:
            old[metric], new[metric] = (float(value) for value in np.mean(both, axis=0))
    return Verdict(old, new, tuple(metric for metric in old if _worsens(metric, old[metric], new[metric])))


def _worsens(metric: str, old: float, new: float) -> bool:
    smaller_is_better = metric.endswith(("_mm", "_percent"))
    loss = new - old if smaller_is_better else old - new
    return loss > TOLERANCE * max(1.0, abs(old))


def _score(pair: LabelPair, *, chosen: Steps, labels: LabelSpace, protocol: Protocol) -> CaseScores:
    mask, _ = read_label(pair.prediction)
    reference, grid = read_label(pair.reference)
    cleaned = apply_steps(chosen, mask, grid.spacing_mm)
    spacing_mm, annotated = grid.spacing_mm, pair.annotated
    regions = evaluate_case(
        cleaned, reference, spacing_mm=spacing_mm, labels=labels, protocol=protocol, annotated=annotated
    )
    return CaseScores(id=pair.case_id, regions=regions)


def _told(error: AutosegError | None) -> tuple[str, str]:
    return ("no result", "") if error is None else (error.problem, error.cure)
