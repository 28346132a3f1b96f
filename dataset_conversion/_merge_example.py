"""A small workspace with two raw data sets that can be joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoseg.core.geometry import Geometry
from autoseg.io.images import write_image, write_label
from autoseg.specs.dataset import Dataset, Provenance


def write_example(root: Path) -> Path:
    """A workspace with two data sets that share a scan and number their labels differently."""
    geometry = Geometry((4, 6, 8), (3.0, 0.8, 0.8))
    contents: dict[str, tuple[dict[str, int | tuple[int, ...]], dict[str, str]]] = {
        "Dataset001_First": ({"background": 0, "liver": 1, "livertumor": 2}, {"one": "scan-1"}),
        "Dataset002_Second": ({"background": 0, "Tumour": 1, "Liver": 2}, {"first": "scan-1", "second": "scan-2"}),
    }
    for name, (labels, groups) in contents.items():
        folder = root / "raw" / name
        for case, group in groups.items():
            marked = np.zeros(geometry.shape, np.uint8)
            liver, tumor = (1, 2) if folder.name.endswith("First") else (2, 1)
            marked[1:3, 2:5, 2:6] = liver
            marked[2, 3, 3:5] = tumor
            image = np.where(marked > 0, 60, -1000).astype(np.int16) + int(group[-1])
            write_image(folder / "imagesTr" / f"{case}_0000.nii.gz", image, geometry)
            write_label(folder / "labelsTr" / f"{case}.nii.gz", marked, geometry)
        Dataset(
            channel_names={"0": "CT"},
            labels=labels,
            numTraining=len(groups),
            file_ending=".nii.gz",
            licence="CC0",
            scoring="lits",
            provenance={
                case: Provenance(source=f"{name} {case}", overlap_group=group) for case, group in groups.items()
            },
        ).save(folder / "dataset.json")
    return root
