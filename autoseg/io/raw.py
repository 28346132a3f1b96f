"""Raw data sets as nnU-Net v2 lays them out: find the files of each case, read a case, check its labels."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.io.images import READABLE_ENDINGS, Image, count_non_finite, image_ending, read_image, read_label
from autoseg.specs.dataset import CaseFiles, Dataset

logger = logging.getLogger(__name__)
Array = npt.NDArray[Any]
Channels = int | Sequence[str]
_CHANNEL_FILE = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True)
class RawCase:
    """Files of one case.

    Attributes:
        case_id: Name without channel number and ending.
        images: One file per channel, or one file that holds all channels.
        label: The reference, if there is one.
    """

    case_id: str
    images: tuple[Path, ...]
    label: Path | None = None


@dataclass(frozen=True)
class RawDataset:
    """A folder with `dataset.json`, opened.

    Attributes:
        folder: `.../DatasetNNN_Name`.
        spec: Its `dataset.json`.
        labels: What its labels mean.
        training: Cases with a label, sorted by id.
        test: Cases without, sorted by id.
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
    def scan(cls, folder: Path) -> tuple[RawDataset, tuple[DatasetError, ...]]:
        """As `open`, with every problem of the file lists collected instead of the first one raised.

        Raises:
            SpecError: `dataset.json` is missing or wrong.
        """
        spec = Dataset.load(folder / "dataset.json")
        labels = spec.label_space()
        problems: list[DatasetError] = []
        if spec.dataset is not None:
            training = _explicit_cases(folder, spec.dataset, len(spec.channels()), problems)
        else:
            images = _images_in(folder / "imagesTr", spec.channels(), problems)
            training = _with_labels(images, folder / "labelsTr", problems)
        if not problems and len(training) != spec.numTraining:
            problems.append(
                DatasetError(
                    f"{folder.name}/dataset.json says numTraining = {spec.numTraining}, but there are {len(training)}",
                    "correct the number or complete the folders",
                )
            )
        test_folder = folder / "imagesTs"
        has_test = test_folder.is_dir() and any(_image_files(test_folder))
        test = _images_in(test_folder, spec.channels(), problems) if has_test else ()
        return cls(folder, spec, labels, training, test), tuple(problems)


def find_images(folder: Path, channels: Channels) -> tuple[RawCase, ...]:
    """Cases of a folder of images: `CASE_0000.nii.gz`, `CASE_0001.nii.gz`, ..., or `CASE.nii.gz` for one channel or 4D.

    Args:
        folder: Files of any readable ending, also mixed; anything else in it is passed over.
        channels: Their number, or their names for better messages.

    Raises:
        DatasetError: No images, a missing channel, a channel too many, or two files for one role.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder", "check the path")
    problems: list[DatasetError] = []
    cases = _images_in(folder, channels, problems)
    if problems:
        raise problems[0]
    if not cases:
        raise DatasetError(f"no images in {folder}", f"put files ending in {', '.join(READABLE_ENDINGS)} there")
    return cases


def read_case(case: RawCase, *, channels: Channels) -> tuple[npt.NDArray[np.float32], Geometry, Array | None]:
    """Read all channels, float32 (C, Z, Y, X), their grid, and the labels (Z, Y, X) if the case has a reference.

    Raises:
        DatasetError: With the case id: unreadable files, channels or label on different grids, non-finite voxels.
    """
    with _naming(case.case_id):
        images = [read_image(path) for path in case.images]
        geometry = _common_geometry(case, images)
        array = np.concatenate([image.array for image in images]).astype(np.float32, copy=False)
        if len(array) != _count(channels):
            raise DatasetError(
                f"{case.images[0].name} has {len(array)} channel(s), {_count(channels)} are needed",
                "give one file per channel (CASE_0000, CASE_0001, ...) or one 4D file with all of them",
            )
        bad = count_non_finite(array)
        if bad:
            names = ", ".join(path.name for path in case.images)
            raise DatasetError(f"{bad} voxels of {names} are NaN or infinite", "replace them, e.g. by the background")
        labels = None if case.label is None else _read_reference(case.label, geometry)
    return array, geometry, labels


def check_labels(labels: Array, space: LabelSpace, case: RawCase) -> None:
    """Refuse label values that `dataset.json` does not declare.

    Raises:
        DatasetError: Names the file, the value and the declared ones.
    """
    unknown = unknown_labels(labels, space)
    if unknown:
        declared = ", ".join(str(value) for value in sorted(_declared(space)))
        raise DatasetError(
            f"{case.label or case.case_id} holds the label {unknown[0]}, dataset.json declares {declared}",
            "add the label to dataset.json or mend the file",
            case_id=case.case_id,
        )


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


def _count(channels: Channels) -> int:
    return channels if isinstance(channels, int) else len(channels)


def _channel_name(channels: Channels, index: int) -> str:
    return f"channel {index}" if isinstance(channels, int) else f"channel {index} ({channels[index]})"


def _image_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """(name without ending, path) of the images of a folder, sorted; hidden files are archive junk."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        ending = image_ending(path)
        if ending is not None and not path.name.startswith("."):
            yield path.name[: -len(ending)], path


