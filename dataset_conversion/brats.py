"""BraTS from 2013 to today: adult glioma, meningioma, metastases, paediatric and Sub-Saharan sets, any layout.

[HGG|LGG/]brats_2013_pat0001_1/{Flair_*,T1c_*,brainmask,OTMultiClass}.nii.gz    2013/15 as shipped with DeepMedic
[HGG|LGG/]brats_2013_pat0001_1/VSD.Brain.XX.O.MR_Flair.35535/*.mha              2013/15
[HGG|LGG/]Brats17_2013_2_1/Brats17_2013_2_1_{flair,t1,t1ce,t2,seg}.nii.gz       2017 to 2021
BraTS-GLI-00000-000/BraTS-GLI-00000-000-{t1n,t1c,t2w,t2f,seg}.nii.gz            2023 on
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.datasets import CaseTarget, Converter, ConverterInfo, SourceCase
from autoseg.datasets.brats import CHANNELS, EDITIONS, Edition
from autoseg.datasets.files import take_image, take_label
from autoseg.io.images import read_image, read_label, write_image, write_label
from autoseg.specs.dataset import Dataset
from dataset_conversion import _brats_layout as layout

MASK = "mask"


class BratsOptions(BaseModel):
    """How to read the labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    edition: Literal["auto", "2015", "2017", "2023", "2024", "ped", "men_rt"] = "auto"
    """What label values mean; `auto` goes by the cases' names and, for later glioma sets, their folder and grid."""
    labels: Literal["regions", "tissues"] = "regions"
    """Nested regions as they are scored, or exclusive labels: edema, non_enhancing with necrosis, enhancing."""


class Brats(Converter):
    """Regions WT, TC and ET; label values in nested order, see `autoseg.datasets.brats`."""

    Options = BratsOptions
    options: BratsOptions = BratsOptions()

    def spec(self) -> ConverterInfo:
        return ConverterInfo(
            name="brats",
            title="Brain Tumor Segmentation, 2013 to today",
            licence="terms of the BraTS year; CC BY-NC-SA 3.0 for 2013/15",
            citation="Menze et al., IEEE TMI 34, 1993 (2015); Baid et al., arXiv 2107.02314 (2021)",
            needs="a folder with one folder per case, e.g. BraTS2021_00000, at any depth",
            dataset_name="BraTS",
            scoring="brats2023",
            submission="brats2023",
        )

    def recognises(self, source: Path) -> bool:
        return layout.looks_like(source)

    def cases(self, source: Path) -> Sequence[SourceCase]:
        found = layout.find_cases(source)
        roles = layout.common_roles(found)
        return tuple(layout.source_case(case, roles, source) for case in found)

    def dataset(self, source: Path) -> Dataset:
        found = layout.find_cases(source)
        edition = self._edition(source, found)
        roles = layout.common_roles(found, said=True)
        missing = [CHANNELS[role] for role in CHANNELS if role not in roles]
        regions = {name: values if len(values) > 1 else values[0] for name, values in edition.regions.items()}
        order = edition.class_order if len(regions) > 1 else None
        if self.options.labels == "tissues":
            regions, order = {**edition.tissues()[0]}, None
        return Dataset(
            channel_names={str(index): CHANNELS[role] for index, role in enumerate(roles)},
            labels={"background": 0, **regions},
            regions_class_order=order,
            numTraining=sum(case.is_training for case in found),
            file_ending=".nii.gz",
            name=f"{self.spec().dataset_name}{edition.name}",
            description=self._described(edition) + (f"; absent everywhere: {', '.join(missing)}" if missing else ""),
            reference=self.spec().citation,
            licence=self.spec().licence,
            scoring=_scored_as(edition, found[0].folder.name),
            submission=_submitted_as(edition, found[0].folder.name),
        )

    def _described(self, edition: Edition) -> str:
        if self.options.labels == "tissues":
            return f"Tissues of {edition.name}, one exclusive label each"
        return f"Labels of {edition.name} in nested order"

    def convert_case(self, case: SourceCase, target: CaseTarget) -> None:
        edition = EDITIONS[case.details["edition"] if self.options.edition == "auto" else self.options.edition]
        mask = Path(case.details[MASK]) if MASK in case.details else None
        for source, image in zip(case.images, target.images, strict=True):
            if mask is None:
                take_image(source, image)
            else:
                _take_masked(source, image, mask)
        if case.label is not None and target.label is not None:
            values = edition.stored
            if self.options.labels == "tissues":
                tissue = edition.tissues()[1]
                values = {original: tissue[stored] for original, stored in values.items()}
            take_label(case.label, target.label, image=target.images[0], values=values)

    def example(self, root: Path) -> Path:
        source = root / "BraTS2021_TrainingData"
        for index in range(2):
            write_example(source, f"BraTS2021_{index:05d}", seed=index)
        return source

    def _edition(self, source: Path, found: Sequence[layout.Found]) -> Edition:
        if self.options.edition != "auto":
            return EDITIONS[self.options.edition]
        names = {layout.edition_of(case, source) for case in found}
        if len(names) > 1:
            raise DatasetError(
                f"{source} mixes the labels of {' and '.join(sorted(names))}", "convert each into a data set of its own"
            )
        return EDITIONS[names.pop()]


