"""Raw data of nnU-Net v1: `TaskNNN_Name/{imagesTr/CASE_0000.nii.gz,labelsTr/CASE.nii.gz,imagesTs,dataset.json}`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autoseg.core.errors import DatasetError, SpecError
from autoseg.core.geometry import Geometry
from autoseg.datasets import CaseTarget, Converter, ConverterInfo, SourceCase
from autoseg.datasets.files import take_image, take_label, volumes
from autoseg.datasets.overlap import brats_group, kits_group, lits_group
from autoseg.io.images import write_image, write_label
from autoseg.specs.dataset import Dataset, Provenance
from autoseg.specs.document import read_values

_TASK = re.compile(r"Task(\d{3})_(.+)")
_CHANNEL = r".+_\d{4}"
_CURE = "give a raw task folder of nnU-Net v1"


class NnunetV1(Converter):
    """Files are taken over; `modality` becomes `channel_names`, labels turn from index -> name to name -> index."""

    def spec(self) -> ConverterInfo:
        return ConverterInfo(
            name="nnunet_v1",
            title="A raw task of nnU-Net v1",
            licence="that of the task's data",
            citation="Isensee et al., Nature Methods 18, 203 (2021)",
            needs="a folder TaskNNN_Name with dataset.json, imagesTr and labelsTr",
            dataset_name="FromV1",
        )

    def recognises(self, source: Path) -> bool:
        if not _TASK.fullmatch(source.resolve().name):
            return False
        try:
            return "modality" in read_values(source / "dataset.json") and bool(volumes(source / "imagesTr", _CHANNEL))
        except (SpecError, DatasetError, OSError):
            return False

    def cases(self, source: Path) -> Sequence[SourceCase]:
        count = len(_facts(source)[0])
        labels = volumes(source / "labelsTr")
        found = []
        for case_id, images in _grouped(source / "imagesTr", count).items():
            label = labels.pop(case_id, None)
            if label is None:
                raise DatasetError(f"{images[0]} has no label in labelsTr", "complete the folders", case_id=case_id)
            found.append(SourceCase(case_id, images, label, provenance=_origin(source, case_id)))
        for case_id, label in labels.items():
            raise DatasetError(f"{label} has no image in imagesTr", "complete the folders", case_id=case_id)
        if not found:
            raise DatasetError(f"no images in {source / 'imagesTr'}", _CURE)
        references = volumes(source / "labelsTs")
        for case_id, images in _grouped(source / "imagesTs", count).items():
            reference = references.get(case_id)
            found.append(
                SourceCase(
                    case_id, images, reference, "test", _origin(source, case_id), has_label=reference is not None
                )
            )
        return tuple(found)

    def dataset(self, source: Path) -> Dataset:
        channels, labels = _facts(source)
        values = read_values(source / "dataset.json")
        match = _TASK.fullmatch(source.resolve().name)
        return Dataset(
            channel_names={str(index): name for index, name in enumerate(channels)},
            labels=labels,
            numTraining=len(_grouped(source / "imagesTr", len(channels))),
            file_ending=".nii.gz",
            name=match.group(2) if match else str(values.get("name") or self.spec().dataset_name),
            description=str(values.get("description") or ""),
            reference=str(values.get("reference") or ""),
            licence=str(values.get("licence") or values.get("license") or self.spec().licence),
        )

    def convert_case(self, case: SourceCase, target: CaseTarget) -> None:
        for source, image in zip(case.images, target.images, strict=True):
            take_image(source, image)
        if case.label is not None and target.label is not None:
            take_label(case.label, target.label, image=target.images[0])

    def example(self, root: Path) -> Path:
        source = root / "Task501_Example"
        geometry = Geometry((6, 8, 7), (1.5, 1.0, 1.0), (3.0, 2.0, 1.0))
        generator = np.random.default_rng(0)
        for folder, case in (("imagesTr", "one"), ("imagesTr", "two_part"), ("imagesTs", "three")):
            for channel in range(2):
                image = generator.normal(size=geometry.shape).astype(np.float32)
                write_image(source / folder / f"{case}_{channel:04d}.nii.gz", image, geometry)
            labels = np.zeros(geometry.shape, np.uint8)
            labels[2:4, 2:5, 2:5], labels[3, 3, 3] = 1, 2
            if folder == "imagesTr":
                write_label(source / "labelsTr" / f"{case}.nii.gz", labels, geometry)
        values = {
            "name": "Example",
            "licence": "CC0",
            "modality": {"0": "T1", "1": "T2"},
            "labels": {"0": "background", "1": "organ", "2": "lesion"},
            "numTraining": 2,
        }
        (source / "dataset.json").write_text(json.dumps(values), encoding="utf-8")
        return source


def _facts(source: Path) -> tuple[tuple[str, ...], dict[str, int | tuple[int, ...]]]:
    """Channel names in order, and label name -> value with the background first."""
    values = read_values(source / "dataset.json")
    try:
        channels = {int(index): str(name) for index, name in values["modality"].items()}
        labels = {int(value): str(name) for value, name in values["labels"].items()}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DatasetError(f"{source / 'dataset.json'} is not nnU-Net v1's ({error!r})", _CURE) from error
    if sorted(channels) != list(range(len(channels))):
        raise DatasetError(f"{source / 'dataset.json'}: modality has the keys {sorted(channels)}", "number from 0")
    named = {name: value for value, name in sorted(labels.items()) if value != 0}
    return tuple(channels[index] for index in sorted(channels)), {"background": 0, **named}


def _grouped(folder: Path, channels: int) -> dict[str, tuple[Path, ...]]:
    """Case id -> one file per channel.

    Raises:
        DatasetError: A channel is missing or one too many.
    """
    files: dict[str, dict[int, Path]] = {}
    for stem, path in volumes(folder, _CHANNEL).items():
        files.setdefault(stem[:-5], {})[int(stem[-4:])] = path
    for case_id, found in files.items():
        if sorted(found) != list(range(channels)):
            has = ", ".join(f"{index:04d}" for index in sorted(found))
            problem = f"{folder / case_id} has the channels {has}, dataset.json names {channels}"
            raise DatasetError(problem, "complete the files", case_id=case_id)
    return {case_id: tuple(found[index] for index in range(channels)) for case_id, found in files.items()}


def _origin(source: Path, case_id: str) -> Provenance:
    """The overlap group where v1's own conversion scripts kept the challenge's numbers."""
    task = source.resolve().name
    group = brats_group(case_id)
    numbered = re.fullmatch(r"(?:train|liver)_(\d+)", case_id)
    if numbered and re.search(r"liver|lits", task, re.IGNORECASE) and int(numbered.group(1)) <= 130:
        group = lits_group(int(numbered.group(1)))
    kidney = re.fullmatch(r"case_(\d{5})", case_id)
    if kidney and re.search(r"kits|kidney", task, re.IGNORECASE):
        group = kits_group(int(kidney.group(1)))
    return Provenance(source=f"{task} {case_id}", overlap_group=group)


converter = NnunetV1()
