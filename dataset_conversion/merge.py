"""Several raw data sets of a workspace joined into one, e.g. 3D-IRCADb and LiTS, or BraTS of several years.

WORKSPACE/raw/Dataset003_LiTS, WORKSPACE/raw/Dataset017_IRCADbLiverTumour
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from autoseg.core.errors import DatasetError
from autoseg.core.workspace import DATASET_FOLDER, Workspace
from autoseg.datasets import CaseTarget, Converter, ConverterInfo, SourceCase
from autoseg.datasets.files import take_image, take_label
from autoseg.io.raw import RawCase, RawDataset
from autoseg.specs.dataset import Dataset, Provenance
from dataset_conversion._merge_example import write_example
from dataset_conversion._merge_labels import Joined, common_names, join_labels

logger = logging.getLogger(__name__)


class MergeOptions(BaseModel):
    """What to join, and what its labels mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    datasets: tuple[str, ...] = ()
    """Data sets of the workspace by number, name or folder; of a scan in several, the first one's copy is kept."""
    labels: tuple[str, ...] = ()
    """Labels to keep, in order, others become background; none keeps all."""
    map: dict[str, str] = {}
    """OLD:NEW,...: names that synonyms do not bring together, or wrongly do (NAME/OLD is that of one data set); NEW may
    be `background`."""
    hidden: dict[str, tuple[str, ...]] = {}
    """LABEL:PLACE+PLACE,...: where voxels of a label may be that a data set does not annotate. `background`: its cases
    are marked as not annotating it; another label: that one's voxels become `ignore`."""
    channels: tuple[str, ...] = ()
    """Channels to keep by name, where the data sets do not have the same ones."""

    @field_validator("datasets", "labels", "channels", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(_words(value, ",")) if isinstance(value, str) else value

    @field_validator("map", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        return dict(map(_pair, _words(value, ","))) if isinstance(value, str) else value

    @field_validator("hidden", mode="before")
    @classmethod
    def _places(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return {name: tuple(_words(where, "+")) for name, where in map(_pair, _words(value, ","))}


@dataclass(frozen=True)
class _Candidate:
    """A case that may be joined."""

    index: int
    case: RawCase
    split: Literal["train", "test"]
    provenance: Provenance


class Merge(Converter):
    """Labels go by their names, spelled any way; values are numbered anew. Images are linked, not copied."""

    Options: ClassVar[type[BaseModel]] = MergeOptions
    EXAMPLE_OPTIONS: ClassVar[Mapping[str, Any]] = {"datasets": "1,2"}
    options: MergeOptions = MergeOptions()

    def spec(self) -> ConverterInfo:
        return ConverterInfo(
            name="merge",
            title="Several raw data sets of a workspace joined into one",
            licence="those of the joined data sets",
            citation="those of the joined data sets",
            needs="a workspace, and its data sets to join: --datasets 3,17",
            dataset_name="Joined",
        )

    def recognises(self, source: Path) -> bool:
        return len(Workspace(source).datasets()) > 1

    def cases(self, source: Path) -> Sequence[SourceCase]:
        opened = self._opened(source)
        joined = self._labels(opened)
        places = self._channel_places(opened)
        kept = [
            (candidate, annotated)
            for candidate in _without_copies(_candidates(opened), opened)
            if (annotated := joined.annotated(candidate.index, candidate.case.annotated)) != ()
        ]
        times = Counter(candidate.case.case_id for candidate, _ in kept)
        return tuple(
            SourceCase(
                case_id=_name(candidate, opened, clashes=times[candidate.case.case_id] > 1),
                images=_images(candidate.case, opened[candidate.index], places[candidate.index]),
                label=candidate.case.label,
                split=candidate.split,
                provenance=candidate.provenance.model_copy(update={"annotated": annotated}),
                has_label=candidate.case.label is not None,
                details={"values": json.dumps(list(joined.values[candidate.index].items()))},
            )
            for candidate, annotated in kept
        )

    def dataset(self, source: Path) -> Dataset:
        opened = self._opened(source)
        joined = self._labels(opened)
        first = opened[0].spec.channels()
        scoring = {each.spec.scoring for each in opened}
        same_task = len(scoring) == 1 and not (self.options.labels or self.options.map)
        return Dataset(
            channel_names={str(new): first[old] for new, old in enumerate(self._channel_places(opened)[0])},
            labels=joined.labels,
            regions_class_order=joined.class_order,
            numTraining=sum(case.split == "train" for case in self.cases(source)),
            file_ending=".nii.gz",
            name=self.spec().dataset_name,
            description=f"Joined from {', '.join(each.name for each in opened)}",
            reference="; ".join(dict.fromkeys(each.spec.reference for each in opened if each.spec.reference)),
            licence="; ".join(dict.fromkeys(each.spec.licence for each in opened if each.spec.licence)),
            scoring=scoring.pop() if same_task else "",
        )

    def convert_case(self, case: SourceCase, target: CaseTarget) -> None:
        for source, image in zip(case.images, target.images, strict=True):
            take_image(source, image)
        if case.label is not None and target.label is not None:
            values = dict(json.loads(case.details["values"]))
            take_label(case.label, target.label, image=target.images[0], values=values)

    def example(self, root: Path) -> Path:
        return write_example(root)

    def _opened(self, source: Path) -> tuple[RawDataset, ...]:
        workspace = Workspace(source)
        names = [workspace.resolve_dataset(name) for name in self.options.datasets]
        if len(set(names)) < 2 or len(set(names)) < len(names):
            raise DatasetError(
                f"{len(set(names))} different data sets are named",
                f"name two or more of {', '.join(workspace.datasets()) or 'a workspace'}: --datasets 3,17",
            )
        return tuple(RawDataset.open(workspace.raw_dataset(name)) for name in names)

    def _labels(self, opened: Sequence[RawDataset]) -> Joined:
        spaces = {each.name: each.labels for each in opened}
        found, names = common_names(spaces, renamed=self.options.map, wanted=self.options.labels)
        return join_labels(found, names, hidden=self.options.hidden)

    def _channel_places(self, opened: Sequence[RawDataset]) -> list[tuple[int, ...]]:
        """Per data set the places of the joined channels, found by name."""
        own = [[name.casefold() for name in each.spec.channels()] for each in opened]
        given = self.options.channels or opened[0].spec.channels()
        wanted = [name.casefold() for name in given]
        for each, names in zip(opened, own, strict=True):
            if not set(wanted) <= set(names) or not (self.options.channels or len(names) == len(wanted)):
                common = [name for name in opened[0].spec.channels() if all(name.casefold() in them for them in own)]
                raise DatasetError(
                    f"{each.name} has the channels {', '.join(each.spec.channels())}, not just {', '.join(given)}",
                    f"keep those of all: --channels {','.join(common)}" if common else "join others",
                )
        return [tuple(names.index(name) for name in wanted) for names in own]


def _words(text: str, separator: str) -> list[str]:
    return [word.strip() for word in text.split(separator) if word.strip()]


def _pair(text: str) -> tuple[str, str]:
    old, colon, new = (part.strip() for part in text.partition(":"))
    if not (old and colon and new):
        raise ValueError(f"'{text}' is not NAME:NAME")
    return old, new


def _candidates(opened: Sequence[RawDataset]) -> list[_Candidate]:
    """All cases, those of test sets first: a scan that tests in one data set must not train in another."""
    found = []
    for index, each in enumerate(opened):
        splits: tuple[tuple[Literal["train", "test"], tuple[RawCase, ...]], ...] = (
            ("train", each.training),
            ("test", each.test),
        )
        for split, cases in splits:
            for case in cases:
                origin = each.spec.provenance.get(case.case_id) or Provenance(source=f"{each.name} {case.case_id}")
                found.append(_Candidate(index, case, split, origin))
    return sorted(found, key=lambda candidate: candidate.split == "train")


def _without_copies(found: Sequence[_Candidate], opened: Sequence[RawDataset]) -> Iterator[_Candidate]:
    """The first of every scan that several data sets have."""
    holder: dict[str, _Candidate] = {}
    for candidate in found:
        group = candidate.provenance.overlap_group
        other = candidate if group is None else holder.setdefault(group, candidate)
        if other.index == candidate.index:
            yield candidate
        else:
            logger.info(
                "%s of %s is left out: it is %s of %s (%s)",
                candidate.case.case_id,
                opened[candidate.index].name,
                other.case.case_id,
                opened[other.index].name,
                group,
            )


def _name(candidate: _Candidate, opened: Sequence[RawDataset], *, clashes: bool) -> str:
    """The case's own name, with that of its data set where two have it."""
    if not clashes:
        return candidate.case.case_id
    folder = opened[candidate.index].name
    match = DATASET_FOLDER.fullmatch(folder)
    return f"{match.group(2) if match else folder}_{candidate.case.case_id}"


def _images(case: RawCase, dataset: RawDataset, places: Sequence[int]) -> tuple[Path, ...]:
    if len(case.images) != len(dataset.spec.channels()):
        raise DatasetError(
            f"{case.images[0]} holds several channels", "store one file per channel", case_id=case.case_id
        )
    return tuple(case.images[place] for place in places)


converter = Merge()