def _images_in(folder: Path, channels: Channels, problems: list[DatasetError]) -> tuple[RawCase, ...]:
    roles: dict[str, dict[int | None, Path]] = {}
    for case_id, index, path in _named_roles(tuple(_image_files(folder)), _count(channels)):
        files = roles.setdefault(case_id, {})
        # None is the role "all channels", which one numbered file would double.
        clash = files.get(index) or (next(iter(files.values())) if files and (index is None or None in files) else None)
        if clash is not None:
            problems.append(DatasetError(f"{clash} and {path.name} are the same image", "remove one", case_id=case_id))
            continue
        files[index] = path
    complete = []
    for case_id, files in sorted(roles.items()):
        problem = _incomplete(case_id, files, channels, folder)
        if problem:
            problems.append(problem)
        else:
            complete.append(RawCase(case_id, tuple(files[key] for key in sorted(files, key=lambda key: key or 0))))
    return tuple(complete)


def _named_roles(files: Sequence[tuple[str, Path]], count: int) -> Iterator[tuple[str, int | None, Path]]:
    """(case, channel, path); channel None is a file without a channel number.

    `liver_0012.nii` may be channel 12 of `liver` or the case `liver_0012`: where no file of the folder is numbered
    _0000, and channels are one or the number exceeds them, names are taken as they are.
    """
    matches = {path: _CHANNEL_FILE.fullmatch(stem) for stem, path in files}
    numbers = [int(match.group(2)) for match in matches.values() if match]
    as_they_are = 0 not in numbers and (count == 1 or any(number >= count for number in numbers))
    for stem, path in files:
        match = matches[path]
        if match is None or as_they_are:
            yield stem, None, path
        else:
            yield match.group(1), int(match.group(2)), path


def _incomplete(
    case_id: str, files: Mapping[int | None, Path], channels: Channels, folder: Path
) -> DatasetError | None:
    if None in files:
        return None
    count = _count(channels)
    for index in range(count):
        if index not in files:
            some = next(iter(files.values()))
            expected = f"{case_id}_{index:04d}{image_ending(some)}"
            return DatasetError(
                f"case {case_id} lacks {_channel_name(channels, index)} in {folder}",
                f"add {expected}, or remove the case",
                case_id=case_id,
            )
    extra = [path for index, path in files.items() if index is not None and index >= count]
    if extra:
        return DatasetError(
            f"{extra[0]} is one channel more than the {count} that are declared",
            "remove it, or declare the channel in dataset.json",
            case_id=case_id,
        )
    return None


def _with_labels(images: Sequence[RawCase], folder: Path, problems: list[DatasetError]) -> tuple[RawCase, ...]:
    labels: dict[str, Path] = {}
    for stem, path in _image_files(folder):
        if stem in labels:
            problems.append(
                DatasetError(f"{labels[stem]} and {path.name} are the same label", "remove one", case_id=stem)
            )
        labels.setdefault(stem, path)
    for case_id in sorted({case.case_id for case in images} - labels.keys()):
        cure = f"add {folder.name}/{case_id} with a readable ending, or remove its image"
        problems.append(DatasetError(f"case {case_id} has no label in {folder}", cure, case_id=case_id))
    broken = {problem.case_id for problem in problems}
    for case_id in sorted(labels.keys() - {case.case_id for case in images} - broken):
        cure = "add its image, or remove the label"
        problems.append(DatasetError(f"{labels[case_id]} has no image in imagesTr", cure, case_id=case_id))
    return tuple(RawCase(case.case_id, case.images, labels[case.case_id]) for case in images if case.case_id in labels)


def _explicit_cases(
    folder: Path, listed: Mapping[str, CaseFiles], channels: int, problems: list[DatasetError]
) -> tuple[RawCase, ...]:
    cases = []
    for case_id, files in sorted(listed.items()):
        with _collecting(problems, case_id):
            paths = tuple(_expanded(folder, name) for name in (*files.images, files.label))
            if len(files.images) not in (1, channels):
                raise DatasetError(
                    f"case {case_id} lists {len(files.images)} images for {channels} channels",
                    "list one per channel in dataset.json",
                )
            cases.append(RawCase(case_id, paths[:-1], paths[-1]))
    return tuple(cases)


def _expanded(folder: Path, name: str) -> Path:
    text = os.path.expanduser(os.path.expandvars(name))  # noqa: PTH111 - after the variables, which may hold a ~
    if "$" in text:
        raise DatasetError(f"'{name}' names an environment variable that is not set", "set it, or write the path")
    path = folder / text
    if not path.is_file():
        raise DatasetError(f"{path}, listed in dataset.json, does not exist", "correct the path")
    return path


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


@contextlib.contextmanager
def _naming(case_id: str) -> Iterator[None]:
    """Give errors of the readers the case they belong to."""
    try:
        yield
    except DatasetError as error:
        raise DatasetError(error.problem, error.cure, case_id=error.case_id or case_id) from error


@contextlib.contextmanager
def _collecting(problems: list[DatasetError], case_id: str) -> Iterator[None]:
    try:
        with _naming(case_id):
            yield
    except DatasetError as error:
        problems.append(error)
