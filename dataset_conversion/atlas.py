"""ATLAS 2023: liver and tumours in contrast-enhanced MR; `train/{imagesTr/imN.nii.gz,labelsTr/lbN.nii.gz}`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.datasets import CaseTarget, Converter, ConverterInfo, SourceCase
from autoseg.datasets.files import folders_below, take_image, take_label, volumes
from autoseg.io.images import write_image, write_label
from autoseg.specs.dataset import Dataset, Provenance

_DEPTH = 2


class Atlas(Converter):
    """Image and label of a case have different names with one number."""

    def spec(self) -> ConverterInfo:
        return ConverterInfo(
            name="atlas",
            title="A Tumor and Liver Automatic Segmentation challenge 2023, 60 contrast-enhanced MR scans",
            licence="CC BY-NC-SA 4.0",
            citation="Quinton et al., Data 8, 79 (2023)",
            needs="the folder atlas-train-dataset-1.0.1, or the folder train in it",
            dataset_name="ATLAS2023",
        )

    def recognises(self, source: Path) -> bool:
        return any(volumes(folder / "imagesTr", r"im\d+") for folder in folders_below(source, depth=_DEPTH))

    def cases(self, source: Path) -> Sequence[SourceCase]:
        root = _root(source)
        labels = volumes(root / "labelsTr", r"lb\d+")
        found = []
        for stem, image in volumes(root / "imagesTr", r"im\d+").items():
            name = f"lb{stem.removeprefix('im')}"
            if name not in labels:
                raise DatasetError(f"{image} has no {name} in labelsTr", "unpack the archive again", case_id=stem)
            origin = Provenance(source=f"ATLAS 2023 {stem}", patient=f"atlas-{stem}")
            found.append(SourceCase(stem, (image,), labels.pop(name), provenance=origin))
        for path in labels.values():
            raise DatasetError(f"{path} has no image in imagesTr", "unpack the archive again")
        return tuple(found)

    def dataset(self, source: Path) -> Dataset:
        return Dataset(
            channel_names={"0": "MRI"},
            labels={"background": 0, "liver": 1, "tumor": 2},
            numTraining=len(volumes(_root(source) / "imagesTr", r"im\d+")),
            file_ending=".nii.gz",
            name=self.spec().dataset_name,
            reference=self.spec().citation,
            licence=self.spec().licence,
        )

    def convert_case(self, case: SourceCase, target: CaseTarget) -> None:
        take_image(case.images[0], target.images[0])
        if case.label is not None and target.label is not None:
            take_label(case.label, target.label, image=target.images[0], values={0: 0, 1: 1, 2: 2})

    def example(self, root: Path) -> Path:
        source = root / "atlas-train-dataset-1.0.1"
        geometry = Geometry((8, 12, 12), (3.0, 1.4, 1.4))
        for number in (0, 10):
            labels = np.zeros(geometry.shape, np.uint8)
            labels[2:6, 2:9, 2:9], labels[3:5, 4:6, 4:6] = 1, 2
            image = np.random.default_rng(number).integers(0, 50, geometry.shape) + 100 * labels
            write_image(source / "train" / "imagesTr" / f"im{number}.nii.gz", image.astype(np.int16), geometry)
            write_label(source / "train" / "labelsTr" / f"lb{number}.nii.gz", labels, geometry)
        return source


def _root(source: Path) -> Path:
    for folder in folders_below(source, depth=_DEPTH):
        if volumes(folder / "imagesTr", r"im\d+"):
            return folder
    raise DatasetError(f"no imagesTr/imN.nii.gz in {source}", "give the folder atlas-train-dataset-1.0.1")


converter = Atlas()
