"""NAME: what it is, and the layout it is downloaded in. Copy this file to `<name>.py` and fill it in.

    Source/
      images/case_01.nii.gz
      masks/case_01.nii.gz

Nothing else need be registered or edited: the file's name is the word after `autoseg convert`, and
`tests/contracts/test_converters.py` runs over it as soon as it exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.datasets import CaseTarget, Converter, ConverterInfo, SourceCase
from autoseg.datasets.files import is_junk, link_or_copy
from autoseg.io.images import write_image, write_label
from autoseg.specs.dataset import Dataset, Provenance


class Template(Converter):
    """Where the layout and the label values were read, with the source."""

    def spec(self) -> ConverterInfo:
        return ConverterInfo(
            name="template",
            title="one line for the list of converters",
            licence="licence of the images",
            citation="paper or address",
            needs="the folder with images/ and masks/",
            dataset_name="Template",
        )

    def recognises(self, source: Path) -> bool:
        return (source / "images").is_dir() and (source / "masks").is_dir()

    def cases(self, source: Path) -> Sequence[SourceCase]:
        found = []
        for image in sorted((source / "images").glob("*.nii.gz")):
            if is_junk(image):
                continue
            case_id, mask = image.name.removesuffix(".nii.gz"), source / "masks" / image.name
            if not mask.is_file():
                raise DatasetError(f"{image} has no mask", "download it again", case_id=case_id)
            # One patient's scans, and copies of scans of other data sets, must stay on one side of a split.
            origin = Provenance(source=f"Template {case_id}", patient=case_id)
            found.append(SourceCase(case_id, (image,), mask, provenance=origin))
        return tuple(found)

    def dataset(self, source: Path) -> Dataset:
        return Dataset(
            channel_names={"0": "CT"},
            labels={"background": 0, "organ": 1},
            numTraining=len(self.cases(source)),
            file_ending=".nii.gz",
            name=self.spec().dataset_name,
            licence=self.spec().licence,
        )

    def convert_case(self, case: SourceCase, target: CaseTarget) -> None:
        # Read, merge or re-label here; what needs no change is taken over byte for byte.
        link_or_copy(case.images[0], target.images[0])
        if case.label is not None and target.label is not None:
            link_or_copy(case.label, target.label)

    def example(self, root: Path) -> Path:
        geometry = Geometry((4, 6, 8), (3.0, 0.8, 0.8))
        for case in ("case_01", "case_02"):
            labels = np.zeros(geometry.shape, np.uint8)
            labels[1:3, 2:4, 2:5] = 1
            image = np.where(labels[None] > 0, 60, -1000).astype(np.int16)
            write_image(root / "images" / f"{case}.nii.gz", image, geometry)
            write_label(root / "masks" / f"{case}.nii.gz", labels, geometry)
        return root


converter = Template()
