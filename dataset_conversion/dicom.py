"""Any tree of DICOM studies: images without labels, into `imagesTs`, ready for `autoseg predict -i .../imagesTs`."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from autoseg.core.errors import DatasetError
from autoseg.datasets import CaseTarget, Converter, ConverterInfo, SourceCase, converter_names, load_converter
from autoseg.io.archive import file_entry
from autoseg.io.dicom import Series, Slice, read_series, volume_of
from autoseg.io.images import write_image
from autoseg.specs.dataset import Dataset, Provenance
from dataset_conversion._dicom_example import write_example
from dataset_conversion._dicom_tree import Study, looks_like_dicom, studies_in


class DicomOptions(BaseModel):
    """Which series of a study to take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    series: str = ""
    """SeriesInstanceUID, number or description (`*` allowed); `largest`; `all` makes each a case; empty wants one."""


class Dicom(Converter):
    """One case per study, named by its folder: identifiers of patients stay out of file names."""

    Options: ClassVar[type[BaseModel]] = DicomOptions
    options: DicomOptions = DicomOptions()

    def spec(self) -> ConverterInfo:
        return ConverterInfo(
            name="dicom",
            title="Any DICOM studies, images only, to be predicted",
            licence="that of the images",
            citation="DICOM PS3.3 C.7.6.2 (image plane)",
            needs="a folder of DICOM files, in any depth and order",
            dataset_name="Dicom",
        )

    def recognises(self, source: Path) -> bool:
        """By the first files, unless they belong to a data set that has a converter of its own."""
        if not source.is_dir() or not looks_like_dicom(source):
            return False
        others = (name for name in converter_names() if name != self.spec().name)
        return not any(load_converter(name).recognises(source) for name in others)

    def cases(self, source: Path) -> Sequence[SourceCase]:
        studies = studies_in(source)
        if not studies:
            raise DatasetError(f"{source} holds no DICOM images", f"give {self.spec().needs}")
        found = [case for study in studies for case in self._cases_of(study, source)]
        return tuple(_of_modality(case, _modality(found)) for case in _with_own_names(found))

    def dataset(self, source: Path) -> Dataset:
        modality = _modality(self.cases(source))
        return Dataset(
            channel_names={"0": modality},
            labels={"background": 0, "foreground": 1},
            numTraining=0,
            file_ending=".nii.gz",
            name=self.spec().dataset_name,
            description=f"{self.spec().title}: {modality}",
            licence=self.spec().licence,
        )

    def convert_case(self, case: SourceCase, target: CaseTarget) -> list[tuple[str, str]]:
        if case.details["problem"]:
            raise DatasetError(case.details["problem"], case.details["cure"])
        entries = [file_entry(path) for path in case.images]
        series, aside = read_series(entries)
        image, geometry = volume_of(series[0])
        told = [(line, "it was left out") for line in (*json.loads(case.details["aside"]), *aside)]
        if series[0].slices[0].modality == "CT" and not series[0].slices[0].is_rescaled:
            told.append(("its header has no rescale slope, so its values may not be HU", "export it again"))
        write_image(target.images[0], image, geometry)
        return told

    def example(self, root: Path) -> Path:
        return write_example(root)

    def _cases_of(self, study: Study, source: Path) -> list[SourceCase]:
        problem, cure, chosen = study.problem, study.cure, study.series
        if not problem and self.options.series != "all":
            chosen, problem, cure = _choose(study, self.options.series)
        if problem:
            return [_broken(study, source, problem, cure)]
        return [_case(one, study, source) for one in chosen]


def _choose(study: Study, wanted: str) -> tuple[tuple[Series, ...], str, str]:
    """The one series of a study that is meant; otherwise the problem and its cure."""
    if wanted == "largest":
        found = study.series[:1]
        if len(study.series) > 1 and len(study.series[0].slices) == len(study.series[1].slices):
            found = study.series[:2]
    else:
        found = tuple(one for one in study.series if not wanted or _matches(one.slices[0], wanted))
    if len(found) == 1:
        return found, "", ""
    listed = "; ".join(one.title for one in found or study.series)
    cure = "choose one with --series NUMBER, DESCRIPTION or UID, or take --series all or --series largest"
    if not found:
        return (), f"no series of the study is '{wanted}' ({listed})", cure
    return (), f"the study holds {len(found)} series{' that match' if wanted else ''} ({listed})", cure


def _matches(item: Slice, wanted: str) -> bool:
    return wanted in (item.series, item.series_number) or fnmatch(item.description.lower(), wanted.lower())


def _case(series: Series, study: Study, source: Path) -> SourceCase:
    first = series.slices[0]
    files = tuple(Path(item.where) for item in series.slices)
    patient = hashlib.blake2b(first.patient.encode(), digest_size=6).hexdigest() if first.patient else None
    return SourceCase(
        case_id=_name(study.files, source),
        images=files,
        split="test",
        has_label=False,
        provenance=Provenance(source=f"DICOM series {first.series}", patient=patient),
        details={
            "problem": "", "cure": "", "aside": json.dumps(series.aside), "modality": first.modality,
            "tag": first.series_number or hashlib.blake2b(first.series.encode(), digest_size=3).hexdigest(),
        },
    )  # fmt: skip


def _modality(cases: Sequence[SourceCase]) -> str:
    """The most frequent one: all images of a data set are normalised alike."""
    kinds = Counter(case.details["modality"] for case in cases if case.details["modality"])
    return kinds.most_common(1)[0][0] if kinds else "CT"


def _of_modality(case: SourceCase, modality: str) -> SourceCase:
    own = case.details["modality"]
    if case.details["problem"] or own == modality:
        return case
    problem = f"the series is {own or 'of no modality'}, most of {modality}"
    cure = "convert them apart, or choose other series with --series ..."
    return replace(case, details={**case.details, "problem": problem, "cure": cure})


def _broken(study: Study, source: Path, problem: str, cure: str) -> SourceCase:
    details: Mapping[str, Any] = {
        "problem": problem,
        "cure": cure,
        "aside": "[]",
        "modality": "",
        "tag": study.uid[-6:],
    }
    return SourceCase(
        _name(study.files, source), (), split="test", has_label=False, details=details,
        provenance=Provenance(source=f"DICOM study {study.uid}"),
    )  # fmt: skip


def _name(files: Sequence[str], source: Path) -> str:
    """The folder that holds all files of a study, as one word."""
    common = Path(os.path.commonpath([str(Path(file).parent) for file in files]))
    words = common.relative_to(source).parts or (source.resolve().name,)
    return re.sub(r"[^\w.+-]+", "_", "_".join(words)).strip("_.") or "case"


def _with_own_names(cases: Sequence[SourceCase]) -> tuple[SourceCase, ...]:
    """Cases of one folder get the number of their series behind the name."""
    count = Counter(case.case_id for case in cases)
    named = [
        replace(case, case_id=f"{case.case_id}_{case.details['tag']}") if count[case.case_id] > 1 else case
        for case in cases
    ]
    again = Counter(case.case_id for case in named)
    seen: Counter[str] = Counter()
    result = []
    for case in named:
        seen[case.case_id] += 1
        suffix = f"-{seen[case.case_id]}" if again[case.case_id] > 1 else ""
        result.append(replace(case, case_id=re.sub(r"[^\w.+-]+", "_", case.case_id) + suffix))
    return tuple(result)


converter = Dicom()
