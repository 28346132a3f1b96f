"""What a scoring protocol decides: regions, metrics of a region, their summary, and all of it in words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

from autoseg.core.labels import LabelSpace
from autoseg.metrics.aggregate import summarise
from autoseg.metrics.case import RegionPair, Regions
from autoseg.specs.report import CaseScores, Score, Summary


class Protocol(ABC):
    """Rules of one evaluation; small, picklable, without state between cases."""

    RANKED: ClassVar[tuple[str, ...]] = ("dice",)
    """Metrics that a challenge ranks by; smaller is better where the name ends in `_mm` or `_percent`."""

    @abstractmethod
    def definitions(self) -> dict[str, str]:
        """Metric -> definition, unit and rule for empty masks, in words."""

    @abstractmethod
    def score(self, pair: RegionPair) -> dict[str, Score]:
        """Metric -> score of one region of one case."""

    def score_case(self, pairs: Iterable[RegionPair]) -> dict[str, dict[str, Score]]:
        """Region -> metric -> score of one case; overridden where regions are scored together."""
        return {pair.name: self.score(pair) for pair in pairs}

    def regions(self, labels: LabelSpace) -> Regions:
        """Name -> label values of every region to score; the data set's own unless a challenge says otherwise."""
        return dict(zip(labels.names, labels.values, strict=True))

    def summary(self, cases: Sequence[CaseScores]) -> dict[str, dict[str, Summary]]:
        """Region -> metric -> summary; pooled scores replace this."""
        return summarise(cases)
