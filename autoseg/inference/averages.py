"""Averages of configurations on the cases that all of them held out: scored, weighed, written. torch is loaded late."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from autoseg.core.atomic import write_text
from autoseg.core.errors import DatasetError
from autoseg.core.labels import LabelSpace
from autoseg.inference.scored_runs import ScoredRun, SharedCase
from autoseg.inference.shares import Shared, Shares, choose_shares, shares_of
from autoseg.io.label_files import find_label_files
from autoseg.metrics.dice import mean_of_regions
from autoseg.specs.document import canonical_json
from autoseg.specs.plan import Resampling

logger = logging.getLogger(__name__)
JOIN = "+"
"""Between the names of configurations whose probabilities are averaged."""
SIMPLICITY = ("2d", "3d_lowres", "3d_fullres", "3d_cascade_fullres")
SHARES = "shares.json"
"""Beside the masks of an average: the shares that made them, where these are not equal."""


def simplicity(name: str) -> tuple[int, tuple[int, ...]]:
    """Sorts configurations and averages of them, the simplest first."""
    known = {each: place for place, each in enumerate(SIMPLICITY)}
    members = name.split(JOIN)
    return len(members), tuple(known.get(member, len(known)) for member in members)


class Averages:
    """What may be averaged.

    Args:
        cases: That every configuration held out.
        runs: Scored trainings by configuration.
    """

    def __init__(self, cases: Sequence[SharedCase], runs: Mapping[str, Sequence[ScoredRun]]) -> None:
        self.cases, self.runs = tuple(cases), runs
        first = next(iter(runs.values()))[0].run
        self.space = LabelSpace.parse(first.labels, first.regions_class_order)
        self.rules: dict[str, Resampling] = {
            name: group[0].run.configuration.preprocessing.resampling for name, group in runs.items()
        }

    def scores(self) -> dict[str, float]:
        """`a+b` -> mean Dice of the averaged probabilities of two or three configurations."""
        if not self.cases:
            return {}
        from autoseg.inference.subsets import has_probabilities, score_subsets, subsets_of

        names = sorted(self.runs, key=simplicity)
        stored = [name for name in names if all(has_probabilities(case, name) for case in self.cases)]
        if len(stored) < len(names):
            lacking = ", ".join(sorted(set(names) - set(stored)))
            logger.warning(
                "%s: no probabilities of the held-out cases; plan_and_train with all of them adds these", lacking
            )
        subsets = subsets_of(stored)
        found = score_subsets(self.cases, subsets, self.space, self.rules) if subsets else {}
        return {JOIN.join(subset): mean_of_regions(means) or 0.0 for subset, means in found.items()}

    def weigh(self, members: Sequence[str]) -> Shared:
        """Shares of the members of one average that the held-out cases are best segmented with."""
        from autoseg.inference.subsets import score_shares

        tried = shares_of(len(members))
        rows = score_shares(self.cases, tuple(members), tried, self.space, self.rules)
        return choose_shares(members, rows, [self._fold(case, members).name for case in self.cases])

    def write(self, members: Sequence[str], shares: Shares) -> None:
        """Held-out masks of an average, in a folder like those of a configuration: post-processing is decided on them.

        Raises:
            DatasetError: A member's own mask of a case is gone.
        """
        from autoseg.inference.subsets import write_merged

        targets, name = {}, JOIN.join(members)
        for case in self.cases:
            fold, mask = self._fold(case, members), find_label_files(case.folders[members[0]]).get(case.case_id)
            if mask is None:
                raise DatasetError(
                    f"{case.case_id} has no mask in {case.folders[members[0]]}",
                    "run autoseg plan_and_train again",
                    case_id=case.case_id,
                )
            targets[case.case_id] = fold.parents[1] / name / fold.name / "validation" / mask.name
        note = self._fold(self.cases[0], members).parents[1] / name / SHARES
        wanted = canonical_json(dict(zip(members, shares, strict=True))) + "\n"
        equal = len(set(shares)) == 1
        anew = note.read_text(encoding="utf-8") != wanted if note.is_file() else not equal
        if anew:
            # Until all are written, the note fits no shares, so that a call that is stopped is begun again.
            write_text(note, "unfinished\n")
        write_merged(self.cases, tuple(members), shares, targets, self.space, self.rules, anew=anew)
        if anew:
            write_text(note, wanted)

    @staticmethod
    def _fold(case: SharedCase, members: Sequence[str]) -> Path:
        """Folder of the run that held a case out."""
        return case.folders[members[0]].parent
