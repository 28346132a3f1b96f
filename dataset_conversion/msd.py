"""Medical Segmentation Decathlon: the ten tasks as downloaded from medicaldecathlon.com."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.datasets import CaseTarget, Converter, ConverterInfo, SourceCase
from autoseg.datasets.files import is_junk, link_or_copy
from autoseg.datasets.overlap import lits_group
from autoseg.io import nifti
from autoseg.io.images import read_image, read_label, write_image, write_label
from autoseg.specs.dataset import Dataset, Provenance
from autoseg.specs.document import read_values

_ENDING = ".nii.gz"
_TASK = re.compile(r"Task(\d\d)_(.+)")
_LAST_LITS = 130
_SCORED_AS = {
    "01": "brain",
    "02": "heart",
    "03": "liver",
    "04": "hippocampus",
    "05": "prostate",
    "06": "lung",
    "07": "pancreas",
    "08": "hepatic_vessel",
    "09": "spleen",
    "10": "colon",
}
"""Task number -> variant of the protocol `msd`: the tolerance of the surface Dice differs."""


class MedicalDecathlon(Converter):
    """`TaskXX_Name/{imagesTr,labelsTr,imagesTs}` with its `dataset.json`."""

    def spec(self) -> ConverterInfo:
        return ConverterInfo(
            name="msd",
            title="Medical Segmentation Decathlon, any of the ten tasks",
            licence="CC BY-SA 4.0",
            citation="Antonelli et al., Nature Communications 13, 4128 (2022)",
            needs="a task folder as unpacked, e.g. Task04_Hippocampus",
            dataset_name="Decathlon",
            scoring="msd",
            submission="msd",
        )

    def recognises(self, source: Path) -> bool:
        return bool(_TASK.fullmatch(source.name)) and (source / "dataset.json").is_file()

    def cases(self, source: Path) -> Sequence[SourceCase]:
        labels = {path.name: path for path in _volumes(source / "labelsTr")}
        found = []
        for image in _volumes(source / "imagesTr"):
            if image.name not in labels:
                raise DatasetError(f"{image} has no label in labelsTr", "unpack the archive again")
            found.append(_case(source, image, labels.pop(image.name)))
        if labels:
            raise DatasetError(f"{next(iter(labels.values()))} has no image in imagesTr", "unpack the archive again")
        if not found:
            raise DatasetError(f"no images in {source / 'imagesTr'}", "give the task folder, e.g. Task04_Hippocampus")
        return (*found, *(_case(source, image, None) for image in _volumes(source / "imagesTs")))

    def dataset(self, source: Path) -> Dataset:
        values = read_values(source / "dataset.json")
        try:
            channels = {str(int(index)): str(name) for index, name in values["modality"].items()}
            labels: dict[str, int | tuple[int, ...]] = {
                str(name): int(value) for value, name in sorted(values["labels"].items(), key=lambda item: int(item[0]))
            }
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise DatasetError(
                f"{source / 'dataset.json'} is not the Decathlon's ({error!r})", "unpack the archive again"
            ) from error
        background = next((name for name, value in labels.items() if value == 0), None)
        if background is not None and background != "background":
            labels = {"background": 0, **{name: value for name, value in labels.items() if value != 0}}
        match = _TASK.fullmatch(source.resolve().name)
        return Dataset(
            channel_names=channels,
            labels=labels,
            numTraining=len(_volumes(source / "imagesTr")),
            file_ending=_ENDING,
            name=match.group(2) if match else str(values.get("name", source.name)),
            description=str(values.get("description", "")),
            reference=str(values.get("reference", "")),
            licence=str(values.get("licence") or values.get("license") or self.spec().licence),
            scoring=f"msd:{_SCORED_AS[match.group(1)]}" if match and match.group(1) in _SCORED_AS else "msd",
        )

    def convert_case(self, case: SourceCase, target: CaseTarget) -> None:
        if len(target.images) == 1:
            link_or_copy(case.images[0], target.images[0])
        else:
            _split_channels(case.images[0], target.images)
        if case.label is None or target.label is None:
            return
        if nifti.read_header(case.label).get_data_dtype().kind in "iu":
            link_or_copy(case.label, target.label)
        else:
            labels, geometry = read_label(case.label)
            write_label(target.label, labels, geometry, like=case.label)

    def example(self, root: Path) -> Path:
        source = root / "Task99_Example"
        generator = np.random.default_rng(0)
        geometry = Geometry((6, 8, 7), (1.5, 1.0, 1.0), (3.0, 2.0, 1.0))
        for index in (1, 2):
            image = generator.normal(size=(2, 6, 8, 7)).astype(np.float32)
            labels = np.zeros((6, 8, 7), np.uint8)
            labels[2:4, 2:5, 2:5], labels[3, 3, 3] = 1, 2
            write_image(source / "imagesTr" / f"example_{index:03d}.nii.gz", image, geometry)
            write_label(source / "labelsTr" / f"example_{index:03d}.nii.gz", labels, geometry)
        write_image(source / "imagesTs" / "example_003.nii.gz", image, geometry)
        (source / "imagesTr" / "._example_001.nii.gz").write_bytes(b"archive junk")
        _write_example_json(source)
        return source


def _write_example_json(source: Path) -> None:
    import json

    values: dict[str, Any] = {
        "name": "Example",
        "description": "Two channels of noise",
        "reference": "none",
        "licence": "CC0",
        "modality": {"0": "FLAIR", "1": "T1w"},
        "labels": {"0": "background", "1": "organ", "2": "lesion"},
        "numTraining": 2,
        "numTest": 1,
        "training": [{"image": f"./imagesTr/example_{i:03d}.nii.gz", "label": f"./labelsTr/example_{i:03d}.nii.gz"}
                     for i in (1, 2)],
        "test": ["./imagesTs/example_003.nii.gz"],
    }  # fmt: skip
    (source / "dataset.json").write_text(json.dumps(values))


def _volumes(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.endswith(_ENDING) and not is_junk(path))


def _case(source: Path, image: Path, label: Path | None) -> SourceCase:
    case_id = image.name.removesuffix(_ENDING)
    return SourceCase(
        case_id=case_id,
        images=(image,),
        label=label,
        split="test" if label is None else "train",
        has_label=label is not None,
        provenance=Provenance(source=f"MSD {source.resolve().name} {case_id}", overlap_group=_overlap_group(case_id)),
    )


def _overlap_group(case_id: str) -> str | None:
    """Task03 is LiTS with the same numbers, training and test apart; its cases must not meet LiTS in a split."""
    match = re.fullmatch(r"liver_(\d+)", case_id)
    return lits_group(int(match.group(1))) if match and int(match.group(1)) <= _LAST_LITS else None


def _split_channels(image: Path, targets: tuple[Path, ...]) -> None:
    volume = read_image(image)
    if len(volume.array) != len(targets):
        raise DatasetError(
            f"{image} has {len(volume.array)} channels, dataset.json names {len(targets)}", "unpack the archive again"
        )
    for channel, path in zip(volume.array, targets, strict=True):
        write_image(path, channel, volume.geometry, like=image)


converter = MedicalDecathlon()
