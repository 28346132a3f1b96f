"""KiTS 2019, 2021 and 2023: kidneys with tumours and cysts in CT.

    [data|dataset/]case_00000/{imaging,segmentation}.nii.gz                        2019, 2023
    [data/]case_00000/{imaging,aggregated_MAJ_seg}.nii.gz                          2021
    [dataset/]case_00000/instances/kidney_instance-1_annotation-1.nii.gz           2023, not needed

Arrays are slices first in the file, and headers say so: files are taken over as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.datasets import CaseTarget, Converter, ConverterInfo, SourceCase
from autoseg.datasets.files import folders_below, natural, take_image, take_label, volumes
from autoseg.datasets.overlap import kits_group
from autoseg.io.images import write_image, write_label
from autoseg.specs.dataset import Dataset, Provenance

_DEPTH = 2
_CASE = re.compile(r"case_(\d{5})")
_FIRST_TEST_2019 = 210
_FIRST_OF_2023 = 400
_LABELS = ("segmentation", "aggregated_MAJ_seg")
# Values: 1 kidney, 2 tumour, 3 cyst. Regions are the hierarchical classes that the challenge of that year scores.
_PLAIN = {"2019": {"kidney": 1, "tumor": 2}, "2021": {"kidney": 1, "tumor": 2, "cyst": 3}}
_REGIONS: Mapping[str, Mapping[str, int | tuple[int, ...]]] = {
    "2019": {"kidney_and_masses": (1, 2), "tumor": 2},
    "2021": {"kidney_and_masses": (1, 2, 3), "masses": (2, 3), "tumor": 2},
}
_ORDER = {"2019": (1, 2), "2021": (1, 3, 2)}


class KitsOptions(BaseModel):
    """What to make of the labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    edition: Literal["auto", "2019", "2021", "2023"] = "auto"
    """Year; `auto` goes by file names, case numbers and the folder's name."""
    labels: Literal["regions", "plain"] = "regions"
    """The nested regions that are scored, or one label per tissue."""


class Kits(Converter):
    """Case ids are the challenge's; they are the same in all years."""

    Options = KitsOptions
    options: KitsOptions = KitsOptions()

    def spec(self) -> ConverterInfo:
        return ConverterInfo(
            name="kits",
            title="Kidney Tumor Segmentation Challenge 2019, 2021 and 2023",
            licence="CC BY-NC-SA 4.0",
            citation="Heller et al., Medical Image Analysis 67, 101821 (2021); arXiv 2307.01984 (2023)",
            needs="the folder with case_00000 and so on, images downloaded",
            dataset_name="KiTS",
            scoring="kits23",
            submission="kits23",
        )

    def recognises(self, source: Path) -> bool:
        return any(_CASE.fullmatch(folder.name) and _files(folder) for folder in folders_below(source, depth=_DEPTH))

    def cases(self, source: Path) -> Sequence[SourceCase]:
        edition = self._edition(source)
        return tuple(_case(folder, edition) for folder in _folders(source))

    def dataset(self, source: Path) -> Dataset:
        edition = self._edition(source)
        scheme = "2019" if edition == "2019" else "2021"
        regions = self.options.labels == "regions"
        return Dataset(
            channel_names={"0": "CT"},
            labels={"background": 0, **(_REGIONS if regions else _PLAIN)[scheme]},
            regions_class_order=_ORDER[scheme] if regions else None,
            numTraining=sum(case.split == "train" for case in self.cases(source)),
            file_ending=".nii.gz",
            name=f"{self.spec().dataset_name}{edition}",
            reference=self.spec().citation,
            licence=self.spec().licence,
            scoring="kits19" if edition == "2019" else self.spec().scoring,
            submission="kits19" if edition == "2019" else self.spec().submission,
        )

    def convert_case(self, case: SourceCase, target: CaseTarget) -> None:
        take_image(case.images[0], target.images[0])
        if case.label is not None and target.label is not None:
            highest = 2 if case.details["edition"] == "2019" else 3
            identity = {value: value for value in range(highest + 1)}
            take_label(case.label, target.label, image=target.images[0], values=identity)

    def example(self, root: Path) -> Path:
        for number in (0, _FIRST_OF_2023):
            write_example(root / "dataset", number)
        return root

    def _edition(self, source: Path) -> str:
        folders = _folders(source)
        if self.options.edition != "auto":
            return self.options.edition
        names = {name for folder in folders for name in _files(folder)}
        if "aggregated_MAJ_seg" in names:
            return "2021"
        if any((folder / "instances").is_dir() or _number(folder) >= _FIRST_OF_2023 for folder in folders):
            return "2023"
        years = re.findall(r"kits[-_]?(?:20)?(19|21|23)", str(source.resolve()), re.IGNORECASE)
        if years:
            return f"20{years[-1]}"
        raise DatasetError(f"{source} could be KiTS of 2019 or of 2023", "say --edition 2019 or --edition 2023")


def write_example(folder: Path, number: int, *, label: str | None = "segmentation") -> Path:
    """One case with the challenge's axis order: the file's first axis runs along the body, all signs negative."""
    case = folder / f"case_{number:05d}"
    labels = np.zeros((14, 14, 8), np.uint8)
    labels[2:11, 2:11, 2:7], labels[4:7, 4:7, 3:5], labels[8:10, 8:10, 3:5] = 1, 2, 3
    image = np.choose(labels, (-1000, 180, 90, 10)).astype(np.float32)
    image += np.random.default_rng(number).normal(0, 5, image.shape).astype(np.float32)
    direction = ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    geometry = Geometry((14, 14, 8), (0.8, 0.8, 3.0), (0.0, 0.0, 0.0), direction)
    write_image(case / "imaging.nii.gz", image, geometry)
    if label is not None:
        write_label(case / f"{label}.nii.gz", labels, geometry)
    return case


def _folders(source: Path) -> list[Path]:
    folders = [folder for folder in folders_below(source, depth=_DEPTH) if _CASE.fullmatch(folder.name)]
    if not folders:
        raise DatasetError(f"no folders case_00000 in {source}", "give the folder that holds them")
    return sorted(folders, key=lambda folder: natural(folder.name))


def _files(folder: Path) -> dict[str, Path]:
    return volumes(folder, "|".join(("imaging", *_LABELS)))


def _number(folder: Path) -> int:
    return int(folder.name.removeprefix("case_"))


def _case(folder: Path, edition: str) -> SourceCase:
    files, number = _files(folder), _number(folder)
    if "imaging" not in files:
        problem, cure = f"{folder} has no imaging.nii.gz", "images are downloaded apart: run the challenge's download"
        raise DatasetError(problem, cure, case_id=folder.name)
    label = next((files[name] for name in _LABELS if name in files), None)
    if label is None and not (edition == "2019" and number >= _FIRST_TEST_2019):
        raise DatasetError(f"{folder} has no segmentation", "download it again", case_id=folder.name)
    group = kits_group(number)
    return SourceCase(
        case_id=folder.name,
        images=(files["imaging"],),
        label=label,
        split="test" if label is None else "train",
        has_label=label is not None,
        provenance=Provenance(source=f"KiTS{edition} {folder.name}", overlap_group=group, patient=group),
        details={"edition": edition},
    )


converter = Kits()
