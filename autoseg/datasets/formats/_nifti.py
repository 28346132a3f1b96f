"""What formats of NIfTI masks have in common: uint8 on the grid and with the header of the image, nothing beside."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from autoseg.core.errors import SubmissionError
from autoseg.datasets.submission import Entry
from autoseg.datasets.submission_checks import mask_problems
from autoseg.io.images import read_header, write_label

_SHOWN = 3


class LabelRules:
    """Which labels a format takes; says no to everything else."""

    allowed: tuple[int, ...] | None
    values: Mapping[int, int]
    also: tuple[Literal["tar"], ...] = ()

    def key(self, path: str) -> str:
        """The whole name."""
        return path

    def belongs(self, path: str) -> bool:  # noqa: ARG002 - others look at it
        """Nothing but the masks."""
        return False

    def notes(self, paths: Sequence[str]) -> tuple[str, ...]:  # noqa: ARG002 - others look at it
        """Nothing."""
        return ()

    def refuses(self, labels: Collection[int]) -> str:
        """A label without a value, or with one that the challenge does not know."""
        for label in sorted(labels):
            value = self.values.get(label, None if self.values else label)
            if value is None or (self.allowed is not None and value not in self.allowed):
                return f"the data set's label {label} means nothing to it"
        return ""


class NiftiMasks(LabelRules):
    """Reading and writing of one mask per case."""

    def encode(self, entry: Entry, labels: npt.NDArray[np.uint8]) -> bytes:
        """The mask with the header of its image, copied byte for byte."""
        return nifti_bytes(entry, labels, like=entry.image)

    def problems(self, file: Path, entry: Entry, allowed: Collection[int]) -> tuple[str, ...]:
        """Shape, grid, values, type and dimensions."""
        return mask_problems(file, entry.image, allowed, stored_as=np.uint8)


def nifti_bytes(entry: Entry, labels: npt.NDArray[np.uint8], *, like: Path | None) -> bytes:
    """A mask as `.nii` or `.nii.gz`, as the entry's name says.

    Args:
        entry: Name, and image whose grid is taken.
        labels: (Z, Y, X).
        like: File whose header is copied; None writes the image's grid anew.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(entry.path).name
        write_label(path, labels, read_header(entry.image), like=like)
        return path.read_bytes()


def refuse_absent(absent: Sequence[str], *, of: int, otherwise: str) -> None:
    """Refuse a submission without all cases of the test set.

    Args:
        absent: Those without an image.
        of: Number of all.
        otherwise: What the challenge does with a set that is not complete.

    Raises:
        SubmissionError: Some are absent.
    """
    if absent:
        named = ", ".join(absent[:_SHOWN]) + (", ..." if len(absent) > _SHOWN else "")
        raise SubmissionError(
            f"{len(absent)} of the {of} test cases have no image: {named}",
            f"add them, since the challenge {otherwise}, or try the rest out with --subset true",
        )
