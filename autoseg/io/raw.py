"""Raw data sets as nnU-Net v2 lays them out: find the files of each case, read a case, check its labels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.io.case_files import (
    Channels,
    RawCase,
    add_labels,
    count_channels,
    explicit_cases,
    find_images,
    image_files,
    images_in,
    naming,
    with_annotated,
    with_labels,
)
from autoseg.io.images import Image, count_non_finite, read_image, read_label
from autoseg.specs.dataset import Dataset

__all__ = ["RawCase", "RawDataset", "check_labels", "find_images", "read_case", "unknown_labels"]

logger = logging.getLogger(__name__)
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class RawDataset:
    """A folder with `dataset.json`, opened.

    Attributes:
        folder: `.../DatasetNNN_Name`.
        spec: Its `dataset.json`.
        labels: What its labels mean.
        training: Cases with a label, sorted by id.
        test: Cases of `imagesTs`, sorted by id, with their labels where `labelsTs` has them.
    """

    folder: Path
    spec: Dataset
    labels: LabelSpace
    training: tuple[RawCase, ...]
    test: tuple[RawCase, ...]

    @property
    def name(self) -> str:
        """Folder name."""
        return self.folder.name

    @classmethod
    def open(cls, folder: Path) -> RawDataset:
        """Read `dataset.json` and list the cases; no image is opened.

        Raises:
            SpecError: `dataset.json` is missing or wrong.
            DatasetError: A file is missing or double, or `numTraining` is not the number of cases.
        """
        dataset, problems = cls.scan(folder)
        if problems:
            raise problems[0]
        return dataset

    @classmethod
    def open_usable(cls, folder: Path) -> tuple[RawDataset, dict[str, str]]:
        """As `open`, without the cases whose files are missing or double.

        Returns:
            The data set, and case id -> what is wrong and the cure.

        Raises:
            SpecError: `dataset.json` is missing or wrong.
            DatasetError: `numTraining` is not the number of cases.
        """
        dataset, problems = cls.scan(folder)
        bad: dict[str, str] = {}
        for problem in problems:
            if problem.case_id is None:
                raise problem
            bad.setdefault(problem.case_id, str(problem))
        return replace(dataset, training=tuple(case for case in dataset.training if case.case_id not in bad)), bad

    @classmethod
    def scan(cls, folder: Path) -> tuple[RawDataset, tuple[DatasetError, ...]]:
        """As `open`, with every problem of the file lists collected instead of the first one raised.

        Raises:
            SpecError: `dataset.json` is missing or wrong.
        """
        spec = Dataset.load(folder / "dataset.json")
        labels = spec.label_space()
        problems: list[DatasetError] = []
        if spec.dataset is not None:
            training = explicit_cases(folder, spec.dataset, len(spec.channels()), problems)
        else:
            images = images_in(folder / "imagesTr", spec.channels(), problems)
            training = with_labels(images, folder / "labelsTr", problems)
        if not problems and len(training) != spec.numTraining:
            problems.append(
                DatasetError(
                    f"{folder.name}/dataset.json says numTraining = {spec.numTraining}, but there are {len(training)}",
                    "correct the number or complete the folders",
                )
            )
        test_folder = folder / "imagesTs"
        has_test = test_folder.is_dir() and any(image_files(test_folder))
        test = images_in(test_folder, spec.channels(), problems) if has_test else ()
        test = add_labels(test, folder / "labelsTs")
        marked = [with_annotated(cases, spec, problems) for cases in (training, test)]
        return cls(folder, spec, labels, *marked), tuple(problems)


def read_case(case: RawCase, *, channels: Channels) -> tuple[npt.NDArray[np.float32], Geometry, Array | None]:
    """Read all channels, float32 (C, Z, Y, X), their grid, and the labels (Z, Y, X) if the case has a reference.

    Raises:
        DatasetError: With the case id: unreadable files, channels or label on different grids, non-finite voxels.
    """
    with naming(case.case_id):
        images = [read_image(path) for path in case.images]
        geometry = _common_geometry(case, images)
        stacked = images[0].array if len(images) == 1 else np.concatenate([image.array for image in images])
        array = stacked.astype(np.float32, copy=False)
        if len(array) != count_channels(channels):
            raise DatasetError(
                f"{case.images[0].name} has {len(array)} channel(s), {count_channels(channels)} are needed",
                "give one file per channel (CASE_0000, CASE_0001, ...) or one 4D file with all of them",
            )
        bad = count_non_finite(array)
        if bad:
            names = ", ".join(path.name for path in case.images)
            raise DatasetError(f"{bad} voxels of {names} are NaN or infinite", "replace them, e.g. by the background")
        labels = None if case.label is None else _read_reference(case.label, geometry)
    return array, geometry, labels


def check_labels(labels: Array, space: LabelSpace, case: RawCase) -> None:
    """Refuse label values that `dataset.json` does not declare, or not for this case.

    Raises:
        DatasetError: Names the file, the value and the declared ones.
    """
    for problem, cure in unannotated_labels(labels, space, case):
        raise DatasetError(problem, cure, case_id=case.case_id)
    unknown = unknown_labels(labels, space)
    if unknown:
        declared = ", ".join(str(value) for value in sorted(_declared(space)))
        raise DatasetError(
            f"{case.label or case.case_id} holds the label {unknown[0]}, dataset.json declares {declared}",
            "add the label to dataset.json or mend the file",
            case_id=case.case_id,
        )


def unannotated_labels(labels: Array, space: LabelSpace, case: RawCase) -> tuple[tuple[str, str], ...]:
    """Labels that occur although the case is said not to annotate them, as (problem, cure)."""
    if case.annotated is None:
        return ()
    values = dict(zip(space.names, space.values, strict=True))
    stray = set(space.foreground_values).difference(*(values[name] for name in case.annotated))
    found = sorted(stray.intersection(np.unique(labels).tolist()))
    if not found:
        return ()
    named = ", ".join(name for name in space.names if found[0] in values[name])
    problem = f"{case.label or case.case_id} holds the label {found[0]} ({named}), which it is said not to annotate"
    return ((problem, f"name it in provenance.{case.case_id}.annotated of dataset.json, or mend the file"),)


def unknown_labels(labels: Array, space: LabelSpace) -> tuple[int, ...]:
    """Values of a label map that are not declared, sorted."""
    declared = _declared(space)
    known = np.zeros(max(declared) + 2, dtype=bool)
    known[list(declared)] = True
    if labels.dtype.kind == "i" or labels.dtype.itemsize > 1:
        index = np.where((labels < 0) | (labels > max(declared)), max(declared) + 1, labels)
    else:
        index = np.minimum(labels, max(declared) + 1)
    wrong = ~known[index]
    return tuple(int(value) for value in np.unique(labels[wrong])) if wrong.any() else ()


def _declared(space: LabelSpace) -> set[int]:
    return {0, *space.foreground_values, *([] if space.ignore is None else [space.ignore])}


def _common_geometry(case: RawCase, images: Sequence[Image]) -> Geometry:
    first = images[0].geometry
    for path, image in zip(case.images[1:], images[1:], strict=True):
        differing = first.differences(image.geometry)
        if differing:
            raise DatasetError(
                f"{path} and {case.images[0].name} differ in {', '.join(differing)}",
                "resample the channels of a case to one grid",
            )
    return first


def _read_reference(path: Path, geometry: Geometry) -> Array:
    labels, own = read_label(path)
    if own.shape != geometry.shape:
        raise DatasetError(
            f"{path} has the shape {own.shape}, its image {geometry.shape} (z, y, x)",
            "export the label on the image's grid",
        )
    differing = geometry.differences(own)
    if differing:
        logger.warning("%s differs from its image in %s; the image's is used", path, ", ".join(differing))
    return labels