def _scored_as(edition: Edition, case: str) -> str:
    """The first challenge with these labels; another year's is chosen with `evaluate --protocol`."""
    group = re.match(r"brats-(gli|men|met|ped|ssa)-", case, re.IGNORECASE)
    variant = group.group(1).lower() if group else "gli"
    if edition.name == "2024":
        return "brats2025:met" if variant == "met" else "brats2024:gli"
    if edition.name == "2017" and re.match(r"brats2021_", case, re.IGNORECASE):
        return "brats2020:2021"
    names = {"2015": "brats2020", "2017": "brats2020", "ped": "brats2024:ped", "men_rt": "brats2024:men_rt"}
    return names.get(edition.name, f"brats2023:{variant}")


def _submitted_as(edition: Edition, case: str) -> str:
    """The format of the year that the case's name tells, else of the first one with these labels."""
    year = re.match(r"brats(?:20)?(\d\d)_", case, re.IGNORECASE)
    if edition.name == "2017" and year and "17" <= year.group(1) <= "22":
        return f"brats20{year.group(1)}"
    if edition.name == "2024" and case.lower().startswith("brats-met"):
        return "brats2025"
    return {"2015": "brats2015", "2017": "brats2020", "2023": "brats2023"}.get(edition.name, "brats2024")


def _take_masked(source: Path, target: Path, mask: Path) -> None:
    """Zero outside the brain: images of 2013/15 that were z-scored have another constant there."""
    image = read_image(source)
    brain, grid = read_label(mask)
    if grid.shape != image.geometry.shape:
        raise DatasetError(
            f"{mask} has the shape {grid.shape}, its image {image.geometry.shape} (z, y, x)", "download both again"
        )
    write_image(target, np.where(brain > 0, image.array, 0), image.geometry, like=source)


def write_example(
    folder: Path,
    case: str,
    *,
    seed: int = 0,
    files: Sequence[str] = ("{case}_t1", "{case}_t1ce", "{case}_t2", "{case}_flair"),
    label: str | None = "{case}_seg",
    values: Sequence[int] = (2, 1, 4),
    ending: str = ".nii.gz",
) -> Path:
    """One case of a few voxels with the challenge's grid origin; a brain of noise, background exactly zero."""
    size = 12
    # Identity direction and origin (0, -239, 0) in LPS, as every file of the challenge until 2023.
    geometry = Geometry((size, size, size), (1.0, 1.0, 1.0), (0.0, -239.0, 0.0))
    generator = np.random.default_rng(seed)
    brain = np.zeros(geometry.shape, bool)
    brain[2:-2, 2:-2, 2:-2] = True
    for file in files:
        image = np.where(brain, generator.integers(50, 900, brain.shape), 0).astype(np.int16)
        write_image(folder / case / (file.format(case=case) + ending), image, geometry)
    if label is not None:
        labels = np.zeros(geometry.shape, np.uint8)
        for inset, value in enumerate(values):
            labels[3 + inset : 9, 3 + inset : 9, 3 + inset : 9] = value
        write_label(folder / case / (label.format(case=case) + ending), labels, geometry)
    return folder / case


converter = Brats()
