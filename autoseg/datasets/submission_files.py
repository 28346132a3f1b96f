"""The files of a submission, made one at a time when they are written: together they can be larger than the memory."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autoseg.core.errors import SubmissionError
from autoseg.datasets._archive import Content, list_archive, read_file
from autoseg.datasets.submission import Entry, SubmissionFormat
from autoseg.io.images import read_label


def mask_files(entries: Sequence[Entry], masks: Mapping[str, Path], form: SubmissionFormat) -> dict[str, Content]:
    """Masks with the challenge's values, in its encoding, whoever wrote them.

    Args:
        entries: What to write.
        masks: Case id -> sound mask.
        form: The format.
    """

    # The files of one case follow each other, as slices do: its mask is read once.
    @functools.lru_cache(maxsize=1)
    def written(case_id: str) -> npt.NDArray[np.uint8]:
        labels, _ = read_label(masks[case_id])
        values = labels.astype(np.uint8)
        for label, value in form.values.items():
            values[labels == label] = value
        return values

    def made(entry: Entry) -> bytes:
        return form.encode(entry, written(entry.case_id))

    return {entry.path: functools.partial(made, entry) for entry in entries}


def joined_files(archives: Sequence[Path], form: SubmissionFormat) -> dict[str, Content]:
    """Files of other tasks, taken over as they are.

    Raises:
        SubmissionError: A file is of this task or of none, or in two archives.
    """
    files: dict[str, Content] = {}
    for archive in archives:
        for name in list_archive(archive):
            if not form.belongs(name) or name in files:
                why = "is in two of the joined archives" if name in files else "is of no other task"
                raise SubmissionError(f"{name} of {archive} {why}", "join archives of different tasks")
            files[name] = functools.partial(read_file, archive, name)
    return files
