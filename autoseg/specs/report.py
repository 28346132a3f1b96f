"""`report.json`: scores per case and region, and their summary."""

from __future__ import annotations

from pydantic import Field

from autoseg.specs.document import Document, Section


class Score(Section):
    """One metric of one region in one case."""

    value: float | None
    """The value, or None when it is not defined."""
    reason: str = ""
    """Why it is not defined, or by which rule an empty mask was scored."""


class CaseScores(Section):
    """One case."""

    id: str
    """Case id."""
    regions: dict[str, dict[str, Score]]
    """Region -> metric -> score."""


class Summary(Section):
    """One metric of one region over the cases where it is defined."""

    mean: float | None
    """Mean."""
    median: float | None
    """Median."""
    ci95: tuple[float, float] | None
    """95 % bootstrap interval of the mean."""
    cases: int
    """Cases with a value."""
    undefined: dict[str, int] = Field(default_factory=dict)
    """Reason -> cases without a value (the region `mean`: cases times regions)."""


class Confusion(Section):
    """Voxels of all cases by reference and prediction; cases that do not annotate every label are left out."""

    labels: tuple[str, ...]
    """Names of the label values, background first."""
    voxels: tuple[tuple[int, ...], ...]
    """One row per label of the reference, one column per label of the prediction."""


class Report(Document):
    """An evaluation."""

    protocol: str
    """Scoring protocol."""
    definitions: dict[str, str]
    """Metric -> definition, unit and empty-case rule in words."""
    cases: tuple[CaseScores, ...]
    """Sorted by id."""
    summary: dict[str, dict[str, Summary]]
    """Region -> metric -> summary; the region `mean` averages the foreground regions."""
    confusion: Confusion | None = None
    """Which label is taken for which."""
    missing: tuple[str, ...] = ()
    """Cases with a reference but no prediction."""
