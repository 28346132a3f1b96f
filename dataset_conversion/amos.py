"""AMOS22: 15 abdominal organs in CT (numbers to 500) and MR (above), as `amos22/{images,labels}{Tr,Va,Ts}`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.datasets import CaseTarget, Converter, ConverterInfo, SourceCase
from autoseg.datasets.files import folders_below, take_image, take_label, volumes
from autoseg.io.images import write_image, write_label
from autoseg.specs.dataset import Dataset, Provenance

_LAST_CT = 500
_PATTERN = r"amos_\d{4}"
# In the order of the values 1 to 15; the shipped dataset.json spells aorta "arota".
ORGANS = (
    "spleen", "right_kidney", "left_kidney", "gall_bladder", "esophagus", "liver", "stomach", "aorta", "postcava",
    "pancreas", "right_adrenal_gland", "left_adrenal_gland", "duodenum", "bladder", "prostate_or_uterus",
)  # fmt: skip


class AmosOptions(BaseModel):
    """Which scans."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    modality: Literal["ct", "mr", "both"] = "ct"
    """CT is the challenge's first task, both its second; `both` is normalised without HU."""
    validation: Literal["test", "train"] = "test"
    """Where the labelled scans of `imagesVa` go: beside the training cases, or to the test cases with their labels."""


class Amos(Converter):
    """Numbers say the modality; nothing is merged."""

    Options = AmosOptions
    options: AmosOptions = AmosOptions()

    def spec(self) -> ConverterInfo:
        return ConverterInfo(
            name="amos",
            title="Multi-Modality Abdominal Multi-Organ Segmentation Challenge 2022",
            licence="CC BY 4.0",
            citation="Ji et al., NeurIPS Datasets and Benchmarks (2022), arXiv 2206.08023",
            needs="the folder amos22 with imagesTr, labelsTr and, if wanted, imagesVa, labelsVa, imagesTs",
            dataset_name="AMOS2022",
        )

    def recognises(self, source: Path) -> bool:
        return any(volumes(folder / "imagesTr", _PATTERN) for folder in folders_below(source, depth=1))

    def cases(self, source: Path) -> Sequence[SourceCase]:
        root = _root(source)
        found = [case for part in ("Tr", "Va", "Ts") for case in self._part(root, part)]
        if not any(case.split == "train" for case in found):
            raise DatasetError(f"{root} has no {self.options.modality.upper()} scans", "choose another modality")
        return tuple(found)

    def dataset(self, source: Path) -> Dataset:
        channel = {"ct": "CT", "mr": "MRI", "both": "CT_or_MRI"}[self.options.modality]
        return Dataset(
            channel_names={"0": channel},
            labels={"background": 0, **{name: value for value, name in enumerate(ORGANS, start=1)}},
            numTraining=sum(case.split == "train" for case in self.cases(source)),
            file_ending=".nii.gz",
            name=f"{self.spec().dataset_name}_{self.options.modality}",
            reference=self.spec().citation,
            licence=self.spec().licence,
        )

    def convert_case(self, case: SourceCase, target: CaseTarget) -> None:
        take_image(case.images[0], target.images[0])
        if case.label is not None and target.label is not None:
            identity = {value: value for value in range(len(ORGANS) + 1)}
            take_label(case.label, target.label, image=target.images[0], values=identity)

    def example(self, root: Path) -> Path:
        source = root / "amos22"
        geometry = Geometry((6, 12, 12), (5.0, 0.7, 0.7))
        for part, number in (("Tr", 1), ("Tr", 4), ("Tr", 507), ("Va", 8), ("Ts", 2)):
            labels = np.zeros(geometry.shape, np.uint8)
            labels[1:5, 2:10, 2:10] = np.arange(8, dtype=np.uint8)[:, None] + 1 + number % 8
            image = np.where(labels > 0, 60 + labels, -1000 if number <= _LAST_CT else 0).astype(np.int16)
            image += np.random.default_rng(number).integers(0, 20, image.shape).astype(np.int16)
            write_image(source / f"images{part}" / f"amos_{number:04d}.nii.gz", image, geometry)
            if part != "Ts":
                write_label(source / f"labels{part}" / f"amos_{number:04d}.nii.gz", labels, geometry)
        return source

    def _part(self, root: Path, part: str) -> list[SourceCase]:
        labels = volumes(root / f"labels{part}", _PATTERN)
        found = []
        for stem, image in volumes(root / f"images{part}", _PATTERN).items():
            if not self._wanted(stem):
                continue
            label = labels.get(stem)
            if label is None and part == "Tr":
                raise DatasetError(f"{image} has no label in labels{part}", "unpack the archive again", case_id=stem)
            trains = part == "Tr" or (part == "Va" and label is not None and self.options.validation == "train")
            found.append(
                SourceCase(
                    case_id=stem,
                    images=(image,),
                    label=label,
                    split="train" if trains else "test",
                    has_label=label is not None,
                    provenance=Provenance(source=f"AMOS22 {stem}", patient=stem),
                )
            )
        for stem in labels:
            if self._wanted(stem) and stem not in {case.case_id for case in found}:
                problem = f"{labels[stem]} has no image in images{part}"
                raise DatasetError(problem, "unpack the archive again", case_id=stem)
        return found

    def _wanted(self, stem: str) -> bool:
        kind = "ct" if int(stem.removeprefix("amos_")) <= _LAST_CT else "mr"
        return self.options.modality in (kind, "both")


def _root(source: Path) -> Path:
    for folder in folders_below(source, depth=1):
        if volumes(folder / "imagesTr", _PATTERN):
            return folder
    raise DatasetError(f"no imagesTr/amos_NNNN.nii.gz in {source}", "give the folder amos22")


converter = Amos()
