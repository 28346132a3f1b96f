"""Find the files of each case of a folder: images per channel, labels, explicit lists."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.core.registry import nearest
from autoseg.io.images import READABLE_ENDINGS, image_ending, is_picture, without_previews
from autoseg.specs.dataset import CaseFiles, Dataset

Channels = int | Sequence[str]
_CHANNEL_FILE = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True)
class RawCase:
    """Files of one case.

    Attributes:
        case_id: Name without channel number and ending.
        images: One file per channel, or one file that holds all channels.
        label: The reference, if there is one.
        annotated: Labels that the reference annotates, in the order of the data set's; None is all of them.
    """

    case_id: str
    images: tuple[Path, ...]
    label: Path | None = None
    annotated: tuple[str, ...] | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Images and label."""
        return (*self.images, *([] if self.label is None else [self.label]))


def with_annotated(cases: tuple[RawCase, ...], spec: Dataset, problems: list[DatasetError]) -> tuple[RawCase, ...]:
    """Cases with the labels that they annotate; what `dataset.json` says wrongly of a case goes to `problems`."""
    if all(origin.annotated is None for origin in spec.provenance.values()):
        return cases
    names, marked = spec.label_space().names, []
    for case in cases:
        said = spec.annotated(case.case_id)
        wrong = [name for name in said or () if name not in names]
        if wrong or said == ():
            problem = f"dataset.json: {case.case_id} annotates {repr(wrong[0]) if wrong else 'no label'}"
            cure = nearest(wrong[0], names) if wrong else "name its labels, or remove the case"
            problems.append(DatasetError(problem, cure, case_id=case.case_id))
        elif said is not None and set(said) != set(names):
            case = replace(case, annotated=tuple(name for name in names if name in said))
        marked.append(case)
    return tuple(marked)


def find_images(folder: Path, channels: Channels, problems: list[DatasetError] | None = None) -> tuple[RawCase, ...]:
    """Cases of a folder of images: `CASE_0000.nii.gz`, `CASE_0001.nii.gz`, ..., or `CASE.nii.gz` for one channel or 4D.

    Args:
        folder: Files of any readable ending, also mixed; anything else in it is passed over.
        channels: Their number, or their names for better messages.
        problems: Takes what is wrong with single cases, which are then left out; None raises the first.

    Raises:
        DatasetError: No images, a missing channel, a channel too many, or two files for one role.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder", "check the path")
    found: list[DatasetError] = []
    cases = images_in(folder, channels, found)
    bad = {problem.case_id for problem in found}
    cases = tuple(case for case in cases if case.case_id not in bad)
    if found and (problems is None or not cases):
        raise found[0]
    if problems is not None:
        problems.extend(found)
    if not cases:
        raise DatasetError(f"no images in {folder}", f"put files ending in {', '.join(READABLE_ENDINGS)} there")
    return cases


def count_channels(channels: Channels) -> int:
    """Number of channels."""
    return channels if isinstance(channels, int) else len(channels)


def _channel_name(channels: Channels, index: int) -> str:
    return f"channel {index}" if isinstance(channels, int) else f"channel {index} ({channels[index]})"


def image_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """(name without ending, path) of the images of a folder, sorted; hidden files are archive junk."""
    for path in without_previews(sorted(folder.iterdir()) if folder.is_dir() else ()):
        yield path.name[: -len(image_ending(path) or "")], path


def images_in(folder: Path, channels: Channels, problems: list[DatasetError]) -> tuple[RawCase, ...]:
    """Complete cases of a folder, sorted by id; what is wrong with the others is appended to `problems`."""
    roles: dict[str, dict[int | None, Path]] = {}
    for case_id, index, path in _named_roles(tuple(image_files(folder)), count_channels(channels)):
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
    if None in files or (set(files) == {0} and is_picture(files[0])):
        return None  # one file holds all channels; a picture's number says no more than that it is the first
    count = count_channels(channels)
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


def with_labels(images: Sequence[RawCase], folder: Path, problems: list[DatasetError]) -> tuple[RawCase, ...]:
    """Cases paired with their labels; missing and double ones are appended to `problems`."""
    labels: dict[str, Path] = {}
    for stem, path in image_files(folder):
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


def explicit_cases(
    folder: Path, listed: Mapping[str, CaseFiles], channels: int, problems: list[DatasetError]
) -> tuple[RawCase, ...]:
    """Cases of the `dataset` map of `dataset.json`; files that are missing are appended to `problems`."""
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


@contextlib.contextmanager
def naming(case_id: str) -> Iterator[None]:
    """Give errors of the readers the case they belong to."""
    try:
        yield
    except DatasetError as error:
        raise DatasetError(error.problem, error.cure, case_id=error.case_id or case_id) from error


@contextlib.contextmanager
def _collecting(problems: list[DatasetError], case_id: str) -> Iterator[None]:
    try:
        with naming(case_id):
            yield
    except DatasetError as error:
        problems.append(error)


def add_labels(cases: Sequence[RawCase], folder: Path) -> tuple[RawCase, ...]:
    """Cases with the label that the folder has for them, if any."""
    labels = dict(image_files(folder))
    return tuple(replace(case, label=labels.get(case.case_id)) for case in cases)
