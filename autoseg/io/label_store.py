"""Label maps on a plan's grid, one compressed file each, of which a patch is read without reading the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.core.atomic import write_bytes
from autoseg.core.errors import DatasetError
from autoseg.io._arrays import compressed, open_array, smallest_type

Labels = npt.NDArray[np.signedinteger[Any]]

_SOURCE, _DIGEST = "source", "digest"


def save_labels(
    folder: Path, case_id: str, labels: npt.NDArray[np.integer[Any]], *, patch_size_voxels: Sequence[int], source: str
) -> None:
    """Write `folder/<case id>.b2nd`, complete or not at all; an older one is replaced.

    Args:
        folder: Where the label maps of one grid are.
        case_id: Name of the case.
        labels: (Z, Y, X).
        patch_size_voxels: What is usually read at once; decides the chunks.
        source: What the labels were made from, to tell whether they are up to date.

    Raises:
        StorageError: When the disk is full or the folder cannot be written.
    """
    small = labels.astype(smallest_type(labels), order="C", copy=False)
    notes = {_SOURCE: source, _DIGEST: hashlib.sha256(small.tobytes()).hexdigest()[:24]}
    write_bytes(_path(folder, case_id), compressed(small[None], patch_size_voxels, notes=notes))


def stored_source(folder: Path, case_id: str) -> str | None:
    """What stored labels were made from; None where there are none that can be read."""
    try:
        return StoredLabels(folder, case_id).source
    except (DatasetError, RuntimeError, KeyError):
        return None


class StoredLabels:
    """Labels of one case; the file is opened on first use and a copy sent to another process opens its own.

    Args:
        folder: Where the label maps of one grid are.
        case_id: Name of the case.

    Raises:
        DatasetError: When the folder has no labels of such a case.
    """

    def __init__(self, folder: Path, case_id: str) -> None:
        self.folder, self.case_id = folder, case_id
        self.path = _path(folder, case_id)
        if not self.path.is_file():
            raise DatasetError(f"no labels in {self.path}", "run the training again, which makes them", case_id=case_id)

    def __reduce__(self) -> tuple[Any, ...]:
        return (StoredLabels, (self.folder, self.case_id))

    @cached_property
    def _array(self) -> Any:
        return open_array(self.path)

    @property
    def source(self) -> str:
        """What they were made from."""
        return str(self._array.schunk.vlmeta[_SOURCE])

    @property
    def digest(self) -> str:
        """24 hexadecimal digits of the values."""
        return str(self._array.schunk.vlmeta[_DIGEST])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x)."""
        _, depth, height, width = self._array.shape
        return (int(depth), int(height), int(width))

    def read(self) -> Labels:
        """All labels (Z, Y, X)."""
        labels: Labels = self._array[0]
        return labels

    def read_patch(self, start: Sequence[int], stop: Sequence[int]) -> Labels:
        """Labels of the box [start, stop) in voxels (z, y, x), which must lie inside of the volume."""
        box = tuple(slice(first, last) for first, last in zip(start, stop, strict=True))
        labels: Labels = self._array[(0, *box)]
        return labels


def _path(folder: Path, case_id: str) -> Path:
    return folder / f"{case_id}.b2nd"
