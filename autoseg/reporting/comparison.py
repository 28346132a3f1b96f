"""Methods side by side: cut to the cases and regions that all of them have, and summarised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from autoseg.core.errors import DatasetError
from autoseg.metrics.aggregate import MEAN, summarise
from autoseg.metrics.paired import Difference, paired_difference
from autoseg.reporting.run_costs import Costs
from autoseg.specs.report import CaseScores, Summary

METRICS = {
    "dice": "Dice",
    "iou": "IoU",
    "precision": "precision",
    "recall": "recall",
    "accuracy": "accuracy",
    "hd95_mm": "HD95 (mm)",
}
"""Compared metrics and their titles."""


@dataclass(frozen=True)
class Entry:
    """One method (configuration, share of the training cases): its scores, or why there are none.

    Attributes:
        method: Name.
        configuration: Name in its plan; empty where it did not come to that.
        fraction: Share of the training cases.
        cases: Scores of its held-out cases.
        costs: Of its training.
        problem: Why it has no scores.
    """

    method: str
    configuration: str = ""
    fraction: float = 1.0
    cases: tuple[CaseScores, ...] = ()
    costs: Costs | None = None
    problem: str = ""


@dataclass(frozen=True)
class Row:
    """An entry on the common cases.

    Attributes:
        entry: What was trained.
        summary: Region -> metric -> summary over the common cases; empty where it failed.
        gain: Region -> Dice above that of the first row that has scores; empty for that row itself.
    """

    entry: Entry
    summary: dict[str, dict[str, Summary]]
    gain: dict[str, Difference]


@dataclass(frozen=True)
class Comparison:
    """All rows.

    Attributes:
        dataset: Folder name of the data set.
        case_ids: Cases that every row with scores held out.
        regions: `mean` and the regions that every row with scores has.
        rows: As asked for.
    """

    dataset: str
    case_ids: tuple[str, ...]
    regions: tuple[str, ...]
    rows: tuple[Row, ...]

    def names(self) -> tuple[str, ...]:
        """One per row: the method, and what tells it from others of the same name."""
        several = len({row.entry.configuration for row in self.rows if not row.entry.problem}) > 1
        parts = len({row.entry.fraction for row in self.rows}) > 1
        return tuple(_name(row.entry, several=several, parts=parts) for row in self.rows)


def compare(dataset: str, entries: Sequence[Entry]) -> Comparison:
    """Cut the entries to the cases and regions that they share, and summarise.

    Raises:
        DatasetError: They share none.
    """
    scored = [entry for entry in entries if not entry.problem]
    shared = set.intersection(*({case.id for case in entry.cases} for entry in scored)) if scored else set()
    regions = [name for name in _regions(scored[0]) if all(name in _regions(one) for one in scored)] if scored else []
    if scored and not (shared and regions):
        what = "regions" if shared else "held-out cases"
        raise DatasetError(f"the methods have no {what} in common", "give them the same folds and labels")
    rows: list[Row] = []
    for entry in entries:
        cut = replace(entry, cases=_cut(entry.cases, shared, regions))
        first = next((row.entry for row in rows if not row.entry.problem), None)
        summary = {} if entry.problem else summarise(cut.cases)
        rows.append(Row(cut, summary, {} if entry.problem or first is None else _gain(first, cut, regions)))
    return Comparison(dataset, tuple(sorted(shared)), (MEAN, *regions), tuple(rows))


def _name(entry: Entry, *, several: bool, parts: bool) -> str:
    name = entry.method + (f" {entry.configuration}" if entry.configuration and several else "")
    return name + (f", {100 * entry.fraction:.3g} % of the cases" if parts and entry.fraction != 1 else "")


def _regions(entry: Entry) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for case in entry.cases for name in case.regions))


def _cut(cases: Sequence[CaseScores], shared: set[str], regions: Sequence[str]) -> tuple[CaseScores, ...]:
    """Sorted by id, so that every row draws the same cases."""
    chosen = sorted((case for case in cases if case.id in shared), key=lambda case: case.id)
    return tuple(
        CaseScores(id=case.id, regions={name: case.regions[name] for name in regions if name in case.regions})
        for case in chosen
    )


def _gain(first: Entry, second: Entry, regions: Sequence[str]) -> dict[str, Difference]:
    groups = {MEAN: regions, **{name: (name,) for name in regions}}
    return {
        name: paired_difference(first.cases, second.cases, regions=group, metric="dice")
        for name, group in groups.items()
    }
