"""Would a challenge take these files? One verdict per file, before anything is uploaded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.core.errors import AutosegError
from autoseg.datasets._archive import list_archive, unpacked
from autoseg.datasets.submission import Entry, SubmissionFormat
from autoseg.io import nifti
from autoseg.io.images import NIFTI_ENDINGS, image_ending, read_header, read_label

Say = Callable[[str], None]


@dataclass(frozen=True)
class FileCheck:
    """Verdict on one file.

    Attributes:
        path: Name in the submission.
        problems: Why it would be rejected; empty when it would not.
        belongs_elsewhere: Nothing is known of its case, since it is of another task.
    """

    path: str
    problems: tuple[str, ...] = ()
    belongs_elsewhere: bool = False


def check_submission(
    archive: Path, form: SubmissionFormat, entries: Sequence[Entry], allowed: Collection[int]
) -> Iterator[FileCheck]:
    """Judge every file that is there or should be, by name.

    Args:
        archive: Zip, tar or folder.
        form: The format.
        entries: What must be in it.
        allowed: Values of a mask.

    Raises:
        SubmissionError: The archive cannot be read.
    """
    expected = {form.key(entry.path): entry for entry in entries}
    present: dict[str, list[str]] = {}
    for path in list_archive(archive):
        present.setdefault(form.key(path), []).append(path)
    for key in sorted({*expected, *present}):
        paths = present.get(key, [])
        if not paths:
            yield FileCheck(expected[key].path, ("it is missing",))
        elif len(paths) > 1:
            others = sorted(set(paths[1:]) - {paths[0]})
            also = f", also as {', '.join(others)}" if others else ""
            yield FileCheck(paths[0], (f"it is there {len(paths)} times{also}",))
        elif key in expected:
            yield FileCheck(paths[0], _problems(archive, paths[0], form, expected[key], allowed))
        elif form.belongs(paths[0]):
            yield FileCheck(paths[0], belongs_elsewhere=True)
        else:
            names = f"names such as {min(entry.path for entry in entries)}" if entries else "no file"
            yield FileCheck(paths[0], (f"no test case has this name; expected are {names}",))


def _problems(
    archive: Path, path: str, form: SubmissionFormat, entry: Entry, allowed: Collection[int]
) -> tuple[str, ...]:
    try:
        with unpacked(archive, path) as file:
            return form.problems(file, entry, allowed)
    except AutosegError as error:  # one damaged file is no reason to say nothing of the others
        return (error.problem,)


def mask_problems(
    mask: Path, image: Path, allowed: Collection[int], *, stored_as: type[np.integer] | None = None
) -> tuple[str, ...]:
    """What is wrong with a mask for this image.

    Args:
        mask: File.
        image: File of the case.
        allowed: Values.
        stored_as: Type that the file must have, in three dimensions; None takes any that holds integers.
    """
    try:
        labels, geometry = read_label(mask)
        expected = read_header(image)
    except AutosegError as error:
        return (error.problem,)
    problems = []
    if labels.shape != expected.shape:
        return (f"its shape is {labels.shape}, the image's {expected.shape} (z, y, x)",)
    differing = geometry.differences(expected)
    if differing:
        problems.append(f"it differs from its image in {', '.join(differing)}")
    wrong = sorted(set(np.unique(labels).tolist()) - set(allowed))
    if wrong:
        problems.append(f"it holds the value {wrong[0]}, allowed are {', '.join(map(str, sorted(allowed)))}")
    if stored_as is not None and image_ending(mask) in NIFTI_ENDINGS:
        header = nifti.read_header(mask)
        found, size = header.get_data_dtype(), header.get_data_shape()
        if found != np.dtype(stored_as):
            problems.append(f"it is stored as {found}, wanted is {np.dtype(stored_as)}")
        if len(size) != 3:  # a fourth dimension of one voxel is another shape to the challenges' programs
            problems.append(f"it has {len(size)} dimensions, wanted are 3")
    return tuple(problems)


def say_verdicts(verdicts: Sequence[FileCheck], *, good: Say, bad: Say) -> tuple[str, ...]:
    """One line per file.

    Returns:
        The lines of the files that would be rejected.
    """
    rejected = []
    for verdict in verdicts:
        line = (
            f"{verdict.path}: {'; '.join(verdict.problems) or 'of another task' * verdict.belongs_elsewhere or 'good'}"
        )
        (bad if verdict.problems else good)(line)
        if verdict.problems:
            rejected.append(line)
    return tuple(rejected)
